/**
 * Routes of the host through vhost0: to the pods of the default network, so that the host's packets meet the datapath even where its default
 * route leads elsewhere, or it has none.
 *
 * Ours are those on vhost0 with our protocol number (`ip route show proto 118`): that is how a daemon with no memory knows them, and only
 * such are removed. Two routes to one place may stand beside each other for a moment; none that stays is ever missing.
 */
import { isErrno } from '@kube-vrouter/linux/errors'
import { type NewRoute, type RouteInfo, type RouteSocket, RouteTable } from '@kube-vrouter/linux/netlink/route'
import { reasonOf } from '../errors.ts'
import { VROUTER_PROTOCOL } from '../ground/route-protocol.ts'
import type { HostRoute } from '../model/tables.ts'
import type { TableFailure } from './table-failure.ts'

/** Stands behind whatever the administrator has for the same destination. */
const METRIC = 4096

/** Remembers what is there, so that a pass asks the kernel only after damage; the node's watch tells when one of them vanishes. */
export class HostRoutes {
  readonly #route: RouteSocket
  #ifindex: number | undefined
  /** By destination. */
  #present = new Map<string, NewRoute>()

  constructor(route: RouteSocket) {
    this.#route = route
  }

  /** Whether that one should be there. */
  has(destination: { readonly destination: string; readonly prefixLength: number }): boolean {
    return this.#present.has(nameOf(destination))
  }

  /** Adds what is missing, removes what nobody wants any more. What is refused is returned. `again`: looks in the kernel what there is. */
  ensure(ifindex: number, wanted: readonly HostRoute[], again: boolean): readonly TableFailure[] {
    const failures: TableFailure[] = []
    const attempt = (object: string, work: () => void) => {
      try {
        work()
      } catch (error) {
        failures.push({
          subject: { kind: 'node' },
          object,
          error: Error.isError(error) ? error : new Error(reasonOf(error)),
        })
      }
    }
    if (again || ifindex !== this.#ifindex) {
      this.#present = new Map(ours(this.#route, ifindex).map((info) => [nameOf(info), keyOf(info)]))
      this.#ifindex = ifindex
    }
    for (const one of wanted) {
      const name = nameOf(one)
      const present = this.#present.get(name)
      if (present && isSame(present, one)) continue
      const route = routeOf(one, ifindex)
      attempt(`host route ${name}`, () => {
        this.#route.addRoute({ ...route, replace: true })
        this.#present.set(name, route)
      })
    }
    if (this.#present.size <= wanted.length) return failures
    const names = new Set(wanted.map(nameOf))
    for (const [name, route] of this.#present) {
      if (names.has(name)) continue
      attempt(`host route ${name}`, () => {
        // Before the kernel tells of it.
        this.#present.delete(name)
        remove(this.#route, route)
      })
    }
    return failures
  }
}

function routeOf(one: HostRoute, ifindex: number): NewRoute {
  return {
    ...one,
    family: familyOf(one.destination),
    oif: ifindex,
    onlink: true,
    protocol: VROUTER_PROTOCOL,
    metric: METRIC,
  }
}

/** What a route that was found is deleted by. */
function keyOf({ family, destination, prefixLength, gateway, source, oif, protocol, metric }: RouteInfo): NewRoute {
  return {
    ...{ family, destination, prefixLength, protocol, onlink: true },
    ...(gateway !== undefined && { gateway }),
    ...(source !== undefined && { source }),
    ...(oif !== undefined && { oif }),
    ...(metric !== undefined && { metric }),
  }
}

function remove(route: RouteSocket, key: NewRoute): void {
  try {
    route.deleteRoute(key)
  } catch (error) {
    if (!isErrno(error, 'ESRCH')) throw error
  }
}

function isSame(info: NewRoute, { gateway, source, ...one }: HostRoute): boolean {
  return nameOf(info) === nameOf(one) && info.gateway === gateway && info.source === source
}

function nameOf({
  destination,
  prefixLength,
}: {
  readonly destination: string
  readonly prefixLength: number
}): string {
  return `${destination}/${prefixLength}`
}

function familyOf(address: string): 4 | 6 {
  return address.includes(':') ? 6 : 4
}

/** None on a device that is gone. */
function ours(route: RouteSocket, ifindex: number): RouteInfo[] {
  return route
    .routes({ table: RouteTable.MAIN })
    .filter(({ oif, protocol }) => oif === ifindex && protocol === VROUTER_PROTOCOL)
}
