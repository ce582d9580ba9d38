/** `/` for browsers: the node at a glance. What can't be read is said, and the rest shown. */
import { DROP_REASON } from '../../maps/constants.ts'
import type { FlowRecord } from '../../maps/flows.ts'
import type { Vif } from '../../model/tables.ts'
import type { IntrospectContext } from '../context.ts'
import { MODULES } from '../modules.ts'
import { isServed } from '../requests.ts'
import { badge } from './cells.ts'
import { endpoint, protocolName, vnName } from './columns.ts'
import { pageFoot, pageHead, toolbar } from './layout.ts'
import { byteCount, duration, grouped, type Html, html } from './markup.ts'
import { remoteNodes, topology } from './topology.ts'

const TOP_FLOWS = 8
const ROWS = 12
const PROBLEMS = 8

export async function homeToHtml(context: IntrospectContext): Promise<string> {
  const flows = await read(() => topFlows(context))
  const drops = await read(() => context.kernel.drops())
  const parts = [
    pageHead({ title: 'Overview', crumbs: [], current: '/' }, context),
    hero(context),
    live('problems', problems(context)),
    live('tiles', await tiles(context)),
    html`<div class="grid">${card('span8', 'Topology', live('topology', topology(context)))}${card('span4', 'Drops', live('drops', dropBars(drops)))}
${tableCard('span12', 'Virtual networks', 'networks', networkTable(context))}
${tableCard('span7', 'Interfaces', 'interfaces', interfaceTable(context))}${tableCard('span5', 'Top flows', 'flows', flowTable(flows))}</div>`,
    modules(),
    pageFoot(),
  ]
  return html`${parts}`.markup
}

type Read<T> = { readonly value: T } | { readonly failure: string }

/** What comes from the kernel may be gone: maps not made yet, or unpinned by somebody. */
async function read<T>(get: () => T | Promise<T>): Promise<Read<T>> {
  try {
    return { value: await get() }
  } catch (error) {
    return { failure: error instanceof Error ? error.message : String(error) }
  }
}

function live(name: string, content: Html): Html {
  return html`<div data-live="${name}">${content}</div>`
}

function card(span: string, title: string, content: Html): Html {
  return html`<section class="card ${span}"><h2>${title}</h2>${content}</section>`
}

function tableCard(span: string, title: string, name: string, content: Html): Html {
  return html`<section class="card flush ${span}"><h2>${title}</h2><div class="scroll" data-live="${name}">${content}</div></section>`
}

function hero(context: IntrospectContext): Html {
  const { ready, state, startedAt } = context.health()
  const { node } = context.facts()
  const up = duration(Date.now() - startedAt.getTime())
  return html`<div class="hero"><h1>${node}</h1><span data-live="state">${badge(ready ? 'ready' : 'starting', ready ? 'good' : 'warn')} <span class="soft">${state} · up ${up}</span></span>
<span style="flex:1"></span>${toolbar(html``, { isFiltered: false })}</div>`
}

function problems(context: IntrospectContext): Html {
  const all = [
    ...context.health().problems,
    ...context.tables().problems.map(({ object, message }) => `${object}: ${message}`),
    ...context
      .source()
      .rejected.map(({ object, field, message }) => `${object}${field ? ` ${field}` : ''}: ${message}`),
  ]
  if (all.length === 0) return html``
  const rest = all.length > PROBLEMS ? html`<li class="soft">and ${all.length - PROBLEMS} more</li>` : undefined
  return html`<section class="card" style="margin-bottom:1rem"><h2>${badge(String(all.length), 'bad')} ${all.length === 1 ? 'problem' : 'problems'}</h2><ul class="problems">${all
    .slice(0, PROBLEMS)
    .map((problem) => html`<li>${problem}</li>`)}${rest}</ul></section>`
}

