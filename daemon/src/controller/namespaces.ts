/**
 * Which network the pods of a namespace join: told as condition NetworkReady of the namespaces that ask for one, with the same words that
 * ADD fails with. What a namespace says that can't be meant is told by an Event. Pure.
 */
import { NETWORK_ANNOTATIONS, NETWORKS_ANNOTATION, type Slip, slipsOf } from '../model/annotations.ts'
import { defaultPodNetwork } from '../model/names.ts'
import { isIsolated, type NetworkOfPod, networkOfPod } from '../model/namespace-network.ts'
import type { FqName, Namespace } from '../model/objects.ts'
import { type Action, count } from './actions.ts'
import { conditionOf, type Resourceful } from './resources.ts'
import type { View } from './view.ts'

export const CONDITION = 'NetworkReady'

const REASONS: Readonly<Record<string, string>> = {
  NETWORK_MISSING: 'NetworkMissing',
  NETWORK_ANNOTATION: 'NetworkAnnotation',
  NETWORKS_ANNOTATION: 'NetworksAnnotation',
  ANNOTATION_UNCLEAR: 'AnnotationUnclear',
}

export function reconcileNamespaces(view: View, now: number): Action[] {
  const interfaces = Map.groupBy(view.interfaces, ({ item }) => item?.namespace ?? '')
  return [...view.world.namespaces.values()].flatMap((object) => {
    const namespace = view.state.namespaces.get(object.metadata.name)
    if (namespace === undefined || (object.metadata.deletionTimestamp ?? null) !== null) return []
    const slips = slipsOf('namespace', namespace)
    const found = networkOfPod({ namespace: namespace.name, name: '' }, view.state, view.cluster.name)
    const told = found.ok ? '' : found.error.message
    return [
      ...slips.filter(({ message }) => !told.endsWith(message)).map((slip) => slipEvent(object, slip)),
      ...readiness(object, namespace, slips, found),
    ]
  })

  function readiness(object: Resourceful, namespace: Namespace, slips: readonly Slip[], found: NetworkOfPod): Action[] {
    const known = conditionOf(object, CONDITION)
    // Others need no condition: there are thousands of them, and nothing to say.
    if (known === undefined && !asksForNetwork(namespace, slips)) return []
    if (!found.ok) {
      const { code, message } = found.error
      const reason = REASONS[code]
      if (reason === undefined) return []
      return [...say(object, 'False', reason, message, now), event(object, 'Warning', reason, message)]
    }
    const { fqName } = found.vn
    const actions = say(object, 'True', 'NetworkFound', sentence(fqName), now)
    const before = networkBefore(known?.message, view)
    if (actions.length === 0 || before === fqName) return actions
    const staying = (interfaces.get(namespace.name) ?? []).filter(({ item }) => item!.vn === before).length
    if (staying === 0) return actions
    const message = `new pods join ${fqName}; ${count(staying, 'pod')} that run already stay in ${before} until they are made again`
    return [...actions, event(object, 'Warning', 'PodsKeepTheirNetwork', message)]
  }
}

/** What keys of Contrail don't do here is told once: they may be meant for another part of its. */
function slipEvent(object: Resourceful, { message, isForeign }: Slip): Action {
  const subject = { of: 'namespaces', object, reason: 'AnnotationUnclear', message } as const
  if (isForeign === true) return { type: 'event', event: { ...subject, type: 'Normal', isOnce: true } }
  return { type: 'event', event: { ...subject, type: 'Warning' } }
}

function asksForNetwork(namespace: Namespace, slips: readonly Slip[]): boolean {
  if (slips.some(({ meaning }) => meaning === 'network')) return true
  const keys = [...NETWORK_ANNOTATIONS, NETWORKS_ANNOTATION]
  return isIsolated(namespace) || keys.some((key) => (namespace.annotations[key] ?? '').trim() !== '')
}

function sentence(fqName: FqName): string {
  return `pods join ${fqName}`
}

/** The network that the condition told of, so that a change is noticed by whichever controller leads. */
function networkBefore(message: string | undefined, { cluster }: View): FqName {
  return /^pods join (\S+)$/.exec(message ?? '')?.[1] ?? defaultPodNetwork(cluster.name)
}

function say(object: Resourceful, status: 'True' | 'False', reason: string, message: string, now: number): Action[] {
  const known = conditionOf(object, CONDITION)
  if (known?.status === status && known.reason === reason && known.message === message) return []
  const lastTransitionTime =
    known?.status === status && known.lastTransitionTime !== undefined
      ? known.lastTransitionTime
      : new Date(now).toISOString().replace(/\.\d+Z$/, 'Z')
  const condition = { type: CONDITION, status, reason, message, lastTransitionTime }
  const patch = { status: { conditions: [condition] } }
  return [{ type: 'patch', of: 'namespaces', object, subresource: 'status', form: 'strategic', patch }]
}

function event(object: Resourceful, type: 'Normal' | 'Warning', reason: string, message: string): Action {
  return { type: 'event', event: { of: 'namespaces', object, type, reason, message } }
}
