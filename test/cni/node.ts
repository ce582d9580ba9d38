/**
 * A node for tests of the CNI binary: a network namespace, a state folder, and a daemon reduced to what the binary talks to (the real ports and the
 * real socket server, with a source in memory and no datapath). The binary runs as a runtime runs it.
 */

import assert from 'node:assert/strict'
import { execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { defaultSubnet } from '@kube-vrouter/daemon/model/built-in-networks'
import { defaultPodNetwork, networkFqName, tapName, uuidOf } from '@kube-vrouter/daemon/model/names'
import type { VirtualNetwork } from '@kube-vrouter/daemon/model/objects'
import { PortServer, type PortService } from '@kube-vrouter/daemon/port-api/server'
import type { PortsOptions } from '@kube-vrouter/daemon/ports/options'
import { Ports } from '@kube-vrouter/daemon/ports/ports'
import { createNamed, deleteNamed, namedPath } from '@kube-vrouter/linux/namespace'
import { RouteSocket } from '@kube-vrouter/linux/netlink/route'
import { MemorySource } from '../doubles/memory-source.ts'

const repository = resolve(import.meta.dirname, '../..')
export const binary = join(repository, 'cni-plugin/dist/vrouter-cni')

/** Why these tests can't run here; undefined when they can. Builds the binary when it is missing or old. */
export function obstacle(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root'
  try {
    execFileSync(process.execPath, [join(repository, 'hack/build.ts'), 'cni-plugin'], { stdio: 'pipe' })
  } catch (error) {
    return `the CNI binary can't be built: ${(error as { stderr?: Buffer }).stderr?.toString().split('\n')[0]}`
  }
  return undefined
}

export function network(fqName: string, subnets: readonly string[], blockSize4 = 26): VirtualNetwork {
  return {
    namespace: 'default',
    name: fqName.slice(fqName.lastIndexOf(':') + 1),
    fqName,
    uuid: uuidOf('vn', fqName),
    subnets: subnets.map((cidr) => defaultSubnet(cidr)),
    blockSize4,
    blockSize6: 122,
  }
}

/** The networks of the tests: the default one, and `small` with 12 usable addresses. */
export function networks(): VirtualNetwork[] {
  return [
    network(defaultPodNetwork('k8s'), ['10.1.0.0/16', 'fd00:1::/64']),
    network(networkFqName('k8s', 'small', 'small'), ['10.9.0.0/28'], 28),
    network(networkFqName('k8s', 'four', 'four'), ['10.4.0.0/16']),
    network(networkFqName('k8s', 'default', 'blue'), ['10.7.0.0/24', '10.8.0.0/24', 'fd00:7::/64']),
  ]
}

export function memorySource(): MemorySource {
  const source = new MemorySource(networks())
  for (const name of ['small', 'four']) {
    source.namespaces.set(name, { name, labels: {}, annotations: { 'vrouter.dev/network': name } })
  }
  return source
}

export interface Outcome {
  readonly exit: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
  readonly ms: number
}

// biome-ignore lint/suspicious/noExplicitAny: documents of several shapes, looked at by the tests
export type Json = any

export interface Call {
  readonly command: string
  readonly containerId?: string
  readonly netns?: string
  readonly ifname?: string
  /** Pod namespace and name. */
  readonly pod?: readonly [namespace: string, name: string]
  readonly args?: string
  readonly config?: Json
  /** Instead of `config`: stdin as it is. */
  readonly stdin?: string
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Kills the binary after so many milliseconds. */
  readonly killAfterMs?: number
  /** Runs inside this process's mount namespace. */
  readonly mountsOf?: number
  /** Words in front of the binary, such as `strace -f`. */
  readonly under?: readonly string[]
  /** Instead of the built binary. */
  readonly binary?: string
}

export class Node implements AsyncDisposable {
  readonly name = `kv-cni-${randomBytes(4).toString('hex')}`
  readonly folder = mkdtempSync(join(tmpdir(), 'kv-cni-'))
  readonly state = join(this.folder, 'state')
  readonly socket = join(this.folder, 'run/cni.sock')
  readonly netns = namedPath(this.name)
  source = memorySource()
  ports: Ports | undefined
  /** What the daemon logged as a warning or an error. */
  readonly logged: (Readonly<Record<string, unknown>> & { readonly message: string })[] = []
  #server: PortServer | undefined
  readonly #route: RouteSocket
  readonly #pods: string[] = []

  constructor() {
    createNamed(this.name)[Symbol.dispose]()
    this.#route = RouteSocket.open({ netns: this.netns })
  }

  /** `wrap` sees every request before the ports do. */
  async startDaemon(
    overrides: Partial<PortsOptions> = {},
    wrap: (ports: Ports) => PortService = (ports) => ports,
  ): Promise<Ports> {
    const silent = () => undefined
    const keep = (fields: object, message: string) => void this.logged.push({ ...fields, message })
    const log = { debug: silent, info: silent, warn: keep, error: keep }
    const ports = new Ports({
      source: this.source,
      node: 'n1',
      cluster: { name: 'k8s', domain: 'cluster.local' },
      state: this.state,
      log,
      podMtu: () => 1468,
      nodeAddresses: () => ['192.0.2.11', '2001:db8::11'],
      linkIndex: (name) => this.#route.link(name)?.index,
      onPortsChanged: () => undefined,
      programmed: async () => ({ vif: 3, vrf: 2 }),
      readiness: () => ({ ready: true }),
      maxPorts: 1000,
      quarantineMs: 0,
      ...overrides,
    })
    this.ports = ports
    await ports.start()
    this.#server = await PortServer.listen({ path: this.socket, service: wrap(ports), log })
    await ports.maintain()
    return ports
  }

  async stopDaemon(): Promise<void> {
    await this.#server?.close(0)
    await this.ports?.[Symbol.asyncDispose]()
    this.#server = undefined
    this.ports = undefined
  }

  /** A pod's network namespace; returns its path. */
  pod(name = `${this.name}-p${this.#pods.length}`): string {
    createNamed(name)[Symbol.dispose]()
    this.#pods.push(name)
    return namedPath(name)
  }

  /** Makes the namespace of a pod again that was deleted. */
  remakePod(name: string): void {
    createNamed(name)[Symbol.dispose]()
  }

  tapOf(containerId: string, ifname = 'eth0'): string {
    return tapName(containerId, ifname)
  }

  config(cniVersion = '1.1.0', more: object = {}): object {
    return { cniVersion, name: 'net', type: 'vrouter-cni', socket: this.socket, stateDir: this.state, ...more }
  }

  run(call: Call): Promise<Outcome> {
    const [namespace, name] = call.pod ?? ['default', `pod-${call.containerId}`]
    const env: Record<string, string | undefined> = {
      PATH: process.env['PATH'],
      CNI_COMMAND: call.command,
      CNI_CONTAINERID: call.containerId ?? 'c1',
      CNI_NETNS: call.netns ?? '',
      CNI_IFNAME: call.ifname ?? 'eth0',
      CNI_PATH: '/opt/cni/bin',
      CNI_ARGS: call.args ?? `IgnoreUnknown=1;K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${name};K8S_POD_UID=u`,
      ...call.env,
    }
    const enter = [`--net=${this.netns}`, ...(call.mountsOf ? [`--mount=/proc/${call.mountsOf}/ns/mnt`] : [])]
    const started = performance.now()
    const child = spawn('nsenter', [...enter, '--', ...(call.under ?? []), call.binary ?? binary], {
      env: Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined)),
    })
    if (call.killAfterMs !== undefined) setTimeout(() => child.kill('SIGKILL'), call.killAfterMs)
    let stdout = ''
    let stderr = ''
    child.stdout.on('data', (chunk) => (stdout += chunk))
    child.stderr.on('data', (chunk) => (stderr += chunk))
    child.stdin.on('error', () => undefined)
    child.stdin.end(call.stdin ?? JSON.stringify(call.config ?? this.config()))
    return new Promise((resolve, reject) => {
      child.on('error', reject)
      child.on('close', (exit, signal) => resolve({ exit, signal, stdout, stderr, ms: performance.now() - started }))
    })
  }

  /** What is left on the node: taps, records and queued deletions. */
  leftovers(): { taps: string[]; records: string[]; deletes: string[]; ports: number } {
    const list = (folder: string) => (existsSync(join(this.state, folder)) ? readdirSync(join(this.state, folder)) : [])
    return {
      taps: this.#route
        .links()
        .map(({ name }) => name)
        .filter((name) => name !== 'lo'),
      records: list('ports').filter((name) => name !== 'corrupt'),
      deletes: list('deletes'),
      ports: this.ports?.all().length ?? 0,
    }
  }

  inNode<T>(look: (route: RouteSocket) => T): T {
    return look(this.#route)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopDaemon()
    this.#route[Symbol.dispose]()
    for (const pod of this.#pods) deleteNamed(pod)
    deleteNamed(this.name)
    rmSync(this.folder, { recursive: true, force: true })
  }
}

export function inPod<T>(netns: string, look: (route: RouteSocket) => T): T {
  using route = RouteSocket.open({ netns })
  return look(route)
}

export const clean = { taps: [], records: [], deletes: [], ports: 0 }

/** The one document of a success; nothing on stderr. */
export function result(outcome: Outcome): Json {
  assert.equal(outcome.exit, 0, outcome.stdout + outcome.stderr)
  assert.equal(outcome.stderr, '')
  return outcome.stdout === '' ? undefined : JSON.parse(outcome.stdout)
}

/** The one error document of a failure. */
export function failure(outcome: Outcome): Json {
  assert.notEqual(outcome.exit, 0, outcome.stdout)
  assert.equal(outcome.stderr, '')
  return JSON.parse(outcome.stdout)
}