async function tiles(context: IntrospectContext): Promise<Html> {
  const tables = context.tables()
  const { limits } = context.config
  const count = (byVrf: ReadonlyMap<number, readonly unknown[]>) =>
    [...byVrf.values()].reduce((sum, rows) => sum + rows.length, 0)
  const flows = await read(() => context.kernel.flowCounters())
  return html`<div class="tiles">
${tile('Networks', '/Snh_VnListReq', context.source().virtualNetworks.size)}
${tile('VRFs', '/Snh_VrfListReq', tables.vrfs.length, limits.vrfs)}
${tile('Interfaces', '/Snh_ItfReq', tables.vifs.length, limits.vifs)}
${tile('Other nodes', '/Snh_NhListReq?type=tunnel', remoteNodes(context).length)}
${tile('Routes', '/Snh_VrfListReq', count(tables.inet) + count(tables.inet6), limits.routes)}
${tile('Nexthops', '/Snh_NhListReq', tables.nexthops.length, limits.nexthops)}
${tile('Labels', '/Snh_MplsReq', tables.labels.length, limits.labels)}
${tables.fronts === undefined ? undefined : tile('Service addresses', '/Snh_ServiceListReq', tables.fronts.length)}
${'value' in flows ? tile('Flows', '/Snh_FetchAllFlowRecords', Number(flows.value.inUse), flows.value.size) : undefined}
</div>`
}

function tile(name: string, href: string, used: number, size?: number): Html {
  const of = size === undefined || size === 0 ? undefined : html` <span class="of">of ${grouped(size)}</span>`
  const share = size ? used / size : 0
  const tone = share >= 1 ? 'bad' : share >= 0.8 ? 'warn' : ''
  const meter =
    of === undefined
      ? undefined
      : html`<div class="meter ${tone}"><i style="width:${Math.min(100, share * 100).toFixed(1)}%"></i></div>`
  return html`<a class="tile" href="${href}"><div class="name">${name}</div><div class="value">${grouped(used)}${of}</div>${meter}</a>`
}

function failed(failure: string): Html {
  return html`<p class="empty">The kernel's tables can't be read: ${failure}</p>`
}

const REASON_NAMES = new Map(
  Object.entries(DROP_REASON).map(([name, reason]) => [
    reason as number,
    name.slice('DROP_'.length).toLowerCase().replaceAll('_', ' '),
  ]),
)

function dropBars(drops: Read<readonly bigint[]>): Html {
  if ('failure' in drops) return failed(drops.failure)
  const seen = drops.value
    .map((packets, reason) => ({ packets, name: REASON_NAMES.get(reason) ?? `reason ${reason}` }))
    .filter(({ packets }) => packets > 0n)
    .sort((a, b) => Number(b.packets - a.packets))
  if (seen.length === 0) return html`<p class="soft">No packet was dropped.</p>`
  const most = Number(seen[0]!.packets)
  return html`<div class="bars">${seen
    .slice(0, ROWS)
    .map(
      ({ name, packets }) =>
        html`<span>${name}</span><i style="width:${((Number(packets) / most) * 100).toFixed(1)}%"></i><span class="mono">${grouped(packets)}</span>`,
    )}</div><p class="soft"><a href="/Snh_KDropStatsReq">All reasons</a></p>`
}

function networkTable(context: IntrospectContext): Html {
  const tables = context.tables()
  const local = Map.groupBy(context.ports(), (port) => port.vn)
  const remote = Map.groupBy(
    [...context.source().interfaces.values()].filter(({ node }) => node !== context.facts().node),
    ({ vn }) => vn,
  )
  const networks = [...context.source().virtualNetworks.values()].sort((a, b) => (a.fqName < b.fqName ? -1 : 1))
  if (networks.length === 0) return html`<p class="empty">No virtual network yet.</p>`
  const rows = networks.slice(0, ROWS).map((network) => {
    const vrf = tables.vrfs.find(({ vn }) => vn === network.fqName)
    const routes =
      vrf === undefined ? 0 : (tables.inet.get(vrf.id)?.length ?? 0) + (tables.inet6.get(vrf.id)?.length ?? 0)
    const links =
      vrf === undefined
        ? html`<span class="soft">no VRF here</span>`
        : html`<a href="/Snh_Inet4UcRouteReq?x=${vrf.id}">IPv4</a> · <a href="/Snh_Inet6UcRouteReq?x=${vrf.id}">IPv6</a> · <a href="/Snh_BridgeRouteReq?x=${vrf.id}">bridge</a>`
    return html`<tr class="row" data-key="vn ${network.fqName}"><td>${vnName(network.fqName)}</td>
<td>${network.subnets.map(({ cidr }) => html`<span class="mono">${cidr}</span> `)}</td><td class="number">${vrf?.id}</td><td class="number">${vrf?.label}</td>
<td class="number">${local.get(network.fqName)?.length ?? 0}</td><td class="number">${remote.get(network.fqName)?.length ?? 0}</td><td class="number">${grouped(routes)}</td><td class="tight">${links}</td></tr>`
  })
  return html`<table><thead><tr><th>Network</th><th>Subnets</th><th class="number">VRF</th><th class="number">Label</th><th class="number">Pods here</th><th class="number">Pods elsewhere</th><th class="number">Routes</th><th>Tables</th></tr></thead><tbody>${rows}</tbody></table>${
    networks.length > ROWS
      ? html`<div class="pages"><a href="/Snh_VnListReq">All ${networks.length} networks</a></div>`
      : undefined
  }`
}

