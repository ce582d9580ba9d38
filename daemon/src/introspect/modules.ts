/**
 * Module pages: `/<module>.xml` lists the requests of one interface definition, in order of declaration, with their arguments
 * (introspect reference 1.2).
 */

import type { Arguments } from './arguments.ts'
import { escapeXml, STYLESHEET } from './wire.ts'

export const MODULES: Readonly<Record<string, readonly string[]>> = {
  agent: words(`
    PageReq AgentInitStateReq SgListReq VnListReq VmListReq NhListReq VrfListReq Inet4UcRouteReq Inet4MplsUcRouteReq
    Inet6UcRouteReq Inet4McRouteReq Layer2RouteReq BridgeRouteReq EvpnRouteReq ItfReq MplsReq VrfAssignReq
    MirrorEntryReq LinkLocalServiceInfo AclReq AclFlowReq NextAclFlowReq AclFlowCountReq NextAclFlowCountReq
    MirrorCreateReq MirrorDeleteReq MirrorCfgDisplayReq VxLanReq VxLanConfigReq ServiceInstanceReq MirrorCfgVnInfoReq
    IntfMirrorCreateReq IntfMirrorDeleteReq IntfMirrorCfgDisplayReq UnresolvedNH UnresolvedRoute SandeshDeviceReq
    SandeshPhysicalDeviceVnReq SandeshConfigPhysicalDeviceVnReq VrouterObjectLimitsReq IFMapNodePolicyReq
    HealthCheckSandeshReq BgpAsAServiceSandeshReq BgpRouterSandeshReq ControlNodeZoneSandeshReq QosQueueSandeshReq
    ForwardingClassSandeshReq AgentQosConfigSandeshReq BridgeDomainSandeshReq TagSandeshReq AddQosQueue DeleteQosQueue
    AddForwardingClass DeleteForwardingClass AddQosConfig DeleteQosConfig AddVmiQosConfig ApplicationPolicySetReq
    SLOListReq VrouterInfoReq GlobalSystemConfigReq CryptTunnelReq VxlanRoutingReq MulticastPolicyReq
  `),
  agent_ksync: ['KSyncItfReq', 'KSyncNhListReq'],
  agent_profile: words(`
    SandeshDBTableStatsRequest SandeshFlowStatsRequest SandeshFlowQueueSummaryRequest SandeshTaskStatsRequest
    SandeshSetProfileParams
  `),
  agent_stats_interval: [],
  controller: ['AgentXmppConnectionStatusReq', 'AgentDnsXmppConnectionStatusReq'],
  cpuinfo: ['CpuLoadInfoReq'],
  diag: words(`
    PingReq TraceRouteReq OverlayPingReq OverlayTraceReq SegmentHealthCheckPktStats
  `),
  flow_stats: words(`
    SetFlowStatsInterval_InSeconds GetFlowStatsInterval FlowStatsRecordsReq ShowAgingConfig AddAgingConfig
    DeleteAgingConfig
  `),
  kube_services: ['ServiceListReq', 'LoadBalancerListReq', 'KServiceReq'],
  ifmap_agent: ['ShowIFMapAgentReq', 'ShowIFMapAgentDefLinkReq', 'ShowIFMapAgentStatsReq'],
  kstate: words(`
    KInterfaceReq KRouteReq KRouteGetReq KNHReq KMplsReq KMirrorReq NextKFlowReq KFlowReq KVxLanReq KVrfAssignReq
    KVrfReq KVrfStatsReq KDropStatsReq KQosConfigReq KForwardingClassReq
  `),
  mac_learning: ['FetchMacEntry', 'NextMacEntrySet'],
  multicast: [],
  pkt: words(`
    FetchFlowRecord NextFlowRecordsSet FetchAllFlowRecords DeleteAllFlowRecords FetchLinkLocalFlowInfo FlowAgeTimeReq
    ShowFlowStatsCollector NextFlowStatsRecordsSet SandeshFlowTableInfoRequest SandeshIPv4FlowFilterRequest
    SandeshIPv6FlowFilterRequest SandeshShowFlowFilterRequest FlowsPerInetRouteFlowMgmtKeyReq Inet4FlowTreeReq
    SNatPortConfigRequest NextPerPortFlowList SNatPerPortFlowList
  `),
  port_ipc: words(`
    FetchVmiPortSubscriptionReq FetchVmVnPortSubscriptionReq FetchVmiToVmVnUuidReq FetchVmVnToVmiUuidReq
  `),
  sandesh_alarm: [],
  sandesh_trace: words(`
    SandeshTraceRequest SandeshTraceBufferListRequest SandeshTraceEnableDisableReq SandeshTraceBufStatusReq
    SandeshTraceBufferEnableDisableReq
  `),
  sandesh_uve: words(`
    SandeshMessageStatsReq SandeshLoggingParamsSet SandeshLoggingParamsStatus SandeshSendingParamsSet
    SandeshSendingParamsStatus SandeshSendQueueParamsSet SandeshSendQueueParamsReset SandeshSendQueueParamsStatus
    SandeshSendQueueSet SandeshSendQueueStatus CollectorInfoRequest SandeshUVEDSConfReq SandeshUVECacheReq
    SandeshUVETypesReq
  `),
  services: words(`
    DhcpInfo Dhcpv6Info ArpInfo BfdInfo DnsInfo IcmpInfo Icmpv6Info IgmpStatsReq InterfaceIgmpStatsReq GmpStatsReq
    MetadataInfo MacLearningInfo ShowAllInfo ClearAllInfo InterfaceArpStatsReq PktTraceInfo InterfaceIcmpv6StatsReq
    ShowDnsEntries VmVdnsDataReq VmVdnsListReq FipVdnsDataReq ShowArpCache ShowGratuitousArpCache ShowGwDhcpLeases
  `),
  stats: ['AgentStatsReq'],
  stats_interval: [],
  task: ['SandeshTaskRequest', 'SandeshTaskSummaryRequest', 'SandeshTaskMonitorRequest'],
  uve: ['InterfaceUveInfoReq'],
  xmpp_server: ['ShowXmppServerReq', 'ShowXmppConnectionReq', 'ClearXmppConnectionReq'],
}

function words(text: string): readonly string[] {
  return text.split(/\s+/).filter((word) => word !== '')
}

/** The wire text of a module page; every argument's text is 0. */
export function moduleToXml(module: string, argumentsOf: (request: string) => Arguments): string {
  let xml = `${STYLESHEET}<${module} type="rlist">`
  for (const request of MODULES[module]!) {
    xml += `<${request} type="sandesh">`
    for (const [name, { type }] of Object.entries(argumentsOf(request))) xml += `<${name} type="${type}">0</${name}>`
    xml += `</${request}>`
  }
  return `${xml}</${module}>`
}

/** The product's name towards old clients. */
export const MODULE_NAME = 'contrail-vrouter-agent'

/** `/` for clients that aren't browsers. */
export function moduleIndexToHtml(): string {
  const links = Object.keys(MODULES)
    .map((module) => `<a href="${module}.xml">${module}.xml</a><br/>`)
    .join('')
  return `<html><head><title>${escapeXml(MODULE_NAME)}</title></head><h1>Modules for ${MODULE_NAME}</h1>${links}</html>`
}
