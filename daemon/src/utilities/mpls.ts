/** `mpls`: the map from incoming labels to nexthops (vRouter reference §3.4). */
import { listLabels, nexthopOfLabel } from '../maps/mpls.ts'
import { notSupportedError, responseError } from './errors.ts'
import { formatMpls } from './format-mpls.ts'
import { numberOption, type Request, requireVerb, type Tool } from './tool.ts'

const usage = `Usage: mpls --dump
       mpls --get <label>
       mpls --help

--dump  Dumps the mpls incoming label map
--get   Dumps the entry corresponding to label <label>
--json  Prints JSON
--pins DIR  Folder of the vRouter's pins (default: VROUTER_PINS)
--help  Prints this help message
`

export const tool: Tool = {
  name: 'mpls',
  usage,
  usageStatus: 1,
  options: [
    { long: 'dump', short: 'b' },
    { long: 'get', short: 'g', takesValue: true },
    { long: 'create', short: 'c', takesValue: true },
    { long: 'delete', short: 'd', takesValue: true },
    { long: 'nh', short: 'n', takesValue: true },
    { long: 'sock-dir', takesValue: true },
    { long: 'help', short: 'h' },
  ],
  run,
}

async function run(request: Request): Promise<void> {
  const verb = requireVerb(tool, request, ['dump', 'get', 'create', 'delete'])
  if (verb === 'create' || verb === 'delete') {
    throw notSupportedError(`mpls --${verb}`, 'labels belong to the daemon: change the object behind them')
  }
  const label = numberOption(tool, request, 'get')
  const table = request.maps().mpls
  const rows = label === undefined ? listLabels(table) : [{ label, nexthop: existing(nexthopOfLabel(table, label)) }]
  if (request.isJson) request.printJson({ labels: rows })
  else request.print(formatMpls(rows))
}

function existing(nexthop: number | undefined): number {
  if (nexthop === undefined) throw responseError('ENOENT')
  return nexthop
}
