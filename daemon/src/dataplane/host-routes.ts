/**
 * Routes of the host through vhost0: to the pods of the default network, so that the host's packets meet the datapath even where its default
 * route leads elsewhere, or it has none.
 *
 * Ours are those on vhost0 with our protocol number (`ip route show proto 118`): that is how a daemon with no memory knows them, and only
 * such are removed. Two routes to one place may stand beside each other for a moment; none that stays is ever missing.
 */
import { isErrno } from '@kube-vrouter/linux/errors'
import { type RouteInfo, type RouteSocket, RouteTable } from '@kube-vrouter/linux/netlink/route'
import { reasonOf } from '../errors.ts'
import type { HostRoute } from '../model/tables.ts'
import { VROUTER_PROTOCOL } from './neighbours.ts'
import type { TableFailure } from './table-writer.ts'

/** Stands behind whatever the administrator has for the same destination. */
const METRIC = 4096

/** Adds what is missing, removes what nobody wants any more. What is refused is returned. */
export function ensureHostRoutes(
  route: RouteSocket,
  ifindex: number,
  wanted: readonly HostRoute[],
): readonly TableFailure[] {
  const present = ours(route, ifindex)
  const failures: TableFailure[] = []
  const attempt = (object: string, work: () => void) => {
    try {
      work()
    } catch (error) {
      failures.push({ object, error: Error.isError(error) ? error : new Error(reasonOf(error)) })
    }
  }
  for (const one of wanted) {
    if (present.some((info) => isSame(info, one))) continue
    attempt(`host route ${one.destination}/${one.prefixLength}`, () =>
      route.addRoute({
        ...one,
        family: familyOf(one.destination),
        oif: ifindex,
        onlink: true,
        protocol: VROUTER_PROTOCOL,
        metric: METRIC,
        replace: true,
      }),
    )
  }
  const names = new Set(wanted.map(nameOf))
  for (const info of present) {
    if (!names.has(nameOf(info))) attempt(`host route ${nameOf(info)}`, () => remove(route, info))
  }
  return failures
}

function remove(route: RouteSocket, info: RouteInfo): void {
  try {
    route.deleteRoute(info)
  } catch (error) {
    if (!isErrno(error, 'ESRCH')) throw error
  }
}

function isSame(info: RouteInfo, { gateway, source, ...one }: HostRoute): boolean {
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
