/** `flow`: the flow table (vRouter reference §3.6). */

import { ip4TextOfRaw } from '../maps/addresses.ts'
import {
  ECMP_NONE,
  FLOW_ACTION_FORWARD,
  FLOW_ACTION_HOLD,
  FLOW_ACTION_NAT,
  FLOW_EVICTED,
  FLOW_NONE,
} from '../maps/constants.ts'
import { deleteFlow, type FlowRecord, flowByIndex, flowCounters, listFlows } from '../maps/flows.ts'
import type { PinnedMaps } from '../maps/open.ts'
import { notSupportedError, responseError } from './errors.ts'
import { describeFlow } from './flow-details.ts'
import { flowMatches, parseFlowMatch } from './flow-match.ts'
import {
  type FlowCensus,
  type FlowTotals,
  type FlowView,
  formatFlow,
  formatFlowDetails,
  formatFlowHeader,
  formatFlowRate,
  formatFlowStatistics,
} from './format-flow.ts'
import { clearTerminal, REFRESH_MS, refresh } from './screen.ts'
import { numberOption, type Request, requireVerb, type Tool } from './tool.ts'

const usage = `Usage: flow -l [--match "<filter>"] [--show-evicted]
       flow --get <flow index>
       flow --delete <flow index>
       flow -s
       flow -r
       flow --help

-l, --list          Lists flows
--match <filter>    Only those that match: IP:port[,IP:port] & vrf N & proto tcp|udp|icmp|icmp6|sctp
                    IPv6 in brackets, * for any address or port
--show-evicted      Lists evicted flows too
--get <flow index>  Shows one flow in detail
--delete <flow index>
                    Ends a flow, in both directions; another packet of it begins anew
-s, --stats         Shows statistics, refreshed until q is pressed (--count N: N times)
-r, --rate          Shows rates, a line for each half second with changes
--json              Prints JSON
--pins DIR          Folder of the vRouter's pins (default: VROUTER_PINS)
--help              Displays this help message
`

const WRITE_VERBS = [
  'forward',
  'drop',
  'invalidate',
  'evict',
  'force-evict',
  'flush',
  'profile',
  'bunch',
  'mirror',
  'dvrf',
]

export const tool: Tool = {
  name: 'flow',
  usage,
  usageStatus: 1,
  options: [
    { long: 'list', short: 'l' },
    { long: 'match', takesValue: true },
    { long: 'show-evicted' },
    { long: 'get', short: 'g', takesValue: true },
    { long: 'delete', takesValue: true },
    { long: 'rate', short: 'r' },
    { long: 'stats', short: 's' },
    { long: 'forward', short: 'f', takesValue: true },
    { long: 'drop', short: 'd', takesValue: true },
    { long: 'invalidate', short: 'i', takesValue: true },
    { long: 'evict', short: 'e', takesValue: true },
    { long: 'force-evict' },
    { long: 'mirror', short: 'm', takesValue: true },
    { long: 'dvrf', takesValue: true },
    { long: 'profile', short: 'p', takesValue: true },
    { long: 'bunch', short: 'b', takesValue: true },
    { long: 'flush', short: 'F' },
    { long: 'sock-dir', takesValue: true },
    { long: 'help', short: 'h' },
  ],
  run,
}

async function run(request: Request): Promise<void> {
  const written = WRITE_VERBS.find((verb) => request.options.has(verb))
  if (written) {
    throw notSupportedError(
      `flow --${written}`,
      'flows follow routes and policy: change those, and the flows are decided again; unused ones age out by themselves',
    )
  }
  switch (requireVerb(tool, request, ['list', 'get', 'delete', 'rate', 'stats'])) {
    case 'list':
      return list(request)
    case 'get':
      return get(request)
    case 'delete':
      return remove(request)
    case 'rate':
      return showRate(request)
    default:
      return showStatistics(request)
  }
}

/* ---- list and get ------------------------------------------------------------------------------------------------- */

async function list(request: Request): Promise<void> {
  const match = request.options.get('match')
  const filter = match === undefined ? undefined : parseFlowMatch(match)
  const showsEvicted = request.options.has('show-evicted')
  const maps = request.maps()
  const flows: FlowView[] = []
  for await (const slice of listFlows(maps.flows)) {
    for (const record of slice) {
      if ((record.flow.flags & FLOW_EVICTED) !== 0 && !showsEvicted) continue
      const view = toView(record)
      if (!filter || flowMatches(filter, view)) flows.push(view)
    }
  }
  flows.sort((a, b) => a.index - b.index)
  const totals = totalsOf(maps)
  if (request.isJson) {
    request.printJson({ ...totals, flows })
    return
  }
  request.print(formatFlowHeader(totals, filter))
  for (let at = 0; at < flows.length; at += FLOWS_PER_WRITE) {
    request.print(
      flows
        .slice(at, at + FLOWS_PER_WRITE)
        .map(formatFlow)
        .join(''),
    )
  }
}

/** Keeps the text of a large table from being one string. */
const FLOWS_PER_WRITE = 4096

