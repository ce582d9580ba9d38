/** VmListReq (introspect reference 2.7): the pods that have attachments here. */
import { virtualMachineUuid } from '../../model/names.ts'
import { text } from '../arguments.ts'
import type { IntrospectContext } from '../context.ts'
import { listResponse, type PagedTable, page } from '../paging.ts'
import { request } from '../request.ts'
import { field, list, optional, struct } from '../wire.ts'

const vmSgUuid = struct('VmSgUuid', [field(1, 'sg_uuid', 'string', 'SgListReq')])

export const vmSandeshData = struct('VmSandeshData', [
  field(1, 'uuid', 'string'),
  optional(2, 'sg_uuid_list', list(vmSgUuid)),
  field(3, 'drop_new_flows', 'bool'),
])

const response = listResponse('VmListResp', 'vm_list', vmSandeshData)

export function vmTable(context: IntrospectContext): PagedTable<string> {
  const { cluster } = context.config
  const uuids = [...new Set(context.ports().map((port) => virtualMachineUuid(cluster.name, port)))].sort()
  return {
    name: 'db.vm.0',
    size: uuids.length,
    filterKeys: ['name'],
    matches: ({ name = '' }) => (name === '' ? uuids : uuids.filter((uuid) => uuid === name)),
    response: (rows) => response(rows.map((uuid) => ({ uuid }))),
  }
}

export const vmListReq = request('VmListReq', { uuid: text }, ({ uuid }, context) =>
  page(vmTable(context), { name: uuid }),
)