function interfaceTable(context: IntrospectContext): Html {
  const { vifs } = context.tables()
  const ports = new Map(context.ports().map((port) => [port.uuid, port]))
  const rows = vifs.slice(0, ROWS).map((vif) => {
    const port = vif.port === undefined ? undefined : ports.get(vif.port)
    const stats = statsOf(vif, context)
    return html`<tr class="row" data-key="vif ${vif.id}"><td class="number">${vif.id}</td>
<td class="tight"><a class="mono" href="/Snh_ItfReq?name=${encodeURIComponent(vif.name)}">${vif.name}</a><span class="under">${port === undefined ? vif.type : `${port.namespace} / ${port.pod.name}`}</span></td>
<td class="tight">${vnName(port?.vn ?? '')}</td><td class="mono">${[vif.ip4, vif.ip6].filter((address) => address !== undefined).map((address) => html`${address}<br>`)}</td>
<td class="number">${stats && byteCount(stats.rxBytes)}<span class="under">${stats && packetCount(stats.rxPackets)}</span></td>
<td class="number">${stats && byteCount(stats.txBytes)}<span class="under">${stats && packetCount(stats.txPackets)}</span></td></tr>`
  })
  return html`<table><thead><tr><th class="number">Id</th><th>Interface</th><th>Network</th><th>Addresses</th><th class="number">Received</th><th class="number">Sent</th></tr></thead><tbody>${rows}</tbody></table>${
    vifs.length > ROWS
      ? html`<div class="pages"><a href="/Snh_ItfReq">All ${vifs.length} interfaces</a></div>`
      : undefined
  }`
}

function packetCount(packets: bigint): string {
  return `${grouped(packets)} ${packets === 1n ? 'packet' : 'packets'}`
}

function statsOf(vif: Vif, context: IntrospectContext) {
  try {
    return context.kernel.vifStats(vif.id)
  } catch {
    return undefined
  }
}

/** The flows with the most bytes; memory is bounded, whatever the size of the table. */
async function topFlows(context: IntrospectContext): Promise<readonly FlowRecord[]> {
  let top: FlowRecord[] = []
  for await (const slice of context.kernel.flows()) {
    top = [...top, ...slice].sort((a, b) => Number(b.flow.bytes - a.flow.bytes)).slice(0, TOP_FLOWS)
  }
  return top
}

function flowTable(flows: Read<readonly FlowRecord[]>): Html {
  if ('failure' in flows) return failed(flows.failure)
  if (flows.value.length === 0) return html`<p class="empty">No flow yet.</p>`
  const rows = flows.value.map(
    ({ flow, source, destination, sourcePort, destinationPort, protocol }) =>
      html`<tr class="row" data-key="flow ${flow.index}"><td class="mono">${endpoint(source, sourcePort)}<span class="under">→ ${endpoint(destination, destinationPort)}</span></td>
<td>${protocolName(protocol)}</td><td class="number"><a href="/Snh_KFlowReq?x=${flow.index}">${byteCount(flow.bytes)}</a><span class="under">${packetCount(flow.packets)}</span></td></tr>`,
  )
  return html`<table><thead><tr><th>Flow</th><th>Protocol</th><th class="number">Bytes</th></tr></thead><tbody>${rows}</tbody></table><div class="pages"><a href="/Snh_FetchAllFlowRecords">All flows</a></div>`
}

function modules(): Html {
  const sections = Object.entries(MODULES)
    .map(([module, requests]) => [module, requests.filter(isServed)] as const)
    .filter(([, requests]) => requests.length > 0)
  return html`<details class="card"><summary>All pages</summary><div class="modules">${sections.map(
    ([module, requests]) =>
      html`<section><h3><a href="/${module}.xml">${module}</a></h3>${requests.map((name) => html`<a href="/Snh_${name}">${name}</a>`)}</section>`,
  )}</div></details>`
}
