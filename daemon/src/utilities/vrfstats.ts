/** `vrfstats`: what packets met in each VRF (vRouter reference §3.5, §4.2). */
import { unknownVrfIndex } from '../maps/stats.ts'
import type { VrfStatsStruct } from '../maps/structs.ts'
import { responseError } from './errors.ts'
import { formatVrfStats, hasNoTraffic } from './format-vrfstats.ts'
import { numberOption, type Request, requireVerb, type Tool } from './tool.ts'

const usage = `Usage: vrfstats --get <vrf>
       vrfstats --dump
       vrfstats --help

--get <vrf>  Displays packet statistics for the vrf <vrf>
--dump       Displays packet statistics for all vrfs that have any
--json       Prints JSON
--pins DIR   Folder of the vRouter's pins (default: VROUTER_PINS)
--help       Displays this help message
`

export const tool: Tool = {
  name: 'vrfstats',
  usage,
  usageStatus: 1,
  options: [
    { long: 'get', short: 'g', takesValue: true },
    { long: 'dump', short: 'd' },
    { long: 'sock-dir', takesValue: true },
    { long: 'help', short: 'h' },
  ],
  run,
}

/** Traffic whose VRF id was out of range is VRF -1. */
const OUT_OF_RANGE = -1

async function run(request: Request): Promise<void> {
  requireVerb(tool, request, ['get', 'dump'])
  const vrf = numberOption(tool, request, 'get')
  const table = request.maps().vrfStats
  const outOfRange = unknownVrfIndex(table)
  let stats: (readonly [vrf: number, counters: VrfStatsStruct])[]
  if (vrf === undefined) {
    stats = [...table.entries()]
      .filter(([, counters]) => !hasNoTraffic(counters))
      .map(([index, counters]) => [index === outOfRange ? OUT_OF_RANGE : index, counters])
  } else {
    const counters = vrf < outOfRange ? table.get(vrf) : undefined
    if (!counters) throw responseError('EINVAL')
    stats = [[vrf, counters]]
  }
  if (request.isJson) request.printJson({ vrfs: stats.map(([id, counters]) => ({ vrf: id, ...counters })) })
  else request.print(stats.map(([id, counters]) => formatVrfStats(id, counters)).join(''))
}
