/** This node's own object: what of it is kept. Pure. */
import type { KubeObject } from '../../kubernetes/objects.ts'

/** Where a node is, for traffic that shall stay near. */
const ZONE_LABEL = 'topology.kubernetes.io/zone'

export interface KnownNode {
  readonly uid: string
  readonly zone?: string
}

/** undefined: an object without a uid is none. */
export function decodeNode({ metadata: { uid, labels } }: KubeObject): KnownNode | undefined {
  if (uid === undefined) return undefined
  const zone = labels?.[ZONE_LABEL] ?? ''
  return { uid, ...(zone !== '' && { zone }) }
}

/** As it may be on disk: of versions that kept nothing but the uid, that. */
export function storedNode(value: unknown): KnownNode | undefined {
  return typeof value === 'string' ? { uid: value } : (value as KnownNode | undefined)
}
