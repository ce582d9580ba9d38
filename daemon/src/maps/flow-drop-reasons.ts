/** Names of the drop reasons that a flow entry stores, by number (vRouter reference 1.5). */
export const FLOW_DROP_REASONS: readonly string[] = [
  'Unknown',
  'IntfErr',
  'Ipv4Dis',
  'VrfErr',
  'NoSrcRt',
  'NoDstRt',
  'Audit',
  'VrfChange',
  'NoRevFlow',
  'RevFlowChng',
  'NatChng',
  'FlowLim',
  'LinkSrcNatErr',
  'VrouterInstallFail',
  'InvalidL2Flow',
  'TSNFlow',
  'NoMirrorentry',
  'SameFlowRflowKey',
  'NoFipPortMap',
  'NoSrcRtRpfNh',
  'FatFlowNatConflict',
  'Policy',
  'OutPolicy',
  'SG',
  'OutSG',
  'RevSG',
  'RevOutSG',
  'FwPolicy',
  'OutFwPolicy',
  'RevFwPolicy',
  'RevOutFwPolicy',
  'FWAASPolicy',
  'OutFWAASPolicy',
  'RevFWAASPolicy',
  'RevOutFWAASPolicy',
]

/** A number without a name is printed as it is. */
export function dropReasonName(reason: number): string {
  return FLOW_DROP_REASONS[reason] ?? `${reason}`
}

/** As the agent's records of flows put it, where they have words for it (introspect reference 2.11, spelling included). */
const RECORD_TEXTS: Readonly<Record<string, string>> = {
  IntfErr: 'Short flow Interface unavialable',
  Ipv4Dis: 'Short flow Ipv4 forwarding disabled',
  VrfErr: 'Short flow VRF unavailable',
  NoSrcRt: 'Short flow No Source route',
  NoDstRt: 'Short flow No Destination route',
  Audit: 'Short flow Audit Entry',
  VrfChange: 'Short flow VRF CHANGE',
  NoRevFlow: 'Short flow No Reverse flow',
  RevFlowChng: 'Short flow Reverse flow change',
  NatChng: 'Short flow NAT Changed',
  FlowLim: 'Short flow Flow Limit Reached',
  LinkSrcNatErr: 'Short flow Linklocal source NAT failed',
  VrouterInstallFail: 'Short flow vrouter install failed',
  InvalidL2Flow: 'Short flow invalid L2 flow',
  TSNFlow: 'Short flow TSN flow',
  NoMirrorentry: 'Short flow No mirror entry ',
  SameFlowRflowKey: 'Short flow same flow and rflow',
  NoSrcRtRpfNh: 'Short flow No Source route for RPF NH',
  FatFlowNatConflict: 'Short flow Conflicting config for NAT and FAT flow',
  Policy: 'Flow drop Policy',
  OutPolicy: 'Flow drop Out Policy',
  SG: 'Flow drop SG',
  OutSG: 'Flow drop OUT SG',
  RevSG: 'Flow drop REVERSE SG',
  RevOutSG: 'Flow drop REVERSE OUT SG',
  FwPolicy: 'Flow drop Firewall Policy',
  OutFwPolicy: 'Flow drop OUT Firewall Policy',
  RevFwPolicy: 'Flow drop REVERSE Firewall Policy',
  RevOutFwPolicy: 'Flow drop REVERSE OUT Firewall Policy',
}

export function dropReasonText(reason: number): string {
  return RECORD_TEXTS[dropReasonName(reason)] ?? 'UNKNOWN'
}
