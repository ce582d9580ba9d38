/**
 * Takes away what nobody will: objects of nodes and pods that are gone. Kubernetes does so itself where owner references say it; these are
 * for objects without, such as those that came with a backup of another cluster. Pure; each deletion is confirmed by the API server before.
 */

import { isSingle } from '../model/ipam.ts'
import type { Action } from './actions.ts'
import type { Durations } from './durations.ts'
import { servedNodes } from './nodes.ts'
import type { Resourceful } from './resources.ts'
import type { View } from './view.ts'

/** The pods that existed at a time. */
export interface Census {
  readonly uids: ReadonlySet<string>
  /** Milliseconds of the wall clock. Interfaces that are younger tell of pods that may be, too. */
  readonly at: number
}

export interface GarbageOptions {
  readonly durations: Durations
  /** How long a node or pod must be gone, milliseconds: nodes come back, and lists lag. */
  readonly goneMs: number
  /** Absent: not known (yet). */
  readonly pods?: Census
}

/**
 * How long a block of one address must have served no pod while its node has no ready daemon, milliseconds. A daemon that is there gives it back itself, and
 * one that is only restarted has its pods in the API server, which is asked before.
 */
const FREE_MS = 5_000

export function collectGarbage(view: View, { durations, goneMs, pods }: GarbageOptions): Action[] {
  const { nodes } = view.world
  // A cluster has nodes: without any, it is the list that is wrong.
  if (nodes.size === 0) return []
  const actions: Action[] = []
  const isGone = (node: string) => !nodes.has(node) && durations.haveLasted(`node ${node} is gone`, goneMs)
  const ready = servedNodes(view.world)
  for (const { object, item } of view.blocks) {
    if (item === undefined) continue
    const { node, vn, cidr } = item
    if (isGone(node)) {
      actions.push(ofNode('blocks', object, node))
    } else if (isSingle(item) && !ready.has(node)) {
      const address = cidr.slice(0, cidr.indexOf('/'))
      const isUsed = view.interfacesOf
        .get(vn)
        ?.some((one) => one.item?.node === node && one.item.addresses.includes(address))
      if (isUsed === true || !durations.haveLasted(`${object.metadata.uid} serves no pod`, FREE_MS)) continue
      const why = `no pod of node ${node} has the address, and no daemon is there to give it back`
      actions.push({ type: 'delete', of: 'blocks', object, why, unless: { kind: 'address', node, address } })
    }
  }
  for (const { object } of view.routers) {
    const { name } = object.metadata
    if (isGone(name)) actions.push(ofNode('routers', object, name))
  }
  for (const { object, item } of view.interfaces) {
    if (item === undefined) continue
    const { node, namespace, pod } = item
    if (isGone(node)) {
      actions.push(ofNode('interfaces', object, node))
    } else if (isPodMissing(object, pod.uid, pods)) {
      if (!durations.haveLasted(`pod ${pod.uid} is gone`, goneMs)) continue
      const unless = { kind: 'pod', namespace, name: pod.name, uid: pod.uid } as const
      const why = `pod ${namespace}/${pod.name} (${pod.uid}) is gone`
      actions.push({ type: 'delete', of: 'interfaces', object, why, unless })
    }
  }
  return actions
}

function ofNode(of: 'blocks' | 'routers' | 'interfaces', object: Resourceful, node: string): Action {
  return { type: 'delete', of, object, why: `node ${node} is gone`, unless: { kind: 'node', name: node } }
}

function isPodMissing(
  { metadata: { creationTimestamp } }: Resourceful,
  uid: string,
  pods: Census | undefined,
): boolean {
  if (pods === undefined || uid === '' || pods.uids.has(uid)) return false
  return typeof creationTimestamp === 'string' && Date.parse(creationTimestamp) < pods.at
}
