/**
 * Whether pods can be started on a node: condition NetworkUnavailable and taint `node.vrouter.dev/agent-not-ready` follow the node's vRouter
 * daemon, and so does condition Ready of its VirtualRouter: of two with one address, daemons go by the one that is ready. Pure.
 */
import { type Action, statusPatch, withConditions } from './actions.ts'
import type { Durations } from './durations.ts'
import { type AgentPod, conditionOf, type NodeObject, type Resourceful } from './resources.ts'
import type { View } from './view.ts'

export const TAINT = 'node.vrouter.dev/agent-not-ready'

export interface NodeOptions {
  readonly now: number
  readonly durations: Durations
  /** How long a node may be without a ready daemon before it gets no more pods, milliseconds: a restart takes less. */
  readonly graceMs: number
}

export function reconcileNodes(view: View, { now, durations, graceMs }: NodeOptions): Action[] {
  const { nodes, agents, routers } = view.world
  const agentsOf = Map.groupBy(agents.values(), (pod) => (pod as AgentPod).spec?.nodeName ?? '')
  const ready = servedNodes(view.world)
  const holders = new Map(
    view.routers.flatMap(({ item }) =>
      item && nodes.has(item.name) && ready.has(item.name) ? [[item.address, item.name]] : [],
    ),
  )
  const addresses = new Map(view.routers.flatMap(({ item }) => (item ? [[item.name, item.address]] : [])))
  const successorOf = (name: string) => holders.get(addresses.get(name) ?? '')
  const ofNodes = [...nodes.values()].flatMap((object) => {
    const node = object as NodeObject
    const { name } = node.metadata
    const pods = agentsOf.get(name) ?? []
    const router = routers.get(name)
    if (ready.has(name)) {
      return [...open(node, now), ...(router === undefined ? [] : told(router, true, 'AgentReady', '', now))]
    }
    // A node that never had a daemon isn't ours: its network may be another's.
    if (pods.length === 0 && router === undefined) return []
    const isLong = durations.haveLasted(`no ready agent on ${name}`, graceMs)
    const message = pods.length === 0 ? `node ${name} has no vRouter daemon` : whyNotReady(node, pods[0]!)
    // The machine runs under another name now: its traffic shall not wait for what it left behind.
    const successor = conditionOf(node, 'Ready')?.status === 'True' ? undefined : successorOf(name)
    const actions = isLong ? close(node, message, now) : []
    if (router === undefined || (!isLong && successor === undefined)) return actions
    const isTaken = successor !== undefined
    const reason = isTaken ? 'AddressTaken' : 'AgentNotReady'
    const words = isTaken ? `node ${name} is not ready, and node ${successor} is, which has its address now` : message
    return [...actions, ...told(router, false, reason, words, now)]
  })
  // A cluster has nodes: without any, it is the list that is wrong.
  if (nodes.size === 0) return []
  const orphans = [...routers.values()].filter(({ metadata: { name } }) => !nodes.has(name))
  const ofOrphans = orphans.flatMap((router) =>
    told(router, false, 'NodeMissing', `there is no node ${router.metadata.name}`, now),
  )
  return [...ofNodes, ...ofOrphans]
}

/** Nodes whose daemon is ready, as far as somebody says so. */
export function servedNodes({ nodes, agents }: View['world']): ReadonlySet<string> {
  const ready = [...agents.values()].filter(isReady).map((pod) => (pod as AgentPod).spec?.nodeName ?? '')
  return new Set(ready.filter((name) => isHeardOf(nodes.get(name))))
}

/** When a kubelet falls silent, its pods keep their last conditions if the node was not ready just before: Kubernetes changes them only where it was. */
function isHeardOf(node: Resourceful | undefined): boolean {
  return node === undefined || conditionOf(node, 'Ready')?.status !== 'Unknown'
}

/** Of a daemon's pod. */
function isReady(pod: Resourceful): boolean {
  return conditionOf(pod, 'Ready')?.status === 'True' && (pod.metadata.deletionTimestamp ?? null) === null
}

function whyNotReady(node: Resourceful, pod: Resourceful): string {
  if (!isHeardOf(node)) return `nothing is heard of node ${node.metadata.name} (its condition Ready is Unknown)`
  const { name } = pod.metadata
  const reason = conditionOf(pod, 'Ready')?.message ?? conditionOf(pod, 'ContainersReady')?.message
  return `the vRouter daemon ${name} is not ready${reason === undefined || reason === '' ? '' : `: ${reason}`}`
}

/** Lets pods come. */
function open(node: NodeObject, now: number): Action[] {
  const actions = condition(node, 'False', 'VrouterReady', 'the vRouter daemon of the node is ready', now)
  const taints = node.spec?.taints ?? []
  if (taints.some(({ key }) => key === TAINT))
    actions.push(
      taintsPatch(
        node,
        taints.filter(({ key }) => key !== TAINT),
      ),
    )
  return actions
}

/** Lets no new pods come; those that run stay, for their traffic goes on. */
function close(node: NodeObject, message: string, now: number): Action[] {
  const actions = condition(node, 'True', 'VrouterNotReady', message, now)
  const taints = node.spec?.taints ?? []
  if (!taints.some(({ key }) => key === TAINT)) {
    actions.push(taintsPatch(node, [...taints, { key: TAINT, effect: 'NoSchedule' }]))
    const event = { of: 'nodes', object: node, type: 'Warning', reason: 'VrouterNotReady', message } as const
    actions.push({ type: 'event', event })
  }
  return actions
}

function taintsPatch(node: NodeObject, taints: readonly object[]): Action {
  return { type: 'patch', of: 'nodes', object: node, form: 'merge', patch: { spec: { taints } }, isExact: true }
}

function condition(node: NodeObject, status: 'True' | 'False', reason: string, message: string, now: number): Action[] {
  const known = conditionOf(node, 'NetworkUnavailable')
  // The words may differ: daemons that come and go must not make a write of it.
  if (known?.status === status && known.reason === reason) return []
  const time = new Date(now).toISOString().replace(/\.\d+Z$/, 'Z')
  const lastTransitionTime = known?.status === status ? (known.lastTransitionTime ?? time) : time
  const wanted = { type: 'NetworkUnavailable', status, reason, message, lastTransitionTime, lastHeartbeatTime: time }
  const patch = { status: { conditions: [wanted] } }
  return [{ type: 'patch', of: 'nodes', object: node, subresource: 'status', form: 'strategic', patch }]
}

function told(router: Resourceful, status: boolean, reason: string, message: string, now: number): Action[] {
  const known = conditionOf(router, 'Ready')
  if (known?.status === (status ? 'True' : 'False') && known.reason === reason) return []
  const conditions = withConditions(router, [{ type: 'Ready', status, reason, message }], now)
  const patch = statusPatch('routers', router, { conditions })
  return patch === undefined ? [] : [patch]
}
