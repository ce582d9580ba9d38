/**
 * Managed neighbours on vhost0: the kernel resolves the MAC of each underlay next hop and keeps it fresh, with the daemon dead too.
 *
 * Ours are those with NTF_EXT_MANAGED and our protocol number (`ip neigh show` prints `managed … proto 118`): that is how a daemon with no memory
 * knows them, and only such are pruned.
 */
import { isErrno } from '@kube-vrouter/linux/errors'
import type { NeighbourInfo, RouteSocket } from '@kube-vrouter/linux/netlink/route'
import { reasonOf } from '../errors.ts'
import type { TableFailure } from './table-writer.ts'

/** NDA_PROTOCOL of our neighbours: the letter v; not used in iproute2's rt_protos. */
export const VROUTER_PROTOCOL = 118

function isOurs({ managed, protocol }: NeighbourInfo): boolean {
  return managed && protocol === VROUTER_PROTOCOL
}

/** Adds what is missing. Existing entries of ours aren't touched: their state and MAC stay. What is refused (vhost0 is gone, for one) is returned. */
export function ensureNeighbours(route: RouteSocket, ifindex: number, wanted: readonly string[]): TableFailure[] {
  const present = new Set(ours(route, ifindex).map(({ address }) => address))
  const failures: TableFailure[] = []
  for (const address of wanted) {
    if (present.has(address)) continue
    try {
      route.setNeighbour({ index: ifindex, address, managed: true, protocol: VROUTER_PROTOCOL })
    } catch (error) {
      failures.push({
        object: `neighbour ${address}`,
        error: Error.isError(error) ? error : new Error(reasonOf(error)),
      })
    }
  }
  return failures
}

/** Removes those of ours that nobody wants any more. Returns how many. */
export function pruneNeighbours(route: RouteSocket, ifindex: number, wanted: readonly string[]): number {
  const keep = new Set(wanted)
  const stale = ours(route, ifindex).filter(({ address }) => !keep.has(address))
  for (const { address } of stale) {
    try {
      route.deleteNeighbour({ index: ifindex, address })
    } catch {
      // Gone already, or for the next pass.
    }
  }
  return stale.length
}

/** None on a device that is gone. */
function ours(route: RouteSocket, ifindex: number): NeighbourInfo[] {
  try {
    return route.neighbours({ index: ifindex, family: 4 }).filter(isOurs)
  } catch (error) {
    if (isErrno(error, 'ENODEV')) return []
    throw error
  }
}
