/**
 * A large cluster, of which this lab's nodes are two: routers, blocks and interfaces of many nodes that don't exist, all in the default network, in
 * the real API server. They go with the lab: nothing can be measured on it afterwards. What the daemon of node 1 costs then, how long it is deaf, and how soon one change is in its kernel.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { release } from '../../kubelab/chart.ts'
import type { Kubelab } from '../../kubelab/kubelab.ts'
import { type Api, now, RESOURCES } from './api.ts'
import { DaemonProcess } from './daemon-process.ts'
import { NodeProgram } from './on-node.ts'

const PINS = '/sys/fs/bpf/vrouter/v1'
const VN = 'default-domain:k8s-default:k8s-default-pod-network'
const NAMESPACE = 'large'
const apiVersion = 'vrouter.dev/v1alpha1'
/** Writers at once: as many as the API server of a small machine likes. */
const WRITERS = 32
const SETTLE_MS = 15_000
const CHANGES = 40
const CHURN_PER_SECOND = 50
const PATIENCE_MS = 300_000

export interface Scale {
  readonly writeSeconds: number
  /** While the objects came in. */
  readonly fillPeakMb: number
  readonly fillBlockMs: number
  readonly fillCpuSeconds: number
  readonly residentMb: number
  readonly idlePercent: number
  readonly churnPerSecond: number
  readonly churnPercent: number
  readonly churnBlockMs: number
  readonly changeMs: readonly number[]
  readonly resolutionMs: readonly number[]
  /** A daemon that starts: lists everything, from its first moment to the last route. */
  readonly startResidentMb: number
  readonly startPeakMb: number
  /** Until it was ready, and in the time after that. */
  readonly startBlockMs: number
  readonly servedBlockMs: number
  readonly startCpuSeconds: number
  readonly startSeconds: number
}

export async function scale(lab: Kubelab, api: Api, pods: number, nodes: number, churnSeconds: number): Promise<Scale> {
  await using undo = new AsyncDisposableStack()
  // It would take away, rightly, what nodes and pods left that don't exist.
  const controller = ['-n', release.namespace, 'deployment/vrouter-controller']
  await lab.kubectl(['scale', '--replicas=0', ...controller])
  await api.namespace(NAMESPACE)
  await api.startPod(NAMESPACE, 'here', 'node1')
  const pod = api.pod(NAMESPACE, 'here')!.status!.podIP!
  const layout = new Layout(pods, nodes)
  const daemon = await DaemonProcess.of(lab, 1)

  const seen = new Map<string, { at: number; isThere: boolean }>()
  const resolutionMs: number[] = []
  let heard: () => void = () => undefined
  const watch = undo.use(
    NodeProgram.script(lab, 1, 'route-watch.ts', [PINS], (line) => {
      const { key, at, isThere, gapMs } = JSON.parse(line) as {
        key: string
        at: number
        isThere: boolean
        gapMs: number
      }
      seen.set(key, { at, isThere })
      resolutionMs.push(gapMs)
      heard()
    }),
  )
  const until = async (key: string, isThere: boolean): Promise<number> => {
    const deadline = now() + 30_000
    for (;;) {
      const one = seen.get(key)
      if (one?.isThere === isThere) return one.at
      if (now() > deadline) throw new Error(`${key} ${isThere}: not within 30 s`)
      await Promise.race([
        new Promise<void>((resolve) => {
          heard = resolve
        }),
        sleep(1000, undefined, { ref: false }),
      ])
    }
  }

  const cpuBefore = await daemon.cpuSeconds()
  await daemon.longestBlockMs()
  const begun = performance.now()
  const written = await layout.write(api)
  const writeSeconds = (performance.now() - begun) / 1000
  await untilRoutes(lab, pods)
  await sleep(SETTLE_MS)
  const fillCpuSeconds = (await daemon.cpuSeconds()) - cpuBefore
  const fillPeakMb = await daemon.peakMb()
  const fillBlockMs = await daemon.longestBlockMs()
  await sleep(SETTLE_MS)
  const residentMb = await daemon.residentMb()
  const idlePercent = await daemon.cpuPercent(60)

  // An interface that comes and goes: until it is there, its node's block leads to it.
  const lone = layout.addressOf(61 * nodes)
  watch.tell({ key: 'lone', pod, address: lone, longerThan: 31 })
  await until('lone', false)
  resolutionMs.length = 0
  const changeMs: number[] = []
  for (let index = 0; index < CHANGES; index++) {
    const isThere = index % 2 === 0
    if (isThere) await api.create(RESOURCES.VirtualMachineInterface, layout.interfaceObject('lone', 0, lone, 999_999))
    else await api.remove(RESOURCES.VirtualMachineInterface, { namespace: NAMESPACE, name: 'lone' })
    const acknowledged = now()
    changeMs.push((await until('lone', isThere)) - acknowledged)
    await sleep(500 + Math.random() * 500)
  }

  await daemon.longestBlockMs()
  const churn = layout.churn(api, churnSeconds * CHURN_PER_SECOND)
  const churnPercent = await daemon.cpuPercent(churnSeconds)
  const churnBlockMs = await daemon.longestBlockMs()
  const churned = await churn
  const churnPerSecond = churned.count / churned.seconds

  await lab.killDaemon(1)
  const startedAt = performance.now()
  const fresh = await untilServes(lab, daemon.pid)
  const startSeconds = (performance.now() - startedAt) / 1000
  const startBlockMs = await fresh.longestBlockMs()
  await untilRoutes(lab, written)
  await sleep(SETTLE_MS)
  const servedBlockMs = await fresh.longestBlockMs()
  return {
    writeSeconds,
    fillPeakMb,
    fillBlockMs,
    fillCpuSeconds,
    residentMb,
    idlePercent,
    churnPerSecond,
    churnPercent,
    churnBlockMs,
    changeMs,
    resolutionMs,
    startResidentMb: await fresh.residentMb(),
    startPeakMb: await fresh.peakMb(),
    startBlockMs,
    servedBlockMs,
    startCpuSeconds: await fresh.cpuSeconds(),
    startSeconds,
  }
}

