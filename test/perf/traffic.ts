/** Measures one thing once between a client and a server, each on a CPU of its own choosing. */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { run } from '../lab/shell.ts'
import type { Endpoint, Pair } from './topology.ts'

export type Measure = 'rr' | 'crr' | 'stream'

/**
 * Where both ends run. RR is bimodal: with both on one CPU or on two it is another figure. So each place is measured, and what the scheduler
 * makes of it, which is what applications get: whether it brings both ends together depends on the path between them.
 */
export interface Pinning {
  readonly name: string
  /** CPU of each end; absent: the scheduler's choice. */
  readonly server?: number
  readonly client?: number
}

export const PINNINGS: readonly Pinning[] = [
  { name: 'two CPUs', server: 0, client: 1 },
  { name: 'one CPU', server: 0, client: 0 },
  { name: 'unpinned' },
]

/** Transactions per second, or Gbit/s. */
export const UNITS: Readonly<Record<Measure, string>> = { rr: '/s', crr: '/s', stream: 'Gb/s' }

export interface Tools {
  readonly netbench: string
}

export function compileTools(folder: string): Tools {
  const netbench = join(folder, 'netbench')
  execFileSync('clang', ['-O2', '-Wall', '-o', netbench, join(import.meta.dirname, 'netbench.c')])
  return { netbench }
}

/** Each run listens on a port of its own, so that what one leaves in TIME_WAIT is not in the way of the next. */
let nextPort = 5201

/** Returns the figure in UNITS. Throws when a tool fails, with what it said. */
export async function measure(
  tools: Tools,
  pair: Pair,
  what: Measure,
  pinning: Pinning,
  seconds: number,
  port = nextPort++,
): Promise<number> {
  switch (what) {
    case 'rr':
    case 'crr': {
      const lifetime = seconds + 5
      const server = await startServer(
        pair.server,
        pinning,
        [tools.netbench, 'server', `${port}`, `${lifetime}`],
        'ready',
      )
      try {
        const client = [tools.netbench, what, pair.server.address, `${port}`, `${seconds}`]
        const output = run(inside(pair.client, pinning.client, client), { timeoutMs: (seconds + 30) * 1000 })
        const result = JSON.parse(output) as { transactions: number; seconds: number }
        return result.transactions / result.seconds
      } finally {
        await stop(server)
      }
    }
    case 'stream': {
      const command = ['iperf3', '--server', '--one-off', '--port', `${port}`, '--forceflush']
      const server = await startServer(pair.server, pinning, command, 'listening')
      try {
        const client = [
          'iperf3',
          '--client',
          pair.server.address,
          '--port',
          `${port}`,
          '--time',
          `${seconds}`,
          '--omit',
          '1',
          '--json',
        ]
        const output = run(inside(pair.client, pinning.client, client), { timeoutMs: (seconds + 30) * 1000 })
        const result = JSON.parse(output) as { end: { sum_received: { bits_per_second: number } } }
        return result.end.sum_received.bits_per_second / 1e9
      } finally {
        await stop(server)
      }
    }
    default:
      return what satisfies never
  }
}

/** A client that connects again and again fills its ports with TIME_WAIT, and connecting gets 25 times slower, unless it may use more, again. */
export function prepareClient({ netns }: Endpoint): void {
  const settings = ['net.ipv4.ip_local_port_range=1024 65535', 'net.ipv4.tcp_tw_reuse=1']
  run(['nsenter', `--net=${netns}`, 'sysctl', '-qw', ...settings])
}

/** One ping, so that neighbours and flows are there before the first run. Throws when the server doesn't answer within seconds. */
export function checkReachable({ client, server }: Pair): void {
  run(['nsenter', `--net=${client.netns}`, 'ping', '-c', '3', '-i', '0.2', '-w', '5', server.address])
}

export function inside({ netns }: Endpoint, cpu: number | undefined, command: readonly string[]): string[] {
  const pin = cpu === undefined ? [] : ['taskset', '-c', `${cpu}`]
  return ['nsenter', `--net=${netns}`, ...pin, ...command]
}

/** Starts a server and waits until it says that it listens. */
export async function startServer(
  at: Endpoint,
  pinning: Pinning,
  command: readonly string[],
  sign: string,
): Promise<ChildProcess> {
  const [program, ...args] = inside(at, pinning.server, command)
  const server = spawn(program!, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  await new Promise<void>((resolve, reject) => {
    for (const stream of [server.stdout, server.stderr]) {
      stream.on('data', (data: Buffer) => {
        said += data
        if (said.includes(sign)) resolve()
      })
    }
    server.once('error', reject)
    server.once('exit', (status) => reject(new Error(`${command.join(' ')} ended with ${status}: ${said.trim()}`)))
  })
  return server
}

export async function stop(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return
  const ended = once(server, 'exit')
  server.kill('SIGKILL')
  await ended
}
