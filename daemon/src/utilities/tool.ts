/**
 * What a tool is to main.ts: its options, its usage, and one function that answers. A tool reads the pinned maps and writes text, or
 * a JSON document with --json; it never talks to the daemon.
 */
import type { PinnedMaps } from '../maps/open.ts'
import { type CommandLine, type Option, parseId } from './command-line.ts'
import { responseError, type UtilityError, usageError } from './errors.ts'

export interface Tool {
  readonly name: string
  readonly options: readonly Option[]
  /** Shown by --help and on bad usage; ends with a newline. */
  readonly usage: string
  /** Exit status of bad usage: vif has always answered 0. */
  readonly usageStatus: number
  /** Answers the command line. Throws a UtilityError. */
  run(request: Request): Promise<void>
}

export interface Request extends CommandLine {
  readonly isJson: boolean
  /** Refreshes of a live screen; undefined: until q or Ctrl-C. */
  readonly count?: number
  /** The tables, opened at the first call and closed by main.ts. */
  maps(access?: 'read' | 'write'): PinnedMaps
  print(text: string): void
  /** One document; bigints as numbers where they are exact, else as strings. */
  printJson(value: unknown): void
}

/** The one verb given of `verbs`. Throws a usage error when there is none, or more than one. */
export function requireVerb(tool: Tool, request: Request, verbs: readonly string[]): string {
  const given = verbs.filter((verb) => request.options.has(verb))
  if (given.length === 1) return given[0]!
  const wanted = verbs.map((verb) => `--${verb}`).join(', ')
  throw usageError(
    given.length === 0 ? `${tool.name}: one of ${wanted} is needed` : `${tool.name}: give only one of ${wanted}`,
  )
}

export function numberOption(tool: Tool, request: Request, option: string): number | undefined {
  const text = request.options.get(option)
  return text === undefined ? undefined : parseId(tool.name, `--${option}`, text)
}

/** The CPU named by --core, 0-based. Throws "Invalid argument" when the machine has no such CPU. */
export function coreOption(tool: Tool, request: Request, cpus: number): number | undefined {
  const core = numberOption(tool, request, 'core')
  if (core !== undefined && core >= cpus) throw responseError('EINVAL')
  return core
}

/** JSON.stringify for values that hold bigints. */
export function toJson(value: unknown): string {
  const replacer = (_: string, item: unknown) =>
    typeof item === 'bigint' ? (item <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(item) : `${item}`) : item
  return `${JSON.stringify(value, replacer, 2)}\n`
}

export function errorJson(error: Pick<UtilityError, 'message' | 'code' | 'remedy'>): unknown {
  return { error: { code: error.code, message: error.message, remedy: error.remedy } }
}
