/** Address pools that several networks draw from: the subnets of one hold addresses of the others' pods. */
import type { VirtualNetwork } from './objects.ts'

export function sharedPools(networks: Iterable<VirtualNetwork>): ReadonlySet<string> {
  const [seen, shared] = [new Set<string>(), new Set<string>()]
  for (const { ipam } of networks) {
    if (ipam === undefined) continue
    if (seen.has(ipam)) shared.add(ipam)
    seen.add(ipam)
  }
  return shared
}
