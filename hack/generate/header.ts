/**
 * Reads what BTF doesn't hold from the text of the datapath's header: the names of its structs and enums in their order, its
 * `#define`d numbers, and the comments, which become the docstrings of the generated code.
 */

export interface Header {
  readonly structs: readonly string[]
  readonly enums: readonly string[]
  /** Names of the macros that stand for a number. */
  readonly defines: readonly string[]
  /** Comment of a struct (`vif`), a field (`vif.id`), an enum (`vif_type`) or an enumerator (`vif_type.VIF_HOST`). */
  readonly comments: ReadonlyMap<string, string>
}

export function readHeader(source: string): Header {
  const structs: string[] = []
  const enums: string[] = []
  const defines: string[] = []
  const comments = new Map<string, string>()
  let above = ''
  let inside: string | undefined
  for (const line of source.split('\n')) {
    const define = /^#define (\w+) (?:0x[0-9a-fA-F]+|\d+)(?:\s*\/\*.*)?$/.exec(line)
    if (define) defines.push(define[1]!)

    const opened = /^(struct|enum) (\w+) \{/.exec(line)
    if (opened) {
      inside = opened[2]!
      ;(opened[1] === 'struct' ? structs : enums).push(inside)
      if (above) comments.set(inside, above)
    }
    const trailing = /\/\* (.*?) \*\/\s*$/.exec(line)?.[1]
    if (inside && !opened && trailing) {
      const field = /^\s+\w+ (\w+)(?:\[\w+\])*;/.exec(line)?.[1] ?? /^\s+(\w+) = /.exec(line)?.[1]
      if (field) comments.set(`${inside}.${field}`, trailing)
    }
    if (/^\}|\};$/.test(line)) inside = undefined
    above = !inside && /^\/\* [^-].*\*\/$/.test(line) ? trailing! : ''
  }
  return { structs, enums, defines, comments }
}
