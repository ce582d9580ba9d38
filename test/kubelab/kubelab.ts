/**
 * A Kubernetes cluster on this machine, nodes being sets of namespaces: what `hack/kubelab` and the end-to-end tests are made on. Root only.
 *
 *   await using lab = await Kubelab.start({ name: 'e2e', nodes: 2 })
 *   await lab.kubectl(['get', 'nodes'])
 */
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync, rmdirSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { writeWhole } from '../lab/files.ts'
import { end } from '../lab/process.ts'
import { removeCgroups } from './cgroups.ts'
import { type ChartOptions, installChart } from './chart.ts'
import { TestCluster } from './cluster.ts'
import { attempt, type CommandOptions, type Outcome, together, until } from './command.ts'
import { isPartRunning, type Part, partLog, parts, startPart, stopPart } from './control-plane.ts'
import { dnsImage, installDns } from './dns.ts'
import { dumpFolder } from './dump-folder.ts'
import { createFabric, enterOutside } from './fabric.ts'
import { claimFolder, enter, holderOf, needHolder, startersOf, startHolder } from './holder.ts'
import { buildImages } from './images.ts'
import {
  defaultName,
  disksDirectory,
  imageArchive,
  labPaths,
  labsDirectory,
  type NodeIdentity,
  type NodePaths,
  nodePaths,
  nodesOf,
  tools,
} from './layout.ts'
import { boot, isUp, loadImage, onNode, powerOff, prepareDisk } from './node.ts'
import type { NodeOptions } from './node-config.ts'
import { makePki } from './pki.ts'
import { keepPodRoutes } from './pod-routes.ts'
import { prepare } from './prepare.ts'
import { installReferenceCni } from './reference-cni.ts'

export type { Outcome } from './command.ts'
export { whyNot } from './prepare.ts'

export type Cni = 'kube-vrouter' | 'reference' | 'none'

export interface StartOptions extends ChartOptions {
  readonly name?: string
  readonly nodes?: number
  readonly cni?: Cni
  readonly dualStack?: boolean
  readonly kubeProxy?: boolean
  /** CoreDNS behind the Service kube-dns. */
  readonly dns?: boolean
  readonly containerd?: 1 | 2
  /** More image archives for every node. */
  readonly images?: readonly string[]
  /** Told each step that is done, and how long it took. */
  readonly say?: (line: string) => void
  readonly signal?: AbortSignal
}

/** What lasts of a lab between two commands. */
interface LabState extends NodeOptions {
  readonly nodes: number
  readonly cni: Cni
}

export class Kubelab extends TestCluster {
  override readonly name: string
  readonly #state: LabState

  private constructor(name: string, state: LabState) {
    super()
    this.name = name
    this.#state = state
  }

  /** A lab that is up. */
  static open(name: string = defaultName): Kubelab {
    needHolder(name)
    return new Kubelab(name, readState(name))
  }

  /**
   * Makes a lab, for tests: builds what is missing first (programs, image); what fails half-way is dumped into a folder, which the error names,
   * and taken down. Returns when every node is Ready (with `cni: 'none'`: registered).
   * @throws at once where a lab of that name exists
   */
  static async start(options: StartOptions = {}): Promise<Kubelab> {
    const name = options.name ?? defaultName
    await prepare(options.cni ?? 'kube-vrouter', options.signal)
    const wasThere = existsSync(labPaths(name).root)
    try {
      return await Kubelab.create(options)
    } catch (error) {
      if (wasThere) throw error
      const folder = dumpFolder('KUBELAB_DUMP')
      if (holderOf(name) !== undefined) await Kubelab.open(name).dump(folder)
      await down(name)
      throw new Error(`${error instanceof Error ? error.message : String(error)}\nlogs and objects lie in ${folder}`, {
        cause: error,
      })
    }
  }

