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
