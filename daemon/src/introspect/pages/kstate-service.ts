/** KServiceReq: fronts of Services with their blocks of endpoints, as the datapath has them. Ours: the original had no such table. */
import type { KernelFront } from '../../maps/services.ts'
import { i32 } from '../arguments.ts'
import type { IntrospectContext } from '../context.ts'
import { dump, flat } from '../dumps.ts'
import { kernelError } from '../errors.ts'
import { listResponse } from '../paging.ts'
import { request } from '../request.ts'
import { field, list, struct, type Value } from '../wire.ts'

const kServiceBack = struct('KServiceBack', [
  field(1, 'address', 'string'),
  field(2, 'port', 'u16'),
  field(3, 'host', 'bool'),
  field(4, 'vrf', 'i32', 'KRouteReq'),
  field(5, 'nh_id', 'i32', 'KNHReq'),
  field(6, 'label', 'i32'),
])

export const kServiceInfo = struct('KServiceInfo', [
  field(1, 'service', 'u32'),
  field(2, 'vrf', 'i32', 'KRouteReq'),
  field(3, 'address', 'string'),
  field(4, 'protocol', 'i32'),
  field(5, 'port', 'u16'),
  field(6, 'flags', 'string'),
  field(7, 'affinity_seconds', 'u32'),
  field(8, 'inside_first', 'u32'),
  field(9, 'inside', list(kServiceBack)),
  field(10, 'outside_first', 'u32'),
  field(11, 'outside', list(kServiceBack)),
  field(12, 'connections', 'u64'),
  field(13, 'refused', 'u64'),
  field(14, 'dropped', 'u64'),
])

const response = listResponse('KServiceResp', 'service_list', kServiceInfo)

/** All fronts, or those of one service port. */
export const kServiceReq = request('KServiceReq', { service_id: i32(-1) }, async ({ service_id }, context) => {
  const rows = (fronts: readonly KernelFront[]) => response(fronts.map((front) => toSandesh(front, context)))
  if (service_id < 0) return dump(flat(context.kernel.fronts()), rows, { isWrapped: true })
  const found: KernelFront[] = []
  for await (const slice of context.kernel.fronts())
    found.push(...slice.filter(({ service }) => service === service_id))
  return found.length === 0 ? kernelError() : [rows(found)]
})

function toSandesh(front: KernelFront, { kernel }: IntrospectContext): Value<typeof kServiceInfo> {
  const family = front.address.includes(':') ? 6 : 4
  const backs = (set: KernelFront['inside']) =>
    kernel.backs(set, family).map(({ address, port, isHost, vrf = -1, nexthop, label = -1 }) => ({
      ...{ address, port, host: isHost, vrf, nh_id: nexthop, label },
    }))
  const flags = [
    ...(front.dropsInside ? ['DROP_INSIDE'] : []),
    ...(front.dropsOutside ? ['DROP_OUTSIDE'] : []),
    ...(front.hasRanges ? ['SOURCE_RANGES'] : []),
  ]
  return {
    service: front.service,
    vrf: front.vrf,
    address: front.address,
    protocol: front.protocol,
    port: front.port,
    flags: flags.length === 0 ? 'NIL' : flags.join(' | '),
    affinity_seconds: front.affinitySeconds,
    inside_first: front.inside.first,
    inside: backs(front.inside),
    outside_first: front.outside.first,
    outside: backs(front.outside),
    ...kernel.serviceCounts(front.service),
  }
}
