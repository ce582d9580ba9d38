/** values.yaml as documentation: each value with its default and the comment above it (`# -- …`). */
import { isMap, isScalar, type Pair, parseDocument, type YAMLMap } from 'yaml'

export interface Value {
  /** `controller.pdb.enabled` */
  readonly path: string
  readonly description: string
  readonly fallback: unknown
}

/** In the order of the file. Throws when one has no comment: every value is documented. */
export function readValues(text: string): Value[] {
  const document = parseDocument(text)
  const [error] = document.errors
  if (error !== undefined) throw error
  return valuesOf(document.contents as YAMLMap, [])
}

function valuesOf(map: YAMLMap, above: readonly string[]): Value[] {
  return map.items.flatMap((pair, index): Value[] => {
    const path = [...above, nameOf(pair)]
    // The comment above the first key belongs to the map, for the parser.
    const comment = commentOf(pair) ?? (index === 0 ? map.commentBefore : undefined)
    const description = describe(comment)
    if (description === undefined && isMap(pair.value) && pair.value.items.length > 0) return valuesOf(pair.value, path)
    if (description === undefined) throw new Error(`values.yaml: ${path.join('.')} has no comment that begins with --`)
    return [{ path: path.join('.'), description, fallback: plain(pair.value) }]
  })
}

function nameOf(pair: Pair): string {
  return String(isScalar(pair.key) ? pair.key.value : pair.key)
}

function commentOf(pair: Pair): string | undefined {
  return isScalar(pair.key) ? (pair.key.commentBefore ?? undefined) : undefined
}

function describe(comment: string | null | undefined): string | undefined {
  const [, text] = /(?:^|\n) *-- ([\s\S]*)$/.exec(comment ?? '') ?? []
  return text?.replaceAll(/\s+/g, ' ').trim()
}

function plain(node: unknown): unknown {
  return (node as { toJSON(): unknown }).toJSON()
}