  /**
   * Makes a lab of what is built. What fails half-way is left to look at: `down` removes it.
   */
  static async create(options: StartOptions = {}): Promise<Kubelab> {
    const name = options.name ?? defaultName
    const count = options.nodes ?? 2
    const state: LabState = {
      nodes: count,
      cni: options.cni ?? 'kube-vrouter',
      cgroup: `kubelab-${name}-${randomBytes(4).toString('hex')}`,
      containerd: options.containerd ?? 2,
      dualStack: options.dualStack ?? false,
      kubeProxy: options.kubeProxy ?? false,
    }
    const { signal } = options
    const step = stepper(options.say ?? (() => {}))
    claimFolder(name)
    // Before anything that `down` must know.
    writeWhole(labPaths(name).state, JSON.stringify(state))
    const lab = new Kubelab(name, state)
    await step('fabric and keys', async () => {
      await startHolder(name, signal)
      await together<unknown>([
        createFabric(name, labPaths(name), signal),
        makePki(labPaths(name), name, count, signal),
      ])
    })
    const images = [...(await buildImages(signal)), ...(options.images ?? [])]
    // Nodes unpack images while the control plane starts; a kubelet tries until the API server answers.
    await together<unknown>([
      step('control plane', () => lab.#startControlPlane(signal)),
      step('nodes with images', () => together<unknown>(lab.nodes.map((node) => lab.#firstBoot(node, images, signal)))),
    ])
    await step('nodes registered', () => lab.#untilRegistered(signal))
    await lab.#installCni(options, step)
    if (options.dns === true) {
      await step('DNS', async () => {
        await lab.load(dnsImage(), signal)
        await installDns(lab, state.dualStack, signal)
      })
    }
    return lab
  }

  override get nodes(): NodePaths[] {
    return nodesOf(this.name, this.#state.nodes)
  }

  override get hasVrouter(): boolean {
    return this.cni === 'kube-vrouter'
  }

  override get logFolders(): readonly string[] {
    const { controlPlane, root } = labPaths(this.name)
    return [controlPlane, root]
  }

  get cni(): Cni {
    return this.#state.cni
  }

  get containerd(): 1 | 2 {
    return this.#state.containerd
  }

  /** @throws where there is no such node */
  node(number: number): NodePaths {
    return nodePaths(this.name, this.known(number).number)
  }

  override get administrator(): { readonly prefix: readonly string[]; readonly env: Readonly<Record<string, string>> } {
    return {
      prefix: enter(needHolder(this.name).pid, ['net']),
      env: { KUBECONFIG: labPaths(this.name).adminKubeconfig, PATH: `${tools.bin}:${process.env['PATH'] ?? ''}` },
    }
  }

  override tryKubectl(args: readonly string[], options: CommandOptions = {}): Promise<Outcome> {
    const { prefix, env } = this.administrator
    return attempt([...prefix, 'kubectl', ...args], { ...options, env: { ...env, ...options.env } })
  }

  override async exec(
    node: number | `node${number}`,
    command: readonly string[],
    options: CommandOptions = {},
  ): Promise<Outcome> {
    const number = typeof node === 'number' ? node : Number(node.slice('node'.length))
    return await attempt(onNode(this.node(number), command, this.#state.containerd), options)
  }

  override async outside(command: readonly string[], options: CommandOptions = {}): Promise<Outcome> {
    return await attempt([...enterOutside(this.name), ...command], options)
  }

  /** Imports an image archive on every node that is up. */
  async load(archive: string, signal?: AbortSignal): Promise<void> {
    const nodes = this.nodes.filter(isUp)
    await together<unknown>(nodes.map((node) => loadImage(node, archive, this.#state, signal)))
  }

  override nodeDown(node: number): Promise<boolean> {
    return powerOff(this.node(node), this.#state)
  }

  /** @param as what the machine is called from now on, and its address; its disk stays. It keeps its number; `untilReady` knows the old name only. */
  override async nodeUp(node: number, signal?: AbortSignal, as?: Partial<NodeIdentity>): Promise<void> {
    const machine = { ...this.node(node), ...as }
    if (as !== undefined) await prepareDisk(this.name, machine, this.#state)
    await boot(this.name, machine, this.#state, signal)
  }

  override stopPart(part: Part, signal: 'SIGTERM' | 'SIGKILL' = 'SIGKILL'): Promise<boolean> {
    return stopPart(this.name, part, signal)
  }

  override startPart(part: Part): Promise<void> {
    return startPart(this.name, part, this.#state)
  }

  async #startControlPlane(signal?: AbortSignal): Promise<void> {
    for (const part of parts) {
      await startPart(this.name, part, this.#state)
      if (part === 'kube-apiserver') {
        await until('the API server', () => this.kubectl(['get', '--raw', '/readyz'], { timeoutMs: 30_000, signal }), {
          timeoutMs: 120_000,
          everyMs: 250,
          signal,
          progress: () => {
            const ended = parts.find((each) => existsSync(partLog(this.name, each)) && !isPartRunning(this.name, each))
            if (ended) throw new Error(`${ended} has ended: see ${partLog(this.name, ended)}`)
            return [`${statSync(partLog(this.name, part)).size} bytes of log`]
          },
          explain: () => `see ${partLog(this.name, part)}`,
        })
      }
    }
    // Without it no pod can be made.
    const account = ['get', 'serviceaccount', 'default']
    const log = partLog(this.name, 'kube-controller-manager')
    await until('the default service account', () => this.kubectl(account, { signal }), {
      timeoutMs: 120_000,
      signal,
      progress: () => [`${statSync(log).size} bytes of log`],
      explain: () => `see ${log}`,
    })
  }

  async #firstBoot(node: NodePaths, images: readonly string[], signal?: AbortSignal): Promise<void> {
    await prepareDisk(this.name, node, this.#state)
    await boot(this.name, node, this.#state, signal)
    for (const image of images) await loadImage(node, image, this.#state, signal)
  }

  async #untilRegistered(signal?: AbortSignal): Promise<void> {
    await until(
      'the nodes to register',
      async () => {
        const known = await this.readiness(signal)
        return this.nodes.every((node) => (known.get(node.name)?.podCidrs.length ?? 0) > 0)
      },
      {
        timeoutMs: 120_000,
        signal,
        progress: () => this.nodes.map((node) => `${node.name}: ${logSize(node)} bytes of log`),
        explain: () => `see ${this.nodes.map(kubeletLog).join(', ')}`,
      },
    )
  }

  async #installCni(options: StartOptions, step: Stepper): Promise<void> {
    const { signal } = options
    switch (this.#state.cni) {
      case 'none':
        return
      case 'reference':
        await step('reference CNI', async () => {
          const known = await this.readiness(signal)
          const ranges = new Map([...known].map(([name, { podCidrs }]) => [name, podCidrs]))
          await installReferenceCni(this.name, this.nodes, ranges, this.#state)
        })
        break
      case 'kube-vrouter':
        await step('image on every node', () => this.load(imageArchive, signal))
        await step('helm install', () => installChart(this, options))
        keepPodRoutes(this.name)
        break
    }
    await step('all nodes Ready', () => this.untilAllReady(this.nodes, undefined, signal))
  }

  override async [Symbol.asyncDispose](): Promise<void> {
    await down(this.name)
  }
}

/** Removes a lab, whatever there is of it. @returns whether there was one */
export async function down(name: string): Promise<boolean> {
  const { root, disks, holder } = labPaths(name)
  if (!existsSync(root) && !existsSync(disks)) return false
  await end(holder, 'SIGKILL')
  // Of an `up` that was killed before it had noted who its first process is.
  for (const pid of startersOf(name)) process.kill(pid, 'SIGKILL')
  // Ending number 1 ends every process of the namespace; what is left of them is gone when their cgroups can be removed.
  const state = existsSync(labPaths(name).state) ? readState(name) : undefined
  if (state !== undefined) {
    await until('the cgroups to be empty', () => removeCgroups(state.cgroup).length === 0, {
      timeoutMs: 120_000,
      everyMs: 20,
    })
  }
  for (const folder of [disks, root]) rmSync(folder, { recursive: true, force: true, maxRetries: 5 })
  for (const folder of [disksDirectory, labsDirectory]) {
    try {
      rmdirSync(folder)
    } catch {
      // other labs
    }
  }
  return true
}

function readState(name: string): LabState {
  return JSON.parse(readFileSync(labPaths(name).state, 'utf8')) as LabState
}

function kubeletLog(node: NodePaths): string {
  return join(node.disk, 'var-log/kubelet.log')
}

function logSize(node: NodePaths): number {
  return statSync(kubeletLog(node), { throwIfNoEntry: false })?.size ?? 0
}

type Stepper = <T>(title: string, work: () => Promise<T>) => Promise<T>

function stepper(say: (line: string) => void): Stepper {
  return async (title, work) => {
    const begun = performance.now()
    const result = await work()
    say(`${title}: ${((performance.now() - begun) / 1000).toFixed(1)} s`)
    return result
  }
}
