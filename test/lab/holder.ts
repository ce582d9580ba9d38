/**
 * The holder: one sleeping process per lab, whose mount namespace carries the lab's named network namespaces (/run/netns) and its bpffs.
 * Verbs that need those run inside it; when its last process ends, the kernel takes all of that away by itself.
 */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { constants } from 'node:os'
import { join } from 'node:path'
import type { Interrupts } from './interrupts.ts'
import { type LabPaths, labPaths, labsDirectory, nameFlag } from './layout.ts'
import { isRunning, type ProcessId, readProcess, startDetached } from './process.ts'

/** In the holder's /run/netns; its content is `markOf` the lab. */
const markFile = '/run/netns/.lab'

function holderFile(paths: LabPaths): string {
  return join(paths.root, 'holder.pid')
}

export function holderOf(name: string): ProcessId | undefined {
  const id = readProcess(holderFile(labPaths(name)))
  return isRunning(id) ? id : undefined
}

/** The holder of a lab that is up. */
export function needHolder(name: string): ProcessId {
  const holder = holderOf(name)
  if (holder !== undefined) return holder
  if (existsSync(labPaths(name).root))
    throw new Error(`lab ${name} ended badly: hack/lab down${nameFlag(name)} clears it away`)
  throw new Error(`no lab ${name} is up: hack/lab up${nameFlag(name)}`)
}

/** Tells a lab's folder from every other, also from one of the same name in another root file system. */
function markOf(name: string): string {
  const { dev, ino } = statSync(labPaths(name).root)
  return `${dev}:${ino}`
}

export function startHolder(name: string): void {
  const paths = labPaths(name)
  for (const folder of ['/run/netns', labsDirectory]) mkdirSync(folder, { recursive: true })
  try {
    mkdirSync(paths.root)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    throw new Error(
      holderOf(name) === undefined
        ? `${paths.root} is left from a lab that ended badly: hack/lab down${nameFlag(name)} clears it away`
        : `lab ${name} is up already: hack/lab down${nameFlag(name)}, or give another --name`,
    )
  }
  for (const folder of [paths.bpf, paths.store, paths.pods]) mkdirSync(folder)
  const script = `mount -t tmpfs tmpfs /run/netns && mount -t bpf bpf ${paths.bpf} && echo ${markOf(name)} >${markFile} && exec sleep infinity`
  const log = join(paths.root, 'holder.log')
  const id = startDetached(
    ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script],
    log,
    holderFile(paths),
  )
  const deadline = Date.now() + 60_000
  while (!processesOfLab(name).includes(id.pid)) {
    if (!isRunning(id) || Date.now() > deadline) {
      throw new Error(
        `the lab's mount namespace did not come up (mounting tmpfs and bpf needs root): ${readFileSync(log, 'utf8').trim() || 'no reason given'}`,
      )
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
  }
}

/** Pids that live in the lab's mount namespace, whoever started them, but for this process. */
export function processesOfLab(name: string): number[] {
  const mark = markOf(name)
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => {
      try {
        return pid !== process.pid && readFileSync(`/proc/${pid}/root${markFile}`, 'utf8').trim() === mark
      } catch {
        return false
      }
    })
}

/** Whether this process runs in the lab's mount namespace. */
export function isInside(name: string): boolean {
  const holder = holderOf(name)
  return holder !== undefined && readlinkSync('/proc/self/ns/mnt') === readlinkSync(`/proc/${holder.pid}/ns/mnt`)
}

/** Runs a command line of hack/lab inside the lab's mount namespace; returns its exit code. Signals that arrive meanwhile are passed on. */
export async function runInside(name: string, words: readonly string[], interrupts: Interrupts): Promise<number> {
  const { pid } = needHolder(name)
  const child = spawn(
    'nsenter',
    [`--mount=/proc/${pid}/ns/mnt`, `--wd=${process.cwd()}`, process.execPath, process.argv[1]!, ...words],
    { stdio: 'inherit' },
  )
  using _ = interrupts.passTo(child)
  const { promise, resolve, reject } = Promise.withResolvers<number>()
  child.on('error', reject)
  child.on('exit', (code, signal) => resolve(code ?? 128 + constants.signals[signal!]))
  return await promise
}

/** Goes on as another program in the lab: same process, so that signals, exit code, standard input and terminal are the program's own. */
export function becomeInside(
  name: string,
  netns: string | undefined,
  command: readonly string[],
  env: Readonly<Record<string, string>> = {},
): never {
  const { pid } = needHolder(name)
  const enter = ['nsenter', `--mount=/proc/${pid}/ns/mnt`, `--wd=${process.cwd()}`]
  if (netns !== undefined) enter.push(`--net=/proc/${pid}/root${netns}`)
  // Node ignores SIGPIPE, which a program would inherit.
  const words = ['env', '--default-signal=PIPE', ...enter, '--', ...command]
  process.execve!('/usr/bin/env', words, { ...process.env, ...env } as NodeJS.Dict<string>)
  throw new Error('/usr/bin/env: cannot be executed')
}
