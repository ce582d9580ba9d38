/** Runs a command to its end with all that it says in one string; its whole process group is ended at the time limit. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'

export interface Ended {
  readonly output: string
  /** Empty: status 0. Else "status 2", "signal SIGKILL", "the time limit of 600 s". */
  readonly problem: string
  readonly seconds: number
}

export async function runCommand(
  command: readonly string[],
  options: { readonly cwd: string; readonly env?: NodeJS.ProcessEnv; readonly limitSeconds: number },
): Promise<Ended> {
  const start = performance.now()
  const child = spawn(command[0]!, command.slice(1), {
    cwd: options.cwd,
    env: options.env ?? process.env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (output += data))
  let isOverdue = false
  const timer = setTimeout(() => {
    isOverdue = true
    killGroup(child.pid)
  }, options.limitSeconds * 1000)
  const seconds = () => (performance.now() - start) / 1000
  try {
    // 'exit', not 'close': something that the command left running may hold the pipes open for ever.
    const [status, signal] = (await once(child, 'exit')) as [number | null, string | null]
    const problem = isOverdue
      ? `the time limit of ${options.limitSeconds} s`
      : signal !== null
        ? `signal ${signal}`
        : status === 0
          ? ''
          : `status ${status}`
    await drained(child.stdout, child.stderr)
    return { output, problem, seconds: seconds() }
  } catch (error) {
    return { output, problem: `${error}`, seconds: seconds() }
  } finally {
    clearTimeout(timer)
    child.stdout.destroy()
    child.stderr.destroy()
  }
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It ended by itself in this moment.
  }
}

/** What is still in the pipes, if their writers are gone; half a second at most. */
async function drained(...streams: readonly NodeJS.ReadableStream[]): Promise<void> {
  const ends = streams.map((stream) => new Promise((resolve) => stream.once('end', resolve)))
  await Promise.race([Promise.all(ends), new Promise((resolve) => setTimeout(resolve, 500))])
}
