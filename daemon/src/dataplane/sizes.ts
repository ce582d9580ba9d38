/** How many entries each map gets, from the configured limits. Pure. */
import type { Config } from '../config/config.ts'
import { type MapName, mapDefinitions } from '../maps/definitions.ts'
import { MORE_ADDRESSES } from '../model/namespace-network.ts'

/** Of a port of a Service: its address with the port, and for some the node's or a load balancer's; the address alone is shared by its ports. */
const FRONTS_PER_SERVICE = 2

export function maxEntriesOf(name: MapName, limits: Config['limits']): number {
  switch (name) {
    case 'vifs':
    case 'vif_stats':
    case 'vif_state':
    case 'vif_drop_stats':
    case 'vif_devices':
      return limits.vifs
    case 'vif_addresses':
      return limits.vifs * MORE_ADDRESSES
    case 'nexthops':
    case 'nexthop_checks':
      return limits.nexthops
    case 'composites':
      return Math.min(limits.nexthops, mapDefinitions.composites.maxEntries)
    case 'mpls':
      return limits.labels
    case 'vrfs':
    case 'vrf_flows':
      return limits.vrfs
    case 'vrf_stats':
      return limits.vrfs + 1 // the last one counts packets of no VRF
    case 'route4_host':
    case 'route4_lpm':
    case 'route6_host':
    case 'route6_lpm':
    case 'bridge':
      return limits.routes
    case 'service_stats':
      return limits.services
    case 'service_fronts':
      return limits.services * FRONTS_PER_SERVICE
    case 'service_ranges':
      return Math.ceil(limits.services / 2)
    case 'service_backs':
      return limits.backends
    case 'flow4':
      return limits.flows4
    case 'flow6':
      return limits.flows6
    case 'flow_slots':
    case 'flow_free':
      return limits.flows4 + limits.flows6
    case 'flow_closed': // one handle of each pair
      return Math.ceil((limits.flows4 + limits.flows6) / 2)
    default:
      return mapDefinitions[name].maxEntries
  }
}
