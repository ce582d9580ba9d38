/** Puts the announcing of load balancer addresses together: from the source to the datapath's map, pkt0 and the NIC. */
import { RouteSocket } from '@kube-vrouter/linux/netlink/route'
import { Announcer } from '../load-balancer/announcer.ts'
import { takenOver } from '../packet/announce.ts'
import { openedOf, type Parts } from './parts.ts'

/** Once the datapath is open and pkt0 is read. What is owned ends with `own`. */
export function startAnnouncing(parts: Parts, own: AsyncDisposableStack): Announcer {
  const { config } = parts
  const { dataplane } = openedOf(parts)
  const log = parts.log.child({ component: 'load-balancer' })
  const route = own.use(RouteSocket.open())
  const nic = () => dataplane.facts().underlay
  return own.use(
    new Announcer({
      node: config.node,
      table: dataplane.maps.announced,
      log,
      tell: (addresses) => parts.agentPort?.announce(takenOver(addresses, nic().mac)),
      isConnected: () => {
        const link = route.link(nic().ifindex)
        return link?.up === true && link.carrier
      },
      onFirst6: () => {
        // Solicitations come to groups that the kernel has joined for its own addresses alone.
        try {
          route.setLink(nic().ifindex, { allMulticast: true })
        } catch (error) {
          log.warn({ err: error }, `${nic().name} may not take solicitations for IPv6 addresses`)
        }
      },
    }),
  )
}