/** Which object says what: node i has one block of 64 addresses, and its pods are in it. */
class Layout {
  readonly #pods: number
  readonly #nodes: number

  constructor(pods: number, nodes: number) {
    this.#pods = pods
    this.#nodes = nodes
  }

  /** Blocks from the upper end down: the nodes that exist take theirs from the lower one. */
  #blockOf(node: number): string {
    const at = (1022 - node) * 64
    return `10.244.${at >> 8}.${at & 255}`
  }

  addressOf(index: number): string {
    const [a, b, c, d] = this.#blockOf(index % this.#nodes)
      .split('.')
      .map(Number) as [number, number, number, number]
    return `${a}.${b}.${c}.${d + 2 + Math.floor(index / this.#nodes)}`
  }

  interfaceObject(name: string, node: number, address: string, index: number) {
    const hex = index.toString(16).padStart(12, '0')
    return {
      apiVersion,
      kind: 'VirtualMachineInterface',
      metadata: { name, namespace: NAMESPACE },
      spec: {
        uuid: `00000000-0000-5000-8000-${hex}`,
        network: VN,
        node: nodeName(node),
        pod: { name, uid: `00000000-0000-4000-8000-${hex}` },
        containerId: randomBytes(32).toString('hex'),
        interface: 'eth0',
        mac: `02:00:00:${hex.slice(6, 8)}:${hex.slice(8, 10)}:${hex.slice(10, 12)}`,
        addresses: [address],
        label: 100 + (index % 4000),
      },
    }
  }

  /** @returns the number of interfaces */
  async write(api: Api): Promise<number> {
    await many(this.#nodes, (index) =>
      api.create(RESOURCES.VirtualRouter, {
        apiVersion,
        kind: 'VirtualRouter',
        metadata: { name: nodeName(index) },
        spec: {
          address: `10.10.${4 + (index >> 7)}.${1 + (index & 127)}`,
          encapsulations: ['MPLSoUDP'],
          vrfLabels: { [VN]: 16 },
          vhostLabel: 17,
        },
      }),
    )
    await many(this.#nodes, (index) =>
      api.create(RESOURCES.IPAMBlock, {
        apiVersion,
        kind: 'IPAMBlock',
        metadata: { name: `large-${index}` },
        spec: { network: VN, cidr: `${this.#blockOf(index)}/26`, node: nodeName(index) },
      }),
    )
    await many(this.#pods, (index) =>
      api.create(
        RESOURCES.VirtualMachineInterface,
        this.interfaceObject(`pod-${index}`, index % this.#nodes, this.addressOf(index), index),
      ),
    )
    return this.#pods
  }

  /** Pods that end and start, as their interfaces tell it, as fast as wanted. */
  async churn(api: Api, changes: number): Promise<{ count: number; seconds: number }> {
    const begun = performance.now()
    const under: Promise<unknown>[] = []
    for (let index = 0; index < changes; index++) {
      const due = begun + (index * 1000) / CHURN_PER_SECOND
      const wait = due - performance.now()
      if (wait > 0) await sleep(wait)
      const at = (index >> 1) % this.#pods
      const name = `pod-${at}`
      under.push(
        index % 2 === 0
          ? api.remove(RESOURCES.VirtualMachineInterface, { namespace: NAMESPACE, name })
          : Promise.resolve(under.at(-1)).then(() =>
              api.create(
                RESOURCES.VirtualMachineInterface,
                this.interfaceObject(name, at % this.#nodes, this.addressOf(at), at),
              ),
            ),
      )
    }
    await Promise.all(under)
    return { count: under.length, seconds: (performance.now() - begun) / 1000 }
  }
}

function nodeName(index: number): string {
  return `large-${index}`
}

async function many(count: number, make: (index: number) => Promise<unknown>): Promise<void> {
  let next = 0
  const work = async () => {
    while (next < count) await make(next++)
  }
  await Promise.all(Array.from({ length: WRITERS }, work))
}

/** Until node 1's kernel holds that many host routes. */
async function untilRoutes(lab: Kubelab, count: number): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS
  for (;;) {
    const { stdout } = await lab.exec(1, ['curl', '-sf', 'http://127.0.0.1:9485/metrics'])
    const used = Number(/^vrouter_table_[a-z_]*used[a-z_]*\{table="route4"\} (\S+)$/m.exec(stdout)?.[1])
    if (used >= count) return
    if (performance.now() > deadline) throw new Error(`only ${used} of ${count} routes are in the kernel`)
    await sleep(500)
  }
}

/** The daemon that took the place of the one with `pid`, when it is ready. */
async function untilServes(lab: Kubelab, pid: number): Promise<DaemonProcess> {
  const deadline = performance.now() + PATIENCE_MS
  for (;;) {
    const { status } = await lab.exec(1, ['curl', '-sf', 'http://127.0.0.1:9485/readyz'])
    const daemon = await DaemonProcess.of(lab, 1).catch(() => undefined)
    if (status === 0 && daemon !== undefined && daemon.pid !== pid) return daemon
    if (performance.now() > deadline) throw new Error('the daemon of node1 did not come back')
    await sleep(50)
  }
}
