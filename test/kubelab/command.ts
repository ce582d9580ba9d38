/** Runs commands without holding up the process, so that an interrupt is heard; a failure names the command, its exit code and what it said. */
import { spawn } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'

export interface Outcome {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

export interface CommandOptions {
  readonly input?: string
  /** A file as standard input. */
  readonly stdin?: number
  readonly env?: Readonly<Record<string, string>>
  readonly timeoutMs?: number
  readonly signal?: AbortSignal
}

/** Returns whatever came out, also a failure. A timeout counts as status 124; an abort is thrown. */
export async function attempt(command: readonly string[], options: CommandOptions = {}): Promise<Outcome> {
  const [program, ...args] = command
  options.signal?.throwIfAborted()
  const child = spawn(program!, args, {
    env: { ...process.env, ...options.env },
    stdio: [options.stdin ?? 'pipe', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr!.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  // A program may end without having read all of its input.
  child.stdin?.on('error', () => {})
  child.stdin?.end(options.input ?? '')
  let timedOut = false
  const kill = () => child.kill('SIGKILL')
  const timer = setTimeout(() => {
    timedOut = true
    kill()
  }, options.timeoutMs ?? 60_000)
  options.signal?.addEventListener('abort', kill)
  try {
    const status = await new Promise<number>((resolve, reject) => {
      child.on('error', reject)
      child.on('close', (code) => resolve(timedOut ? 124 : (code ?? 137)))
    })
    options.signal?.throwIfAborted()
    return { status, stdout, stderr }
  } finally {
    clearTimeout(timer)
    options.signal?.removeEventListener('abort', kill)
  }
}

/** Returns what was printed on standard output; throws on a non-zero exit. */
export async function run(command: readonly string[], options: CommandOptions = {}): Promise<string> {
  const outcome = await attempt(command, options)
  if (outcome.status !== 0) throw failure(command, outcome)
  return outcome.stdout
}

export function failure(command: readonly string[], outcome: Outcome): Error {
  const said = [outcome.stderr, outcome.stdout].map((text) => text.trim()).filter((text) => text !== '')
  const why = outcome.status === 124 ? 'took too long' : `exit ${outcome.status}`
  return new Error(`${command.join(' ')}: ${why}: ${said.join(' | ') || 'no output'}`)
}

/** Like Promise.all, but nothing is under way any more when it throws: whoever tidies up afterwards isn't overtaken. */
export async function together<T>(works: readonly Promise<T>[]): Promise<T[]> {
  const outcomes = await Promise.allSettled(works)
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason
  return outcomes.map((outcome) => (outcome as PromiseFulfilledResult<T>).value)
}

/** Whatever moves: logs grow for ever. */
const LONGEST_MS = 1_800_000

export interface WaitOptions {
  /** In all; with `progress`: since something moved. */
  readonly timeoutMs?: number
  /** The states that things are in, a line each. One that wasn't there before is progress: what only goes back and forth has none. */
  readonly progress?: () => readonly string[] | Promise<readonly string[]>
  readonly everyMs?: number
  readonly signal?: AbortSignal
  /** Asked when the time is up: what there is instead, in a line. */
  readonly explain?: () => string | Promise<string>
}

/** Asks until the answer isn't undefined or false. A question that throws is asked again; its last error is told at the end. */
export async function until<T>(
  what: string,
  ask: () => T | Promise<T>,
  { timeoutMs = 60_000, everyMs = 100, signal, explain, progress }: WaitOptions = {},
): Promise<Exclude<T, undefined | false>> {
  const begun = performance.now()
  const seen = new Set<string>()
  let movedAt = begun
  for (;;) {
    let problem = ''
    try {
      const answer = await ask()
      if (answer !== undefined && answer !== false) return answer as Exclude<T, undefined | false>
    } catch (error) {
      problem = error instanceof Error ? error.message : String(error)
    }
    signal?.throwIfAborted()
    const before = seen.size
    for (const state of (await progress?.()) ?? []) seen.add(state)
    if (seen.size > before) movedAt = performance.now()
    if (performance.now() > Math.min(movedAt + timeoutMs, begun + Math.max(timeoutMs, LONGEST_MS))) {
      const details = [problem, await explain?.()].filter((text) => text !== undefined && text !== '')
      const inAll = ((performance.now() - begun) / 1000).toFixed()
      const limit = progress
        ? `nothing has moved for ${timeoutMs / 1000} s (${inAll} s in all)`
        : `not within ${timeoutMs / 1000} s`
      throw new Error(`${what}: ${limit}${details.length > 0 ? `: ${details.join('\n')}` : ''}`)
    }
    await sleep(everyMs)
  }
}
