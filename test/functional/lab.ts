/**
 * A lab for functional tests: started and removed through the same command line that people use, with a random name. After each test
 * file `close` checks the invariants: no unexpected drop reason, no error in a log, nothing left on the machine.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { labsDirectory, nodePaths, repository } from '../lab/layout.ts'
import { attempt, type Outcome, type RunOptions } from '../lab/shell.ts'
import { PATIENCE_MS, until } from '../patience.ts'
import { skipBecause } from '../skip.ts'
import { pingsIn } from './pings.ts'

export const nodeProgram = join(repository, 'node_modules/.bin/node')

export interface StatusReply {
  readonly nodes: readonly { readonly daemon: string }[]
  readonly pods: readonly { readonly name: string; readonly addresses: readonly string[] }[]
}

/** Manifests of a namespace and the network of its pods, both of that name. */
export function tenant(name: string, ...subnets: readonly string[]): string {
  return `
apiVersion: v1
kind: Namespace
metadata: {name: ${name}, annotations: {vrouter.dev/network: ${name}}}
---
apiVersion: vrouter.dev/v1alpha1
kind: VirtualNetwork
metadata: {name: ${name}, namespace: ${name}}
spec: {subnets: ${JSON.stringify(subnets.map((cidr) => ({ cidr })))}}
`
}

export function isolatedNamespace(name: string): string {
  return `
apiVersion: v1
kind: Namespace
metadata: {name: ${name}, annotations: {vrouter.dev/isolation: 'true'}}
`
}

/** Drop reasons that traffic of healthy pods may cause: multicast (MLD, ND of DAD) has no flood tree yet. */
const harmlessDrops = new Set(['No L2 Route', 'Cloned Original', 'Duplicate'])

export class TestLab {
  readonly name = `t${randomBytes(4).toString('hex')}`
  readonly #allowedDrops = new Set(harmlessDrops)
  /** Tenants with the same addresses are what labs are for; the node reaches the first pod of an address, and says so. */
  readonly #allowedLogs: RegExp[] = [/use exec probes/]
  readonly #background = new Set<ChildProcess>()
  readonly #env: Readonly<Record<string, string>>
  /** Whose daemons, tools and hack/lab are used from now on: a folder of this repo. */
  build: string

  private constructor(env: Readonly<Record<string, string>>, build: string) {
    this.#env = env
    this.build = build
  }

  /** `env` overrides the configuration of the daemons, such as `{ VROUTER_LIMITS_VIFS: '10' }`. */
  static up(nodes = 2, env: Readonly<Record<string, string>> = {}, build = repository): TestLab {
    const lab = new TestLab(env, build)
    const outcome = lab.tryRun(['up', '--nodes', String(nodes)])
    if (outcome.status !== 0) {
      lab.tryRun(['down'])
      throw new Error(`hack/lab up failed: ${outcome.stderr}${outcome.stdout}`)
    }
    return lab
  }

  /** Runs a verb of hack/lab; `--name` comes by itself. */
  tryRun(words: readonly string[], options: RunOptions = {}): Outcome {
    return attempt(this.#command(words), { ...options, env: { ...this.#env, ...options.env } })
  }

  run(words: readonly string[], options: RunOptions = {}): string {
    const outcome = this.tryRun(words, options)
    if (outcome.status !== 0)
      throw new Error(`hack/lab ${words.join(' ')}: exit ${outcome.status}: ${outcome.stderr}${outcome.stdout}`)
    return outcome.stdout
  }

  #command(words: readonly string[]): string[] {
    const [verb, ...rest] = words
    return [nodeProgram, join(this.build, 'test/lab/main.ts'), verb!, '--name', this.name, ...rest]
  }

  apply(manifest: string): void {
    this.run(['apply', '-f', '-'], { input: manifest })
  }

  status(): StatusReply {
    return JSON.parse(this.run(['status', '--json'])) as StatusReply
  }

  /** Adds a pod; its addresses without prefix length, by family. */
  addPod(name: string, node: number, namespace: string, ...more: string[]): TestPod {
    const result = JSON.parse(
      this.run(['pod', 'add', name, '--node', String(node), '--namespace', namespace, ...more]),
    ) as {
      ips: { address: string }[]
    }
    const bare = result.ips.map((ip) => ip.address.slice(0, ip.address.indexOf('/')))
    return {
      name,
      node,
      ip4: bare.find((address) => !address.includes(':')) ?? '',
      ip6: bare.find((address) => address.includes(':')) ?? '',
    }
  }

  inPod(pod: TestPod, command: readonly string[], options: RunOptions = {}): Outcome {
    return this.tryRun(['exec', `pod/${pod.name}`, '--', ...command], options)
  }

  onNode(node: number, command: readonly string[], options: RunOptions = {}): Outcome {
    return this.tryRun(['exec', `node/${node}`, '--', ...command], options)
  }

  /** Output of a tool or command on a node; throws when it fails. */
  node(node: number, ...command: string[]): string {
    return this.run(['exec', `node/${node}`, '--', ...command])
  }

  startInPod(pod: TestPod, command: readonly string[]): ChildProcess {
    return this.start(`pod/${pod.name}`, command)
  }

