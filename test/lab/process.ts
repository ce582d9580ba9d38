/** Processes that the lab starts: started detached, remembered by pid and start time, ended only when both still match. */
import { spawn } from 'node:child_process'
import { closeSync, openSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { writeWhole } from './files.ts'

export interface ProcessId {
  readonly pid: number
  /** Field 22 of /proc/pid/stat: tells a pid that was given out anew. */
  readonly startTime: string
}

export function startTimeOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] === 'Z' ? undefined : fields[19]
  } catch {
    return undefined
  }
}

export function isRunning(id: ProcessId | undefined): boolean {
  return id !== undefined && startTimeOf(id.pid) === id.startTime
}

/** Starts a process that outlives us, its output appended to `log`, and writes its identity to `file`. */
export function startDetached(
  command: readonly string[],
  log: string,
  file: string,
  env: Readonly<Record<string, string>> = {},
): ProcessId {
  const [program, ...args] = command
  const out = openSync(log, 'a')
  const child = spawn(program!, args, { detached: true, stdio: ['ignore', out, out], env: { ...process.env, ...env } })
  closeSync(out)
  const pid = child.pid
  if (pid === undefined) throw new Error(`cannot start ${command.join(' ')}`)
  child.unref()
  const startTime = startTimeOf(pid)
  if (startTime === undefined) throw new Error(`${command.join(' ')} ended at once: see ${log}`)
  const id = { pid, startTime }
  writeWhole(file, JSON.stringify(id))
  return id
}

export function readProcess(file: string): ProcessId | undefined {
  try {
    return JSON.parse(readFileSync(file, 'utf8')) as ProcessId
  } catch {
    return undefined
  }
}

/** Signals, then waits until the process is gone; after `graceMs` it is killed. */
export async function end(file: string, signal: 'SIGTERM' | 'SIGKILL', graceMs = 10_000): Promise<boolean> {
  const id = readProcess(file)
  if (id === undefined || !isRunning(id)) {
    rmSync(file, { force: true })
    return false
  }
  process.kill(id.pid, signal)
  const deadline = Date.now() + graceMs
  while (isRunning(id)) {
    if (Date.now() > deadline) process.kill(id.pid, 'SIGKILL')
    await sleep(5)
  }
  rmSync(file, { force: true })
  return true
}

/** Pids that live in one of these namespaces (of kind `net` or `mnt`), given by inode. */
export function processesIn(kind: 'net' | 'mnt', inodes: ReadonlySet<string>): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => {
      try {
        return pid !== process.pid && inodes.has(readlinkSync(`/proc/${pid}/ns/${kind}`))
      } catch {
        return false
      }
    })
}