async function get(request: Request): Promise<void> {
  const maps = request.maps()
  const record = flowByIndex(maps.flows, numberOption(tool, request, 'get')!)
  if (!record) throw responseError('ENOENT')
  const reverse = record.flow.rindex === FLOW_NONE ? undefined : flowByIndex(maps.flows, record.flow.rindex)
  const details = describeFlow(maps, toView(record), reverse && toView(reverse))
  if (request.isJson) {
    request.printJson(details)
    return
  }
  clearTerminal()
  request.print(formatFlowDetails(details))
}

function remove(request: Request): void {
  const record = deleteFlow(request.maps('write').flows, numberOption(tool, request, 'delete')!)
  if (!record) throw responseError('ENOENT')
  if (request.isJson)
    request.printJson({ deleted: { index: record.flow.index, reverseIndex: toView(record).reverseIndex } })
}

function toView({ family, flow, ...key }: FlowRecord): FlowView {
  return {
    index: flow.index,
    reverseIndex: flow.rindex === FLOW_NONE ? undefined : flow.rindex,
    family: family === 4 ? 'inet' : 'inet6',
    source: key.source,
    sourcePort: key.sourcePort,
    destination: key.destination,
    destinationPort: key.destinationPort,
    protocol: key.protocol,
    keyNexthop: key.nexthop,
    vrf: flow.vrf,
    destinationVrf: flow.dvrf,
    generation: flow.gen,
    action: flow.action,
    flags: flow.flags,
    dropReason: flow.dropReason,
    tcpFlags: flow.tcpFlags,
    ecmpIndex: flow.ecmp === ECMP_NONE ? undefined : flow.ecmp,
    sourceNexthop: flow.srcNh,
    packets: flow.packets,
    bytes: flow.bytes,
    udpSourcePort: flow.udpSrcPort,
    sourceInfo: ip4TextOfRaw(flow.srcInfo),
  }
}

function totalsOf(maps: PinnedMaps): FlowTotals {
  const { flow4, flow6, slots } = maps.flows
  const { created, added, deleted, changed } = flowCounters(maps.flows)
  const size = [flow4.map, flow6.map, slots].reduce(
    (sum, map) => sum + map.maxEntries * (map.keySize + map.valueSize),
    0,
  )
  return { size, entries: slots.maxEntries, created, added, deleted, changed, createdPerCpu: [created] }
}

/* ---- live --------------------------------------------------------------------------------------------------------- */

async function takeCensus(maps: PinnedMaps): Promise<FlowCensus> {
  let [active, hold, forward, drop, nat] = [0, 0, 0, 0, 0]
  for await (const slice of listFlows(maps.flows)) {
    for (const { flow } of slice) {
      active++
      if (flow.action === FLOW_ACTION_HOLD) hold++
      else if (flow.action === FLOW_ACTION_FORWARD) forward++
      else if (flow.action === FLOW_ACTION_NAT) nat++
      else drop++
    }
  }
  const { created, added, deleted } = flowCounters(maps.flows)
  return { total: active, active, hold, forward, drop, nat, created, added, deleted }
}

async function showStatistics(request: Request): Promise<void> {
  const maps = request.maps()
  const startMs = performance.now()
  let first: FlowCensus | undefined
  let before: { readonly timeMs: number; readonly census: FlowCensus } | undefined
  await refresh(request.count, async (screen) => {
    const census = await takeCensus(maps)
    const timeMs = performance.now()
    first ??= census
    const since = before ?? { timeMs, census }
    const rates = {
      active: perSecond(census.active - since.census.active, timeMs - since.timeMs),
      newTotal: census.total - since.census.total,
      newActive: census.active - since.census.active,
      newHold: census.hold - since.census.hold,
      setup: perSecond(Number(census.added - first.added), timeMs - startMs),
      teardown: perSecond(Number(census.deleted - first.deleted), timeMs - startMs),
    }
    screen.clear()
    if (request.isJson) request.printJson({ ...census, rates })
    else request.print(formatFlowStatistics(new Date(), census, rates))
    before = { timeMs, census }
  })
}

async function showRate(request: Request): Promise<void> {
  const maps = request.maps()
  let before = flowCounters(maps.flows)
  await refresh(request.count, () => {
    const now = flowCounters(maps.flows)
    const line = {
      entries: Number(now.inUse),
      rate: perSecond(Number(now.inUse - before.inUse), REFRESH_MS),
      forward: perSecond(Number(now.created - before.created), REFRESH_MS),
      reverse: perSecond(Number(now.added - before.added), REFRESH_MS),
      deleted: perSecond(Number(now.deleted - before.deleted), REFRESH_MS),
      hold: 0,
    }
    const isIdle = line.rate === 0 && line.forward === 0 && line.reverse === 0 && line.deleted === 0
    before = now
    if (request.isJson) request.printJson(line)
    else if (!isIdle) request.print(formatFlowRate(new Date(), line))
  })
}

function perSecond(change: number, elapsedMs: number): number {
  return elapsedMs > 0 ? Math.round((change * 1000) / elapsedMs) : 0
}