  /** Starts a command in `pod/NAME` or `node/I` and lets it run, at most until `close`. */
  start(where: string, command: readonly string[]): ChildProcess {
    const [program, ...args] = this.#command(['exec', where, '--', ...command])
    const child = spawn(program!, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#background.add(child)
    child.on('exit', () => this.#background.delete(child))
    return child
  }

  /** Starts a server, and waits until it has said something. */
  async startServer(where: string, command: readonly string[]): Promise<ChildProcess> {
    const child = this.start(where, command)
    let complaint = ''
    child.stderr!.on('data', (text) => {
      complaint += text
    })
    await new Promise<void>((resolve, reject) => {
      child.stdout!.once('data', () => resolve())
      child.once('close', (code) => reject(new Error(`${command.join(' ')} ended with ${code}: ${complaint}`)))
    })
    return child
  }

  /** Pings until `count` answers have come; rejects when one that was sent before the last of them has none: nothing may be lost. */
  async pingWithoutLoss(from: TestPod, address: string, count: number, intervalS: number): Promise<void> {
    // With a deadline ping waits for answers, however late they are, instead of a moment after the last packet.
    const child = this.startInPod(from, ['ping', '-n', '-i', `${intervalS}`, '-c', `${count}`, '-w', '3000', address])
    let said = ''
    child.stdout!.on('data', (text) => {
      said += text
    })
    await new Promise((settle) => child.on('close', settle))
    assert.deepEqual(
      pingsIn(said, count).lost,
      [],
      `packets from ${from.name} to ${address} were lost: ${said.slice(-500)}`,
    )
  }

  ping(from: TestPod, address: string, ...more: string[]): Outcome {
    return this.inPod(from, [
      'ping',
      address.includes(':') ? '-6' : '-4',
      '-n',
      '-c',
      '2',
      '-i',
      '0.2',
      '-W',
      '3',
      ...more,
      address,
    ])
  }

  fetch(node: number, page: string): string {
    return this.node(node, 'curl', '-sS', '--max-time', '10', `http://127.0.0.1:8085/${page}`)
  }

  /** What a node's dropstats show now: label -> count. */
  drops(node: number): Map<string, number> {
    const drops = new Map<string, number>()
    for (const line of this.node(node, 'dropstats').split('\n')) {
      const match = /^(.+?)\s{2,}(\d+)$/.exec(line)
      if (match !== null) drops.set(match[1]!.trim(), Number(match[2]))
    }
    return drops
  }

  /** This test drops packets for this reason on purpose. */
  expectDrops(...labels: string[]): void {
    for (const label of labels) this.#allowedDrops.add(label)
  }

  /** This test provokes this warning or error in a log. */
  expectLog(pattern: RegExp): void {
    this.#allowedLogs.push(pattern)
  }

  logOf(node: number): Record<string, unknown>[] {
    const file = nodePaths(this.name, node).log
    return readFileSync(file, 'utf8')
      .trimEnd()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => {
        try {
          return JSON.parse(line) as Record<string, unknown>
        } catch {
          throw new assert.AssertionError({ message: `a log line of ${file} isn't JSON: ${line}` })
        }
      })
  }

  close(): void {
    const problems: string[] = []
    try {
      const { nodes } = this.status()
      nodes.forEach((_, index) => {
        const node = index + 1
        for (const [label, count] of this.drops(node)) {
          if (!this.#allowedDrops.has(label)) problems.push(`node ${node}: ${count} packets dropped: ${label}`)
        }
        for (const line of this.logOf(node)) {
          const text = JSON.stringify(line)
          if (
            ['warn', 'error', 'fatal'].includes(String(line['level'])) &&
            !this.#allowedLogs.some((pattern) => pattern.test(text))
          ) {
            problems.push(`node ${node} logged ${text}`)
          }
        }
      })
    } finally {
      for (const child of this.#background) child.kill('SIGKILL')
      this.run(['down'])
    }
    if (existsSync(join(labsDirectory, this.name))) problems.push(`${labsDirectory}/${this.name} is left`)
    assert.deepEqual(problems, [])
  }
}

export interface TestPod {
  readonly name: string
  readonly node: number
  readonly ip4: string
  readonly ip6: string
}

/** Tries until `check` returns something other than undefined or false, or throws what the last try threw. */
export function eventually<T>(
  check: () => T | Promise<T>,
  limitMs = PATIENCE_MS,
): Promise<NonNullable<Exclude<T, false>>> {
  return until('what the test waits for', check, { limitMs: Math.max(limitMs, PATIENCE_MS), pollMs: 50 })
}

export const twoTenants = readFileSync(join(repository, 'manifests/demo.yaml'), 'utf8')

/** For a `before` hook: skips the suite, with the reason in its title, where functional tests can't run. */
export function skipIfMissing(context: Mocha.Context): void {
  skipBecause(context, missing())
}

/** Why functional tests can't run here, or undefined. */
function missing(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root'
  if (!existsSync(join(repository, 'daemon/dist/vrouter.mjs'))) return 'the daemon is not built: npm run build'
  return undefined
}
