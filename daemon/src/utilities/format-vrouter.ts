/** What `vrouter --info` prints (vRouter reference §3.7). Pure. */
import { left } from './columns.ts'

export interface VrouterInfo {
  readonly version: string
  readonly builtBy: string
  readonly builtOn: string
  /** Values by the labels below; labels that are left out print 0. */
  readonly values: Readonly<Record<string, number | bigint>>
}

interface Line {
  readonly label: string
  /** Key of `VrouterInfo.values`. */
  readonly key: string
}

const line = (label: string, key: string): Line => ({ label, key })

/** "Memroy", the tab, and the labels that are too long for their column are the vRouter's: scripts cut these lines by position. */
const STARTUP: readonly Line[] = [
  line('Interfaces limit', 'interfaces'),
  line('VRF tables limit', 'vrfs'),
  line('NextHops limit', 'nexthops'),
  line('MPLS Labels limit', 'labels'),
  line('Bridge Table limit', 'bridgeEntries'),
  line('Bridge Table Overflow limit', 'bridgeOverflow'),
  line('Flow Table limit', 'flows'),
  line('Flow Table overflow limit', 'flowOverflow'),
  line('Mirror entries limit', 'mirrors'),
  line('Memroy Allocation Checks', 'memoryChecks'),
  line('Vif Bridge Table limit', 'vifBridgeEntries'),
  line('Vif Bridge Table Overflow limit', 'vifBridgeOverflow'),
  line('Vrouter pkt drop log buf size   \t  ', 'dropLogSize'),
  line('En/Dis pkt drop debug log infra', 'dropLogInfra'),
]

const RUNTIME: readonly (readonly [group: string, lines: readonly Line[]])[] = [
  ['Performance tweaks', [line('GRO', 'gro'), line('Segmentation in software', 'softwareSegmentation')]],
  [
    'TCP MSS adjust settings',
    [line('TCP MSS on packets from VM', 'mssFromVm'), line('TCP MSS on packet sent to VM', 'mssToVm')],
  ],
  [
    'RPS settings',
    [
      line('RPS after pulling inner hdr (perfr1)', 'perfr1'),
      line('RPS after GRO on pkt1 (perfr2)', 'perfr2'),
      line('RPS from phys rx handler (perfr3)', 'perfr3'),
      line('Pull inner header (faster version)', 'perfp'),
      line('CPU to send pkts to, if perfr1 set', 'perfq1'),
      line('CPU to send pkts to, if perfr2 set', 'perfq2'),
      line('CPU to send pkts to, if perfr3 set', 'perfq3'),
    ],
  ],
  [
    'Other settings',
    [
      line('NIC cksum offload for outer UDP hdr', 'udpChecksumOffload'),
      line('Flow hold limit:', 'flowHoldLimit'),
      line('MPLS over UDP globally', 'mplsOverUdp'),
      line('Used Flow entries', 'usedFlows'),
      line('Used Over Flow entries', 'usedFlowOverflow'),
      line('Used Bridge entries', 'usedBridgeEntries'),
      line('Used Over Flow bridge entries', 'usedBridgeOverflow'),
      line('Burst Total Tokens', 'burstTokens'),
      line('Burst Interval', 'burstInterval'),
      line('Burst Step', 'burstStep'),
      line('NIC Priority Tagging', 'priorityTagging'),
      line('Packet dump', 'packetDump'),
      line('Vrouter packet drop log enable', 'dropLog'),
      line('Vrouter Packet drop log minimum enable', 'dropLogMinimum'),
      line('Unconditional closure of Flow on TCP RST  ', 'closeOnReset'),
    ],
  ],
]

const INDENT = ' '.repeat(4)
const VALUE_COLUMN = 41

export function formatVrouterInfo(info: VrouterInfo): string {
  const value = ({ label, key }: Line) => {
    const text = `${INDENT}${label}`
    const isTabbed = text.includes('\t')
    return `${isTabbed ? text : text.length < VALUE_COLUMN ? left(text, VALUE_COLUMN) : `${text} `}${info.values[key] ?? 0}\n`
  }
  const groups = RUNTIME.map(([group, lines]) => `  ${group}\n${lines.map(value).join('')}`)
  return (
    `vRouter module version       ${info.version} (Built by ${info.builtBy} on ${info.builtOn})\n\n` +
    `Startup parameters\n${STARTUP.map(value).join('')}\n` +
    `Runtime parameters\n${groups.join('')}\n`
  )
}
