/** MplsReq (introspect reference 2.5). */

import type { LabelEntry } from '../../model/tables.ts'
import { decimal, text } from '../arguments.ts'
import type { IntrospectContext } from '../context.ts'
import { nexthopOf } from '../lookup.ts'
import { listResponse, type PagedTable, page } from '../paging.ts'
import { request } from '../request.ts'
import { field, struct } from '../wire.ts'
import { nexthopToSandesh, nhSandeshData } from './nexthop.ts'

export const mplsSandeshData = struct('MplsSandeshData', [
  field(1, 'label', 'i32'),
  field(2, 'type', 'string'),
  field(3, 'nh', nhSandeshData),
])

const response = listResponse('MplsResp', 'mpls_list', mplsSandeshData)

export function labelTable(context: IntrospectContext): PagedTable<LabelEntry> {
  const tables = context.tables()
  return {
    name: 'db.mpls.0',
    size: tables.labels.length,
    filterKeys: ['type', 'label'],
    matches: ({ label = '' }) =>
      label === '' ? tables.labels : tables.labels.filter((entry) => entry.label === decimal(label)),
    response: (rows) =>
      response(
        rows.map(({ label, nexthop }) => ({
          label,
          type: '',
          nh: nexthopToSandesh(nexthopOf(tables, nexthop), tables),
        })),
      ),
  }
}

export const mplsReq = request('MplsReq', { type: text, label: text }, (args, context) =>
  page(labelTable(context), { ...args }),
)
