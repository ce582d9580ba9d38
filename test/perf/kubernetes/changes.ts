/**
 * How soon a change that somebody makes is in force on all nodes: from the API server's acknowledgement until the tables of both nodes' kernels
 * have it. A namespace's SNAT is the route to the outside; a VirtualNetworkRouter is the route to a pod of the other network.
 */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Kubelab } from '../../kubelab/kubelab.ts'
import { type Api, now, RESOURCES } from './api.ts'
import { NodeProgram } from './on-node.ts'

const PINS = '/sys/fs/bpf/vrouter/v1'
const OUTSIDE = '192.0.2.10'
const NODES = [1, 2] as const
const PATIENCE_MS = 5000
const PAUSE_MS = 100

export interface Changes {
  readonly annotationMs: readonly number[]
  readonly routerMs: readonly number[]
  /** Longest time between two looks at the tables. */
  readonly resolutionMs: readonly number[]
}

interface Seen {
  readonly at: number
  readonly isThere: boolean
}

export async function changes(lab: Kubelab, api: Api, toggles: number, routers: number): Promise<Changes> {
  await using undo = new AsyncDisposableStack()
  const namespace = `change-${randomBytes(3).toString('hex')}`
  await api.namespace(namespace, { 'vrouter.dev/isolation': 'true' })
  const labels = { group: namespace }
  for (const [index, name] of ['red', 'blue'].entries()) {
    const spec = { subnets: [{ cidr: `172.2${4 + index}.0.0/24` }] }
    const metadata = { name, namespace, labels }
    await api.create(RESOURCES.VirtualNetwork, {
      apiVersion: 'vrouter.dev/v1alpha1',
      kind: 'VirtualNetwork',
      metadata,
      spec,
    })
  }
  await startAll(lab, namespace)
  const addressOf = (name: string) => api.pod(namespace, name)!.status!.podIP!

  const seen = new Map<string, Seen>()
  const resolutionMs: number[] = []
  let heard: () => void = () => undefined
  for (const node of NODES) {
    const watch = NodeProgram.script(lab, node, 'route-watch.ts', [PINS], (line) => {
      const { key, at, isThere, gapMs } = JSON.parse(line) as Seen & { key: string; gapMs: number }
      seen.set(`${node} ${key}`, { at, isThere })
      resolutionMs.push(gapMs)
      heard()
    })
    undo.use(watch)
    watch.tell({ key: 'snat', pod: addressOf(`plain-${node}`), address: OUTSIDE })
    watch.tell({ key: 'leak', pod: addressOf(`red-${node}`), address: addressOf(`blue-${3 - node}`), longerThan: 0 })
  }

  /** When the last node had it; the moment in which it was seen first is what counts, even when word of it comes later. */
  const until = async (key: string, isThere: boolean): Promise<number> => {
    const deadline = now() + PATIENCE_MS
    for (;;) {
      const all = NODES.map((node) => seen.get(`${node} ${key}`))
      if (all.every((one) => one?.isThere === isThere)) return Math.max(...all.map((one) => one!.at))
      const left = deadline - now()
      if (left <= 0) throw new Error(`${key} ${isThere}: not on all nodes within ${PATIENCE_MS} ms`)
      await Promise.race([
        new Promise<void>((resolve) => {
          heard = resolve
        }),
        sleep(left, undefined, { ref: false }),
      ])
    }
  }
  const timed = async (key: string, isThere: boolean, change: () => Promise<unknown>): Promise<number> => {
    await change()
    const acknowledged = now()
    const done = (await until(key, isThere)) - acknowledged
    await sleep(PAUSE_MS + Math.random() * PAUSE_MS)
    return done
  }

  await until('snat', true)
  await until('leak', false)
  resolutionMs.length = 0
  const annotationMs: number[] = []
  for (let index = 0; index < toggles; index++) {
    const isOn = index % 2 === 1
    const body = { metadata: { annotations: { 'vrouter.dev/snat': String(isOn) } } }
    annotationMs.push(await timed('snat', isOn, () => api.merge(RESOURCES.Namespace, { name: namespace }, body)))
  }
  const routerMs: number[] = []
  for (let index = 0; index < routers; index++) {
    const metadata = { name: 'join', namespace, labels: { router: 'join' } }
    const spec = { type: 'mesh', virtualNetworkSelector: { matchLabels: labels } }
    const router = { apiVersion: 'vrouter.dev/v1alpha1', kind: 'VirtualNetworkRouter', metadata, spec }
    routerMs.push(await timed('leak', true, () => api.create(RESOURCES.VirtualNetworkRouter, router)))
    routerMs.push(
      await timed('leak', false, () => api.remove(RESOURCES.VirtualNetworkRouter, { namespace, name: 'join' })),
    )
  }
  await lab.kubectl(['delete', 'namespace', '--wait=true', namespace], { timeoutMs: 180_000 })
  return { annotationMs, routerMs, resolutionMs }
}

/** On each node a pod of the namespace's own network, and one of either other network. */
async function startAll(lab: Kubelab, namespace: string): Promise<void> {
  const { podManifest } = await import('./api.ts')
  const items = NODES.flatMap((node) =>
    ['plain', 'red', 'blue'].map((name) => {
      const manifest = podManifest(namespace, `${name}-${node}`, `node${node}`)
      const annotations = name === 'plain' ? {} : { 'vrouter.dev/network': name }
      return { ...manifest, metadata: { ...manifest.metadata, annotations } }
    }),
  )
  await lab.apply({ apiVersion: 'v1', kind: 'List', items })
  await lab.kubectl(['wait', '-n', namespace, 'pod', '--all', '--for=condition=Ready', '--timeout=60s'], {
    timeoutMs: 90_000,
  })
}
