/** KRouteReq and KRouteGetReq: routes and bridge entries as the datapath has them (introspect reference 2.12). */

import { addressFamily } from '@kube-vrouter/linux/address'
import { ip4Number, ip4Text, ip6Bytes, ip6Text, mask4, mask6 } from '../../maps/addresses.ts'
import type { BridgeEntry } from '../../maps/bridge.ts'
import { ROUTE_ARP_PROXY } from '../../maps/constants.ts'
import type { KernelRoute } from '../../maps/routes.ts'
import { text, textWithDefault, u16, u32 } from '../arguments.ts'
import { dump, inOrder, sortableAddress } from '../dumps.ts'
import { kernelError } from '../errors.ts'
import { listResponse } from '../paging.ts'
import { request } from '../request.ts'
import { field, struct, type Value } from '../wire.ts'

export const kRouteInfo = struct('KRouteInfo', [
  field(1, 'vrf_id', 'i32'),
  field(2, 'family', 'string'),
  field(3, 'prefix', 'string'),
  field(4, 'prefix_len', 'i32'),
  field(5, 'rid', 'i16'),
  field(6, 'label_flags', 'string'),
  field(7, 'label', 'i32'),
  field(8, 'nh_id', 'i32', 'KNHReq'),
  field(9, 'rtr_mac', 'string'),
  field(10, 'replace_plen', 'i32'),
  field(11, 'index', 'i32'),
])

type KRouteInfo = Value<typeof kRouteInfo>

const response = listResponse('KRouteResp', 'rt_list', kRouteInfo)

const args = { vrf_id: u32(0), family: textWithDefault('inet') }

export const kRouteReq = request('KRouteReq', args, ({ vrf_id, family }, { kernel }) => {
  switch (family) {
    case 'inet':
      return dumpRoutes(inOrder(kernel.routes(vrf_id, 4), routeKey))
    case 'inet6':
      return dumpRoutes(inOrder(kernel.routes(vrf_id, 6), routeKey))
    case 'bridge':
      return dump(
        inOrder(kernel.bridge(vrf_id), ({ mac }) => mac),
        (rows) => response(rows.map(fromBridge)),
        {
          isWrapped: true,
        },
      )
    default:
      return kernelError('Allowed options for family are inet, inet6, bridge')
  }
})

function dumpRoutes(routes: AsyncIterable<KernelRoute>) {
  return dump(routes, (rows) => response(rows.map(fromRoute)), { isWrapped: true })
}

/** By address, then shorter prefix first. */
function routeKey({ address, prefixLength }: KernelRoute): string {
  return `${sortableAddress(address)}/${String(prefixLength).padStart(3, '0')}`
}

export const kRouteGetReq = request(
  'KRouteGetReq',
  { vrf_id: u32(0), prefix: text, prefix_len: u16() },
  ({ vrf_id, prefix, prefix_len }, { kernel }) => {
    const asked = masked(prefix, prefix_len)
    if (asked === undefined) return kernelError()
    const route = kernel.route(vrf_id, asked)
    if (route === undefined) return kernelError()
    const row = { ...fromRoute(route), prefix: asked, prefix_len, replace_plen: route.prefixLength }
    return [response([row])]
  },
)

/** Undefined when `prefix` is no address, or shorter than `length`. */
function masked(prefix: string, length: number): string | undefined {
  switch (addressFamily(prefix)) {
    case 4:
      return length > 32 ? undefined : ip4Text(mask4(ip4Number(prefix), length))
    case 6:
      return length > 128 ? undefined : ip6Text(mask6(ip6Bytes(prefix), length))
    default:
      return undefined
  }
}

function fromRoute(route: KernelRoute): KRouteInfo {
  return {
    vrf_id: route.vrf,
    family: route.address.includes(':') ? 'AF_INET6' : 'AF_INET',
    prefix: route.address,
    prefix_len: route.prefixLength,
    label_flags: flagsText(route.label !== undefined, (route.flags & ROUTE_ARP_PROXY) !== 0),
    label: route.label ?? 0,
    nh_id: route.nexthop,
    rtr_mac: '',
    index: route.bridgeIndex ?? 0,
  }
}

function fromBridge(entry: BridgeEntry): KRouteInfo {
  return {
    vrf_id: entry.vrf,
    family: 'AF_BRIDGE',
    label_flags: flagsText(entry.label !== undefined, false),
    label: entry.label ?? 0,
    nh_id: entry.nexthop,
    rtr_mac: entry.mac,
    index: entry.index,
  }
}

function flagsText(hasLabel: boolean, isProxied: boolean): string {
  return hasLabel || isProxied ? `${hasLabel ? 'MPLS ' : ''}${isProxied ? 'PROXY-ARP' : ''}` : '--NONE--'
}
