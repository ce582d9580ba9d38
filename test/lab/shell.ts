/** Runs commands for the lab: synchronous, output captured, a failure names the command, its exit code and what it said. */
import { spawnSync } from 'node:child_process'

export interface Outcome {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

export interface RunOptions {
  readonly input?: string
  readonly env?: Readonly<Record<string, string>>
  readonly timeoutMs?: number
}

/** Runs and returns whatever came out, also a failure. A timeout counts as status 124. */
export function attempt(command: readonly string[], options: RunOptions = {}): Outcome {
  const [program, ...args] = command
  if (program === undefined) throw new Error('attempt: empty command')
  const result = spawnSync(program, args, {
    encoding: 'utf8',
    input: options.input,
    env: { ...process.env, ...options.env },
    timeout: options.timeoutMs ?? 60_000,
    maxBuffer: 256 * 1024 * 1024,
  })
  if (result.error !== undefined && (result.error as NodeJS.ErrnoException).code !== 'ETIMEDOUT') throw result.error
  return { status: result.status ?? 124, stdout: result.stdout, stderr: result.stderr }
}

/** Runs and returns stdout; throws on a non-zero exit. */
export function run(command: readonly string[], options: RunOptions = {}): string {
  const outcome = attempt(command, options)
  if (outcome.status !== 0) {
    const said = [outcome.stderr, outcome.stdout].map((text) => text.trim()).filter((text) => text !== '')
    throw new Error(`${command.join(' ')}: exit ${outcome.status}: ${said.join(' | ') || 'no output'}`)
  }
  return outcome.stdout
}
