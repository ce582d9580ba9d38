/** A whole daemon in this process, in a sandbox's namespace, with stand-ins for the programs: for what a test must do to it from inside. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import type { Config } from '@kube-vrouter/daemon/config/config'
import { loadConfig } from '@kube-vrouter/daemon/config/load'
import { createLog } from '@kube-vrouter/daemon/log'
import { Vrouter } from '@kube-vrouter/daemon/vrouter/vrouter'
import { RouteSocket } from '@kube-vrouter/linux/netlink/route'
import { buildObjects, requireRoot, Sandbox } from './sandbox.ts'

export type Answer = Readonly<Record<string, unknown>> & { readonly ok: boolean }

const networks = ['red', 'blue']
  .map(
    (name, index) => `
apiVersion: v1
kind: Namespace
metadata:
  name: ${name}
  annotations: { vrouter.dev/network: ${name} }
---
apiVersion: vrouter.dev/v1alpha1
kind: VirtualNetwork
metadata: { name: ${name}, namespace: ${name} }
spec:
  subnets: [{ cidr: 10.${index + 1}.0.0/16 }, { cidr: "fd00:${index + 1}::/64" }]
`,
  )
  .join('---')

/** Another node, so that no table is empty. */
const otherNode = `
apiVersion: vrouter.dev/v1alpha1
kind: VirtualRouter
metadata: { name: node-2 }
spec: { address: 192.0.2.12, address6: "2001:db8::12", encapsulations: [MPLSoUDP], vrfLabels: {}, vhostLabel: 16 }
`

export class WholeNode implements AsyncDisposable {
  readonly config: Config
  readonly lines: Record<string, unknown>[] = []
  readonly #sandbox: Sandbox
  #vrouter: Vrouter | undefined

  constructor(sandbox: Sandbox, objects: string, changes: Partial<Config['paths']> = {}) {
    this.#sandbox = sandbox
    const root = mkdtempSync(join(sandbox.folder, 'node-'))
    const store = join(root, 'store')
    mkdirSync(store)
    writeFileSync(join(store, 'networks.yaml'), networks)
    writeFileSync(join(store, 'node-2.yaml'), otherNode)
    const paths = {
      ...{ state: join(root, 'state'), run: join(root, 'run'), pins: join(sandbox.bpffs, 'whole'), objects },
      ...{ cniConf: '', cniBin: '/opt/cni/bin', sysctl: '/proc/sys' },
      ...changes,
    }
    const base = loadConfig({ env: { VROUTER_NODE: 'node-1', VROUTER_SOURCE_PATH: store } })
    this.config = {
      ...base,
      paths,
      underlay: { ...base.underlay, interface: 'eth0', watchSeconds: 0, gateway: 'none' },
      introspect: { addresses: ['127.0.0.1'], port: 8085 },
      health: { addresses: ['127.0.0.1'], port: 9485 },
      limits: { ...base.limits, flows4: 1024, flows6: 1024 },
    }
  }

  async start(): Promise<Vrouter> {
    const { config } = this
    const log = createLog('debug', { write: (line) => this.lines.push(JSON.parse(line)) })
    this.#vrouter = await Vrouter.start({ config, nic: 'eth0', log })
    return this.#vrouter
  }

  /** One request on cni.sock. */
  async ask(request: object): Promise<Answer> {
    const socket = connect(join(this.config.paths.run, 'cni.sock'))
    socket.on('error', () => undefined)
    socket.write(`${JSON.stringify(request)}\n`)
    let text = ''
    for await (const chunk of socket) {
      text += chunk
      if (text.includes('\n')) break
    }
    return JSON.parse(text) as Answer
  }

  /** What ADD does; its tap is a veth. The answer of `register`, or of `allocate` when that fails. */
  async add(name: string, namespace: string, annotations?: Readonly<Record<string, string>>): Promise<Answer> {
    const key = { containerId: name, ifname: 'eth0' }
    const allocated = await this.#allocate(name, namespace, annotations)
    return allocated.ok ? await this.ask({ op: 'register', ...key, ifindex: this.#tap(allocated, name) }) : allocated
  }

  /** Milliseconds that both requests of an ADD take; making the tap isn't counted. */
  async timeOfAdd(name: string, namespace: string): Promise<number> {
    const begun = performance.now()
    const allocated = await this.#allocate(name, namespace)
    const allocatedAt = performance.now()
    const ifindex = this.#tap(allocated, name)
    const madeAt = performance.now()
    const { ok } = await this.ask({ op: 'register', containerId: name, ifname: 'eth0', ifindex })
    if (!ok) throw new Error(`ADD of ${name} failed`)
    return performance.now() - madeAt + (allocatedAt - begun)
  }

  #allocate(name: string, namespace: string, annotations?: Readonly<Record<string, string>>): Promise<Answer> {
    const pod = { namespace, name, uid: name }
    const key = { containerId: name, ifname: 'eth0', netns: '/proc/self/ns/net' }
    return this.ask({ op: 'allocate', ...key, pod, ...(annotations && { annotations }) })
  }

  /** Makes the tap; its ifindex. */
  #tap(allocated: Answer, name: string): number {
    const tap = allocated['tap'] as string
    this.#sandbox.run('ip', 'link', 'add', tap, 'type', 'veth', 'peer', 'name', `p-${name}`)
    using route = RouteSocket.open()
    return route.link(tap)!.index
  }

  /** What DEL does, and a failed ADD. */
  async delete(name: string): Promise<void> {
    this.#sandbox.run('ip', 'link', 'delete', `p-${name}`)
    await this.ask({ op: 'release', containerId: name, ifname: 'eth0' })
  }

  async stop(): Promise<void> {
    await this.#vrouter?.[Symbol.asyncDispose]()
    this.#vrouter = undefined
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }
}

/** eth0 with an address, on a wire. */
export function makeNic(sandbox: Sandbox): void {
  sandbox.run('ip', 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'wire')
  for (const device of ['wire', 'eth0']) sandbox.run('ip', 'link', 'set', device, 'up')
  sandbox.run('ip', 'address', 'add', '192.0.2.11/24', 'dev', 'eth0')
  sandbox.run('ip', 'route', 'add', 'default', 'via', '192.0.2.1')
}

/**
 * For a suite: a sandbox with a daemon in it that has these pods, made before the suite's own hooks; or a skip where it can't be. `prepare` may
 * add to the NIC before the daemon starts.
 */
export function withWholeNode(
  take: (node: WholeNode) => void,
  pods: readonly (readonly [name: string, namespace: string])[],
  prepare: (sandbox: Sandbox) => void = () => undefined,
): void {
  const own = new AsyncDisposableStack()
  before(async function () {
    requireRoot(this)
    const sandbox = own.use(new Sandbox())
    makeNic(sandbox)
    prepare(sandbox)
    const node = own.use(new WholeNode(sandbox, buildObjects(join(sandbox.folder, 'objects'))))
    await node.start()
    for (const [name, namespace] of pods) assert.equal((await node.add(name, namespace)).ok, true)
    take(node)
  })
  after(() => own.disposeAsync())
}
