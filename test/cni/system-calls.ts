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

/** One call: which, and how often the thread had made it before. */
export interface Step {
  readonly call: string
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
export function killingBefore({ call, number }: Step): string[] {
  return ['strace', '-f', '-o', '/dev/null', ...injection({ call, number })]
}

function injection({ call, number }: Pick<Step, 'call' | 'number'>): string[] {
  return ['-e', `trace=${call}`, '-e', `inject=${call}:signal=SIGKILL:when=${number}`]
}

/** The calls of the thread that made the first one, less those that change nothing outside: opening files to read, waking the process's own threads. */
export function stepsOf(file: string): Step[] {
  return stepsOfLines(readFileSync(file, 'utf8').split('\n'))
}

function stepsOfLines(lines: readonly string[]): Step[] {
  const thread = lines[0]?.split(' ')[0]
  const counts = new Map<string, number>()
  const steps: Step[] = []
  for (const line of lines) {
    const parts = /^(\d+)\s+(\w+)\((.*)$/.exec(line)
    if (!parts || parts[1] !== thread) continue
    const [, , call, text] = parts as unknown as [string, string, string, string]
    const number = (counts.get(call) ?? 0) + 1
    counts.set(call, number)
    const isReading = call === 'openat' && !/O_WRONLY|O_RDWR|O_CREAT/.test(text)
    const isOwn = call === 'write' && /^\d+<(anon_inode|pipe):/.test(text)
    const isAsking = call === 'ioctl' && text.includes('TCGETS')
    if (!isReading && !isOwn && !isAsking) steps.push({ call, number, text: text.slice(0, 200) })
  }
  return steps
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

export function attachKilling(step: Pick<Step, 'call' | 'number'>): string[] {
  return ['-o', '/dev/null', ...injection(step)]
}

/** Calls of one thread that `attachTracing` wrote: without a thread id in front. */
export function stepsOfThread(file: string): Step[] {
  const lines = readFileSync(file, 'utf8').split('\n')
  return stepsOfLines(lines.map((line) => `1 ${line}`))
}
