/** All requests, by name. */
import type { Arguments } from './arguments.ts'
import { agentError } from './errors.ts'
import { MODULES } from './modules.ts'
import { agentInitStateReq, vrouterInfoReq } from './pages/agent-state.ts'
import { showArpCache } from './pages/arp.ts'
import { fetchAllFlowRecords, fetchFlowRecord, flowTableInfo, nextFlowRecordsSet } from './pages/flow.ts'
import { itfReq } from './pages/interface.ts'
import { kFlowReq, nextKFlowReq } from './pages/kstate-flow.ts'
import { kInterfaceReq } from './pages/kstate-interface.ts'
import { kMplsReq, kNhReq } from './pages/kstate-nexthop.ts'
import { kRouteGetReq, kRouteReq } from './pages/kstate-route.ts'
import { kServiceReq } from './pages/kstate-service.ts'
import { kDropStatsReq, kVrfReq, kVrfStatsReq } from './pages/kstate-stats.ts'
import { loadBalancerListReq } from './pages/load-balancer.ts'
import { mplsReq } from './pages/mpls.ts'
import { vnListReq } from './pages/network.ts'
import { nhListReq, unresolvedNh } from './pages/nexthop.ts'
import { agentStatsReq, showAllInfo } from './pages/packets.ts'
import { pageReq } from './pages/page.ts'
import { routeRequests } from './pages/routes.ts'
import { serviceListReq } from './pages/service.ts'
import { LISTED_ARGUMENTS, unfilledRequests } from './pages/unfilled.ts'
import { vmListReq } from './pages/vm.ts'
import { vrfListReq } from './pages/vrf.ts'
import { type Request, request } from './request.ts'

const SERVED: readonly Request[] = [
  pageReq,
  agentInitStateReq,
  vrouterInfoReq,
  vnListReq,
  vmListReq,
  nhListReq,
  unresolvedNh,
  vrfListReq,
  ...routeRequests,
  itfReq,
  mplsReq,
  serviceListReq,
  loadBalancerListReq,
  kInterfaceReq,
  kRouteReq,
  kRouteGetReq,
  kNhReq,
  kMplsReq,
  kServiceReq,
  kFlowReq,
  nextKFlowReq,
  kVrfReq,
  kVrfStatsReq,
  kDropStatsReq,
  fetchAllFlowRecords,
  nextFlowRecordsSet,
  fetchFlowRecord,
  flowTableInfo,
  showArpCache,
  showAllInfo,
  agentStatsReq,
  ...unfilledRequests,
]

const served = new Map(SERVED.map((one) => [one.name, one]))

/** Requests that module pages list and nothing serves say so: clients parse whatever comes. */
const unserved = new Map(
  Object.values(MODULES)
    .flat()
    .filter((name) => !served.has(name))
    .map((name) => [
      name,
      request(name, LISTED_ARGUMENTS[name] ?? {}, () => agentError(`${name} is not served by this vRouter`)),
    ]),
)

export function requestOf(name: string): Request | undefined {
  return served.get(name) ?? unserved.get(name)
}

export function isServed(name: string): boolean {
  return served.has(name)
}

export function argumentsOf(name: string): Arguments {
  return requestOf(name)?.args ?? {}
}
