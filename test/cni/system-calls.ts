/**
 * Runs a program under strace, to learn which system calls change something and to end it with SIGKILL right before a chosen one. The steps of a program are
 * found this way and not listed by hand: one that is new is killed at, too, without anybody thinking of it.
 */

import { execFileSync, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** What can change something outside the process: files, sockets (netlink among them), namespaces, devices. */
const EFFECTS = [
  ...['openat', 'write', 'pwrite64', 'writev', 'pwritev', 'ftruncate', 'fsync', 'fdatasync', 'mkdir', 'mkdirat'],
  ...['rename', 'renameat', 'renameat2', 'unlink', 'unlinkat', 'rmdir', 'link', 'linkat', 'symlink', 'chmod'],
  ...['connect', 'bind', 'sendto', 'sendmsg', 'setns', 'unshare', 'mount', 'umount2', 'ioctl', 'bpf'],
] as const

/** One call: which, and how often the thread had made it before: with this file, where it is about one, since what else a runtime opens differs from run to run. */
export interface Step {
  readonly call: string
  /** The file that it opens, or that its descriptor stands for. */
  readonly file: string | undefined
  /** From 1. */
  readonly number: number
  /** Its arguments and what came of it, as strace writes them. */
  readonly text: string
}

/** Why it can't be done here; undefined when it can. */
export function straceObstacle(): string | undefined {
  try {
    execFileSync('strace', ['-V'], { stdio: 'ignore' })
    return undefined
  } catch {
    return 'needs strace'
  }
}

/** Words in front of a command line: its calls go to the file. Descriptors are shown with their paths. */
export function tracing(file: string): string[] {
  return ['strace', '--seccomp-bpf', '-f', '-y', '-s', '256', '-o', file, '-e', `trace=${EFFECTS.join(',')}`]
}

/** Words in front of a command line: SIGKILL comes right before that call. (With --seccomp-bpf it never comes.) */
export function killingBefore(step: Step): string[] {
  return ['strace', '-f', '-o', '/dev/null', ...injection(step)]
}

function injection({ call, file, number }: Step): string[] {
  const about = file === undefined ? [] : ['-P', file]
  return [...about, '-e', `trace=${call}`, '-e', `inject=${call}:signal=SIGKILL:when=${number}`]
}

/** The calls of the thread that made the first one, less those that change nothing outside: opening files to read, waking the process's own threads. */
export function stepsOf(file: string): Step[] {
  return stepsOfLines(readFileSync(file, 'utf8').split('\n'), fileOf)
}

function stepsOfLines(lines: readonly string[], fileOf: (call: string, text: string) => string | undefined): Step[] {
  const thread = lines[0]?.split(' ')[0]
  const counts = new Map<string, number>()
  const steps: Step[] = []
  for (const line of lines) {
    const parts = /^(\d+)\s+(\w+)\((.*)$/.exec(line)
    if (!parts || parts[1] !== thread) continue
    const [, , call, text] = parts as unknown as [string, string, string, string]
    const file = fileOf(call, text)
    const kind = `${call} ${file ?? ''}`
    const number = (counts.get(kind) ?? 0) + 1
    counts.set(kind, number)
    const isReading = call === 'openat' && !/O_WRONLY|O_RDWR|O_CREAT/.test(text)
    const isOwn = call === 'write' && /^\d+<(anon_inode|pipe):/.test(text)
    const isAsking = call === 'ioctl' && text.includes('TCGETS')
    if (!isReading && !isOwn && !isAsking) steps.push({ call, file, number, text: text.slice(0, 200) })
  }
  return steps
}

/** Of a call whose arguments strace shows with `-y`: `3</path>, …`, or for openat `AT_FDCWD</folder>, "/path", …`. */
function fileOf(call: string, text: string): string | undefined {
  // The namespace that is entered has another name each time.
  if (call === 'setns') return undefined
  const shown = call === 'openat' ? /^[^"]*"(\/[^"]*)"/ : /^\d+<(\/[^>]*)>/
  return shown.exec(text)?.[1]
}

/** Follows one thread of a running process. Resolves once strace is attached. */
export async function attach(
  thread: number,
  words: readonly string[],
): Promise<{ readonly ended: Promise<unknown>; stop(): void }> {
  const child = spawn('strace', [...words, '-p', String(thread)], { stdio: ['ignore', 'ignore', 'pipe'] })
  const ended = new Promise((resolve) => child.on('exit', resolve))
  await new Promise<void>((resolve, reject) => {
    child.stderr.on('data', (text) => String(text).includes('attached') && resolve())
    child.on('exit', (code) => reject(new Error(`strace ended with ${code}`)))
  })
  return { ended, stop: () => void child.kill('SIGINT') }
}

export function attachTracing(file: string): string[] {
  return ['-y', '-s', '256', '-o', file, '-e', `trace=${EFFECTS.join(',')}`]
}

export function attachKilling(step: Step): string[] {
  return ['-o', '/dev/null', ...injection(step)]
}

/**
 * Calls of one thread that `attachTracing` wrote: without a thread id in front. Counted whatever they are about: a daemon that is up opens nothing of its
 * runtime's any more, and its temporary files have other names each time.
 */
export function stepsOfThread(file: string): Step[] {
  const lines = readFileSync(file, 'utf8').split('\n')
  return stepsOfLines(
    lines.map((line) => `1 ${line}`),
    () => undefined,
  )
}
