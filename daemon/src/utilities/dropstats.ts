/** `dropstats`: packets dropped, by reason (vRouter reference §3.10, §4.1). */
import type { PinnedMaps } from '../maps/open.ts'
import { notSupportedError, responseError, usageError } from './errors.ts'
import { CLONED_ORIGINAL, DROP_REASONS, dropCountersByType, formatDropstats } from './format-dropstats.ts'
import { coreOption, type Request, type Tool } from './tool.ts'

const usage = `Usage: dropstats [--core <core number>] [--debug] [--drop-type <type|help>]
       dropstats --clear
       dropstats --help

--core <n>          Shows the counters of core <n>, counted from 0
--debug             Shows Cloned Original only, which is no loss
--drop-type <type>  Shows one counter; 'help' lists the types
--clear             Clears the counters on all cores
--json              Prints JSON
--pins DIR          Folder of the vRouter's pins (default: VROUTER_PINS)
--help              Displays this help message
`

export const tool: Tool = {
  name: 'dropstats',
  usage,
  usageStatus: 1,
  options: [
    { long: 'core', short: 'c', takesValue: true },
    { long: 'offload', short: 'o' },
    { long: 'debug', short: 'd' },
    { long: 'clear', short: 'C' },
    { long: 'log', short: 'l', takesValue: true },
    { long: 'show', takesValue: true },
    { long: 'drop-type', takesValue: true },
    { long: 'clear-drop-log' },
    { long: 'min-log', takesValue: true },
    { long: 'sock-dir', takesValue: true },
    { long: 'help', short: 'h' },
  ],
  run,
}

async function run(request: Request): Promise<void> {
  const { options } = request
  for (const verb of ['offload', 'log', 'show', 'clear-drop-log', 'min-log']) {
    if (options.has(verb)) {
      throw notSupportedError(
        `dropstats --${verb}`,
        'there is no log of dropped packets and no offload: use the counters here and those of vif --get N --get-drop-stats',
      )
    }
  }
  if (options.get('drop-type') === 'help') {
    request.print([...DROP_REASONS, CLONED_ORIGINAL].map(({ type, label }) => `${type.padEnd(36)}${label}\n`).join(''))
    return
  }
  if (options.has('clear')) {
    request.maps('write').dropStats.clear(0)
    if (request.isJson) request.printJson({ cleared: true })
    else request.print('\nDropstats counters cleared successfully on all cores \n\n')
    return
  }
  show(request, request.maps())
}

function show(request: Request, maps: PinnedMaps): void {
  const perCpu = maps.dropStats.perCpu(0)
  if (!perCpu) throw responseError('EINVAL')
  const core = coreOption(tool, request, perCpu.length)
  const all = core === undefined ? maps.dropStats.get(0)! : perCpu[core]!
  const counters = onlyType(all.reasons, request.options.get('drop-type'))
  const isDebug = request.options.has('debug')
  if (request.isJson) request.printJson({ core, drops: dropCountersByType(counters) })
  else request.print(formatDropstats({ counters, core, isDebug }))
}

/** The counters with all but the wanted type at zero. */
function onlyType(counters: readonly bigint[], type: string | undefined): readonly bigint[] {
  if (type === undefined) return counters
  const wanted = [...DROP_REASONS, CLONED_ORIGINAL].find(
    (entry) => entry.type === type || entry.type === `VP_DROP_${type}`,
  )
  if (!wanted) throw usageError(`dropstats: there is no drop type '${type}'; --drop-type help lists them`)
  return counters.map((count, reason) => (reason === wanted.reason ? count : 0n))
}
