/**
 * Managed neighbours on vhost0: the kernel resolves the MAC of each underlay next hop and keeps it fresh, with the daemon dead too.
 *
 * Ours are those with NTF_EXT_MANAGED and our protocol number (`ip neigh show` prints `managed … proto 118`): that is how a daemon with no memory
 * knows them, and only such are pruned.
 */
import { isErrno } from '@kube-vrouter/linux/errors'
import type { NeighbourInfo, RouteSocket } from '@kube-vrouter/linux/netlink/route'
import { reasonOf } from '../errors.ts'
import { VROUTER_PROTOCOL } from '../ground/route-protocol.ts'
import type { TableFailure } from './table-failure.ts'

function isOurs({ managed, protocol }: NeighbourInfo): boolean {
  return managed && protocol === VROUTER_PROTOCOL
}

/** Remembers what is there, so that a pass asks the kernel only after damage; the node's watch tells when one of them vanishes. */
export class Neighbours {
  readonly #route: RouteSocket
  #ifindex: number | undefined
  #present = new Set<string>()

  constructor(route: RouteSocket) {
    this.#route = route
  }

  /** Whether that one should be there. */
  has(address: string): boolean {
    return this.#present.has(address)
  }

  /**
   * Adds what is missing. Existing entries of ours aren't touched: their state and MAC stay. What is refused (vhost0 is gone, for one) is returned.
   * `again`: looks in the kernel what there is.
   */
  ensure(ifindex: number, wanted: readonly string[], again: boolean): TableFailure[] {
    if (again || ifindex !== this.#ifindex) {
      this.#present = new Set(ours(this.#route, ifindex).map(({ address }) => address))
      this.#ifindex = ifindex
    }
    const failures: TableFailure[] = []
    for (const address of wanted) {
      if (this.#present.has(address)) continue
      try {
        this.#route.setNeighbour({ index: ifindex, address, managed: true, protocol: VROUTER_PROTOCOL })
        this.#present.add(address)
      } catch (error) {
        failures.push({
          subject: { kind: 'node' },
          object: `neighbour ${address}`,
          error: Error.isError(error) ? error : new Error(reasonOf(error)),
        })
      }
    }
    return failures
  }

  /** Removes those of ours that nobody wants any more. */
  prune(wanted: readonly string[]): void {
    if (this.#ifindex === undefined || this.#present.size <= wanted.length) return
    const keep = new Set(wanted)
    for (const address of this.#present) {
      if (keep.has(address)) continue
      this.#present.delete(address)
      try {
        this.#route.deleteNeighbour({ index: this.#ifindex, address })
      } catch {
        // Gone already, or for the next look at the kernel.
      }
    }
  }
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
