/** LoadBalancerListReq: which node answers for which load balancer address on the underlay, as this node sees it. Ours: the original has no such table. */
import { text } from '../arguments.ts'
import type { IntrospectContext } from '../context.ts'
import { listResponse, type PagedTable, page } from '../paging.ts'
import { request } from '../request.ts'
import { field, list, struct } from '../wire.ts'

const loadBalancerSandeshData = struct('LoadBalancerSandeshData', [
  field(1, 'address', 'string'),
  field(2, 'elected', 'string'),
  field(3, 'next', list('string')),
  field(4, 'announced_here', 'bool'),
])

const response = listResponse('LoadBalancerListResp', 'load_balancer_list', loadBalancerSandeshData)

interface Row {
  readonly address: string
  readonly line: readonly string[]
  readonly isHere: boolean
}

export function loadBalancerTable(context: IntrospectContext): PagedTable<Row> {
  const { inLine, announced } = context.announcements?.() ?? { inLine: new Map(), announced: new Set<string>() }
  // What is still announced, and nobody's any more, is shown as well.
  const addresses = [...new Set([...inLine.keys(), ...announced])].sort()
  const rows = addresses.map(
    (address): Row => ({ address, line: inLine.get(address) ?? [], isHere: announced.has(address) }),
  )
  return {
    name: 'db.load-balancer.0',
    size: rows.length,
    filterKeys: ['address', 'node'],
    matches: ({ address = '', node = '' }) =>
      rows.filter((row) => (address === '' || row.address === address) && (node === '' || row.line.includes(node))),
    response: (some) =>
      response(
        some.map(({ address, line: [elected = '', ...next], isHere }) => ({
          address,
          elected,
          next,
          announced_here: isHere,
        })),
      ),
  }
}

/** `node`: addresses that it stands in line for. */
export const loadBalancerListReq = request('LoadBalancerListReq', { address: text, node: text }, (args, context) =>
  page(loadBalancerTable(context), { ...args }),
)
