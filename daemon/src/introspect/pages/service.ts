/** ServiceListReq: where Services are reached on this node and which endpoints they choose from, as the model wants it. Ours: the original had no such table. */
import type { Back, Front } from '../../model/tables.ts'
import { decimal, text } from '../arguments.ts'
import type { IntrospectContext } from '../context.ts'
import { vrfOf } from '../lookup.ts'
import { listResponse, type PagedTable, page } from '../paging.ts'
import { request } from '../request.ts'
import { field, list, struct, type Value } from '../wire.ts'

const serviceBack = struct('ServiceBackSandeshData', [
  field(1, 'address', 'string'),
  field(2, 'port', 'u16'),
  field(3, 'host', 'bool'),
  field(4, 'vrf', 'string', 'VrfListReq'),
  field(5, 'nh_index', 'i32', 'NhListReq'),
  field(6, 'label', 'i32'),
])

export const serviceSandeshData = struct('ServiceSandeshData', [
  field(1, 'id', 'u32', 'KServiceReq'),
  field(2, 'name', 'string'),
  field(3, 'port_name', 'string'),
  field(4, 'kind', 'string'),
  field(5, 'vrf', 'string', 'VrfListReq'),
  field(6, 'address', 'string'),
  field(7, 'protocol', 'string'),
  field(8, 'port', 'u16'),
  field(9, 'inside', list(serviceBack)),
  field(10, 'inside_when_empty', 'string'),
  field(11, 'outside', list(serviceBack)),
  field(12, 'outside_when_empty', 'string'),
  field(13, 'affinity_seconds', 'u32'),
  field(14, 'source_ranges', list('string')),
  field(15, 'connections', 'u64'),
  field(16, 'refused', 'u64'),
  field(17, 'dropped', 'u64'),
])

const response = listResponse('ServiceListResp', 'service_list', serviceSandeshData)

export function serviceTable(context: IntrospectContext): PagedTable<Front> {
  const { fronts = [] } = context.tables()
  return {
    name: 'db.service.0',
    size: fronts.length,
    filterKeys: ['name', 'address', 'id'],
    matches: ({ name = '', address = '', id = '' }) =>
      fronts.filter(
        (front) =>
          nameOf(front).includes(name) &&
          (address === '' || front.address === address) &&
          (id === '' || front.id === decimal(id)),
      ),
    response: (rows) => response(rows.map((front) => toSandesh(front, context))),
  }
}

/** `name`: a part of `namespace/name`. */
export const serviceListReq = request('ServiceListReq', { name: text, address: text, id: text }, (args, context) =>
  page(serviceTable(context), { ...args }),
)

function nameOf({ service }: Front): string {
  return `${service.namespace}/${service.name}`
}

function toSandesh(front: Front, context: IntrospectContext): Value<typeof serviceSandeshData> {
  const { id, service, kind, vrf, address, listener, inside, outside } = front
  const tables = context.tables()
  const back = ({ vrf: its, ...one }: Back) => ({
    address: one.address,
    port: one.port,
    host: one.isHost === true,
    vrf: its === undefined ? '' : (vrfOf(tables, its)?.name ?? ''),
    nh_index: one.nexthop ?? 0,
    label: one.label ?? -1,
  })
  const counts = listener === undefined ? undefined : context.kernel.serviceCounts(id)
  return {
    id,
    name: nameOf(front),
    port_name: service.port,
    kind,
    vrf: vrfOf(tables, vrf)?.name ?? '',
    address,
    protocol: listener?.protocol ?? '',
    port: listener?.port ?? 0,
    inside: inside.backs.map(back),
    inside_when_empty: inside.whenEmpty,
    outside: outside.backs.map(back),
    outside_when_empty: outside.whenEmpty,
    affinity_seconds: front.affinitySeconds ?? 0,
    source_ranges: front.sourceRanges ?? [],
    connections: counts?.connections ?? 0n,
    refused: counts?.refused ?? 0n,
    dropped: counts?.dropped ?? 0n,
  }
}
