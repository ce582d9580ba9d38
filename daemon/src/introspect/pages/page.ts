/** PageReq: replays a page key of any paged table (introspect reference 1.5). */
import { text } from '../arguments.ts'
import type { IntrospectContext } from '../context.ts'
import { agentError } from '../errors.ts'
import { type Pager, pagerOf, parsePageKey } from '../paging.ts'
import { request } from '../request.ts'
import { interfaceTable } from './interface.ts'
import { loadBalancerTable } from './load-balancer.ts'
import { labelTable } from './mpls.ts'
import { networkTable } from './network.ts'
import { nexthopTable } from './nexthop.ts'
import { routePager } from './routes.ts'
import { serviceTable } from './service.ts'
import { unfilledTable } from './unfilled.ts'
import { vmTable } from './vm.ts'
import { vrfTable } from './vrf.ts'

export const pageReq = request('PageReq', { key: text }, ({ key }, context) => {
  const asked = parsePageKey(key)
  if (asked === undefined) return agentError('Invalid request')
  const pager = pagerFor(asked.table, context)
  return pager === undefined ? agentError('Invalid DBTable') : pager(asked.filter, asked.range)
})

function pagerFor(name: string, context: IntrospectContext): Pager | undefined {
  switch (name) {
    case 'db.vrf.0':
      return pagerOf(vrfTable(context))
    case 'db.interface.0':
      return pagerOf(interfaceTable(context))
    case 'db.vn.0':
      return pagerOf(networkTable(context))
    case 'db.vm.0':
      return pagerOf(vmTable(context))
    case 'db.nexthop.0':
      return pagerOf(nexthopTable(context))
    case 'db.service.0':
      return pagerOf(serviceTable(context))
    case 'db.load-balancer.0':
      return pagerOf(loadBalancerTable(context))
    case 'db.mpls.0':
      return pagerOf(labelTable(context))
    default: {
      const unfilled = unfilledTable(name)
      return unfilled === undefined ? routePager(context, name) : pagerOf(unfilled)
    }
  }
}
