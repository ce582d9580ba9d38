/**
 * Command lines as getopt_long(3) reads them, because operators' scripts rely on it: long options may be cut to any unambiguous
 * prefix, values follow as `--get 3`, `--get=3`, `-g 3` or `-g3`, flags without value can be bundled, `--` ends the options.
 *
 * Our own additions (`--json`, `--pins`, `--count`) must be written in full, so they never make an abbreviation ambiguous that used to work.
 */
import { usageError } from './errors.ts'

export interface Option {
  readonly long: string
  readonly short?: string
  readonly takesValue?: boolean
}

export interface CommandLine {
  /** Every option given, by its long name; the last one of a kind wins. Options without value map to ''. */
  readonly options: ReadonlyMap<string, string>
  readonly operands: readonly string[]
}

const OWN_OPTIONS: readonly Option[] = [
  { long: 'json' },
  { long: 'pins', takesValue: true },
  { long: 'count', takesValue: true },
]

/** Reads `args` (without the tool's name). Throws a usage error with getopt's wording. */
export function parseCommandLine(tool: string, known: readonly Option[], args: readonly string[]): CommandLine {
  const options = new Map<string, string>()
  const operands: string[] = []
  const rest = [...args]
  while (rest.length > 0) {
    const arg = rest.shift()!
    if (arg === '--') {
      operands.push(...rest.splice(0))
    } else if (arg.startsWith('--')) {
      readLong(arg.slice(2), rest)
    } else if (arg.startsWith('-') && arg.length > 1) {
      readShort(arg.slice(1), rest)
    } else {
      operands.push(arg)
    }
  }
  return { options, operands }

  function readLong(text: string, following: string[]): void {
    const equals = text.indexOf('=')
    const name = equals < 0 ? text : text.slice(0, equals)
    const inlineValue = equals < 0 ? undefined : text.slice(equals + 1)
    const option = findLong(tool, known, name)
    if (option.takesValue) {
      const value = inlineValue ?? following.shift()
      if (value === undefined) throw usageError(`${tool}: option '--${option.long}' requires an argument`)
      options.set(option.long, value)
    } else {
      if (inlineValue !== undefined) throw usageError(`${tool}: option '--${option.long}' doesn't allow an argument`)
      options.set(option.long, '')
    }
  }

  function readShort(letters: string, following: string[]): void {
    for (let at = 0; at < letters.length; at++) {
      const letter = letters[at]!
      const option = known.find((candidate) => candidate.short === letter)
      if (!option) throw usageError(`${tool}: invalid option -- '${letter}'`)
      if (!option.takesValue) {
        options.set(option.long, '')
        continue
      }
      const value = at + 1 < letters.length ? letters.slice(at + 1) : following.shift()
      if (value === undefined) throw usageError(`${tool}: option requires an argument -- '${letter}'`)
      options.set(option.long, value)
      return
    }
  }
}

function findLong(tool: string, known: readonly Option[], name: string): Option {
  const exact = [...known, ...OWN_OPTIONS].find((option) => option.long === name)
  if (exact) return exact
  const candidates = name === '' ? [] : known.filter((option) => option.long.startsWith(name))
  if (candidates.length === 1) return candidates[0]!
  if (candidates.length === 0) throw usageError(`${tool}: unrecognized option '--${name}'`)
  const possibilities = candidates.map((option) => `'--${option.long}'`).join(' ')
  throw usageError(`${tool}: option '--${name}' is ambiguous; possibilities: ${possibilities}`)
}

/** A non-negative whole number, decimal or 0x hex, as strtoul reads it. `what` names it in the error. */
export function parseId(tool: string, what: string, text: string): number {
  if (/^(0x[0-9a-f]+|\d+)$/i.test(text)) {
    const value = Number(text)
    if (value <= 0xffffffff) return value
  }
  throw usageError(`${tool}: ${what} must be a number from 0 to 4294967295, not '${text}'`)
}
