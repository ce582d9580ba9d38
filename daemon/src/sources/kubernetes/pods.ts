/** Pods of this node: what of them is kept, and by which uid a runtime knows them. Pure. */
import type { KubeObject } from '../../kubernetes/objects.ts'
import { canonicalAddress } from '../../model/address.ts'
import type { Pod } from '../../model/objects.ts'
import { withoutBulk } from './newer.ts'

/** Of a static pod: the uid that kubelet and runtime use; the object that mirrors it in the API has another one. */
const MIRROR_ANNOTATION = 'kubernetes.io/config.mirror'

/** The condition that says why a pod has no network. */
export const NETWORK_CONDITION = 'vrouter.dev/NetworkReady'

export interface KnownPod {
  /** `uid` is that of the runtime. */
  readonly pod: Pod
  /** uid of the API object, which owners and Events are told by. */
  readonly uid: string
  readonly node: string
  /** Whether our condition says that the network isn't ready. */
  readonly isReportedBroken: boolean
}

interface PodSpec {
  readonly nodeName?: unknown
  readonly hostNetwork?: unknown
}

interface PodStatus {
  readonly phase?: unknown
  readonly podIPs?: readonly { readonly ip?: unknown }[]
  readonly podIP?: unknown
  readonly conditions?: readonly { readonly type?: unknown; readonly status?: unknown }[]
}

/** undefined: not a pod that a runtime could know. */
export function decodePod({ metadata, spec, status }: KubeObject): KnownPod | undefined {
  const { name, namespace, uid, labels = {}, annotations } = metadata
  if (namespace === undefined || uid === undefined) return undefined
  const { nodeName, hostNetwork } = (spec ?? {}) as PodSpec
  const { phase, podIP, podIPs, conditions } = (status ?? {}) as PodStatus
  const texts = Array.isArray(podIPs) ? podIPs.map(({ ip }) => ip) : [podIP]
  const addresses = texts.flatMap((text) => (typeof text === 'string' ? (canonicalAddress(text) ?? []) : []))
  const kept = withoutBulk(annotations) ?? {}
  const isReportedBroken =
    Array.isArray(conditions) && conditions.some((one) => one.type === NETWORK_CONDITION && one.status === 'False')
  return {
    pod: {
      namespace,
      name,
      uid: kept[MIRROR_ANNOTATION] ?? uid,
      labels,
      annotations: kept,
      hostNetwork: hostNetwork === true,
      phase: typeof phase === 'string' ? phase : 'Pending',
      addresses,
    },
    uid,
    node: typeof nodeName === 'string' ? nodeName : '',
    isReportedBroken,
  }
}
