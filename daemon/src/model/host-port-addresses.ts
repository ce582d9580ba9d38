/** At which of a node's addresses a host port of a pod listens. Pure. */
import { familyOf } from './address.ts'
import type { HostPort } from './facts.ts'
import type { Address } from './objects.ts'

/** Of a family: every address of the node. */
export const ANY_ADDRESS: ReadonlySet<string> = new Set(['0.0.0.0', '::'])

/** Whatever family the pod has. */
export function addressesOfHostPort(
  { hostIp }: Pick<HostPort, 'hostIp'>,
  nodeAddresses: readonly Address[],
): readonly Address[] {
  if (hostIp === undefined) return nodeAddresses
  if (!ANY_ADDRESS.has(hostIp)) return nodeAddresses.filter((address) => address === hostIp)
  return nodeAddresses.filter((address) => familyOf(address) === familyOf(hostIp))
}
