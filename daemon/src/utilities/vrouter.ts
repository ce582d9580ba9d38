/** `vrouter --info`: limits, settings and fill of the tables (vRouter reference §3.7). */
import { statSync } from 'node:fs'
import packageJson from '../../package.json' with { type: 'json' }
import { flowCounters } from '../maps/flows.ts'
import { readGlobals } from '../maps/globals.ts'
import { localTime } from './columns.ts'
import { notSupportedError, usageError } from './errors.ts'
import { formatVrouterInfo, type VrouterInfo } from './format-vrouter.ts'
import type { Request, Tool } from './tool.ts'

const usage = `Usage: vrouter --info
       vrouter --help

--info  Displays the vRouter's limits, settings and table fill
--json  Prints JSON
--pins DIR  Folder of the vRouter's pins (default: VROUTER_PINS)
--help  Displays this help message
`

const SETTERS = [
  'perfr',
  'perfs',
  'perfp',
  'perfr1',
  'perfr2',
  'perfr3',
  'perfq1',
  'perfq2',
  'perfq3',
  'from_vm_mss_adj',
]
  .concat('to_vm_mss_adj', 'udp_coff', 'flow_hold_limit', 'mudp', 'burst_tokens', 'burst_interval', 'burst_step')
  .concat('set-priority-tagging', 'packet-dump')

export const tool: Tool = {
  name: 'vrouter',
  usage,
  usageStatus: 1,
  options: [
    { long: 'info' },
    ...SETTERS.map((long) => ({ long, takesValue: true })),
    { long: 'sock-dir', takesValue: true },
    { long: 'help' },
  ],
  run,
}

async function run(request: Request): Promise<void> {
  const setter = SETTERS.find((option) => request.options.has(option))
  if (setter)
    throw notSupportedError(
      `vrouter --${setter}`,
      "the datapath needs no such setting; see the daemon's configuration file",
    )
  if (!request.options.has('info')) throw usageError('vrouter: --info is needed')
  const info = readInfo(request)
  if (request.isJson) request.printJson(info)
  else request.print(formatVrouterInfo(info))
}

function readInfo(request: Request): VrouterInfo {
  const maps = request.maps()
  const globals = readGlobals(maps.globals)
  let bridgeEntries = 0
  for (const _ of maps.bridge.entries()) bridgeEntries++
  return {
    version: packageJson.version,
    builtBy: `kube-vrouter@abi${globals.abi}`,
    builtOn: localTime(statSync(import.meta.filename).mtime),
    values: {
      interfaces: maps.vifStats.maxEntries,
      vrfs: maps.vrfs.maxEntries,
      nexthops: maps.nexthops.maxEntries,
      labels: maps.mpls.maxEntries,
      bridgeEntries: maps.bridge.maxEntries,
      flows: maps.flows.slots.maxEntries,
      // The kernel's own stack does these, always.
      gro: 1,
      softwareSegmentation: 1,
      mssFromVm: 1,
      mssToVm: 1,
      // MPLSoUDP is the tunnel of first choice.
      mplsOverUdp: 1,
      usedFlows: flowCounters(maps.flows).inUse,
      usedBridgeEntries: bridgeEntries,
    },
  }
}
