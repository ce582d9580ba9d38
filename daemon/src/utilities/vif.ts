/** `vif`: the interfaces and their counters (vRouter reference §3.1, §4.3). */
import { linkSettings } from '@kube-vrouter/linux/ethtool'
import { ip4Text, ip6Text, macText } from '../maps/addresses.ts'
import { VIF_PHYSICAL, VIF_VIRTUAL } from '../maps/constants.ts'
import type { PinnedMaps } from '../maps/open.ts'
import { vifReferences } from '../maps/references.ts'
import type { CounterTable } from '../maps/stats.ts'
import type { VifStatsStruct, VifStruct } from '../maps/structs.ts'
import { listVifAddresses, listVifs } from '../maps/vifs.ts'
import { localTime } from './columns.ts'
import { notSupportedError, responseError } from './errors.ts'
import { dropCountersByType, formatDropCounters, sumOfDrops } from './format-dropstats.ts'
import {
  formatCleared,
  formatRateFooter,
  formatVif,
  formatVifHeader,
  formatVifRates,
  RATE_FRAME_LINES,
  RATE_LINES_PER_VIF,
  type VifRate,
  type VifRecord,
  vifFlagSymbols,
  vifTypeName,
} from './format-vif.ts'
import { refresh } from './screen.ts'
import { coreOption, numberOption, type Request, requireVerb, type Tool } from './tool.ts'

const usage = `Usage: vif --list [--core <core number>] [--rate]
       vif --get <intf_id> [--core <core number>] [--rate] [--get-drop-stats]
       vif --clear [--id <intf_id>] [--core <core number>]
       vif --help

--list            Lists all interfaces
--get <intf_id>   Displays one interface; with --get-drop-stats its drops by reason too
--clear           Clears the counters of all interfaces, or of the one named by --id
--core <n>        Counters of core <n> only, counted from 0
--rate            Shows packets per second, refreshed until q is pressed (--count N: N times)
--json            Prints JSON
--pins DIR        Folder of the vRouter's pins (default: VROUTER_PINS)
--help            Displays this help message
`

export const tool: Tool = {
  name: 'vif',
  usage,
  usageStatus: 0,
  options: [
    { long: 'list', short: 'l' },
    { long: 'get', short: 'g', takesValue: true },
    { long: 'clear' },
    { long: 'id', short: 'i', takesValue: true },
    { long: 'core', takesValue: true },
    { long: 'rate' },
    { long: 'get-drop-stats' },
    { long: 'kernel', short: 'k' },
    { long: 'add', short: 'a', takesValue: true },
    { long: 'create', short: 'c', takesValue: true },
    { long: 'delete', short: 'd', takesValue: true },
    { long: 'set', short: 's', takesValue: true },
    { long: 'sock-dir', takesValue: true },
    { long: 'help', short: 'h' },
  ],
  run,
}

/** vRouter's "unset" for a multicast VRF. */
const NO_VRF = 65535

async function run(request: Request): Promise<void> {
  const verb = requireVerb(tool, request, ['list', 'get', 'clear', 'add', 'create', 'delete', 'set'])
  switch (verb) {
    case 'list':
      return request.options.has('rate') ? showRates(request) : list(request)
    case 'get':
      return request.options.has('rate') ? showRates(request) : get(request)
    case 'clear':
      return clear(request)
    default:
      throw notSupportedError(
        `vif --${verb}`,
        'interfaces belong to the daemon: add or delete the pod, or change its object',
      )
  }
}

/* ---- list and get ------------------------------------------------------------------------------------------------- */

function list(request: Request): void {
  const maps = request.maps()
  const core = coreOption(tool, request, cpuCount(maps))
  const references = vifReferences(maps)
  const addresses = listVifAddresses(maps.vifAddresses)
  const records = listVifs(maps.vifs).map((vif) => toRecord(maps, vif, core, references, addresses))
  if (request.isJson) request.printJson({ core, interfaces: records.map(withNames) })
  else request.print(formatVifHeader() + records.map((record) => formatVif(record, core)).join(''))
}

function get(request: Request): void {
  const maps = request.maps()
  const core = coreOption(tool, request, cpuCount(maps))
  const vif = existingVif(maps, numberOption(tool, request, 'get')!)
  const record = toRecord(maps, vif, core, vifReferences(maps), listVifAddresses(maps.vifAddresses))
  const drops = request.options.has('get-drop-stats') ? countersOf(maps.vifDropStats, vif.id, core).reasons : undefined
  if (request.isJson) {
    request.printJson({ core, interface: withNames(record), drops: drops && dropCountersByType(drops) })
  } else {
    request.print(formatVifHeader() + formatVif(record, core) + (drops ? formatDropCounters(drops) : ''))
  }
}

function existingVif(maps: PinnedMaps, id: number): VifStruct {
  const vif = listVifs(maps.vifs).find((candidate) => candidate.id === id)
  if (!vif) throw responseError('ENOENT')
  return vif
}

function toRecord(
  maps: PinnedMaps,
  vif: VifStruct,
  core: number | undefined,
  references: ReadonlyMap<number, number>,
  addresses: ReadonlyMap<number, readonly string[]>,
): VifRecord {
  const stats = countersOf(maps.vifStats, vif.id, core)
  return {
    id: vif.id,
    name: vif.name,
    ifindex: vif.ifindex,
    type: vif.type,
    vrf: vif.vrf,
    multicastVrf: vif.type === VIF_VIRTUAL ? vif.vrf : NO_VRF,
    flags: vif.flags,
    nexthop: vif.nhId,
    mac: macText(vif.mac),
    ip4: ip4Text(vif.ip4),
    ip6: vif.ip6.some((byte) => byte !== 0) ? ip6Text(vif.ip6) : undefined,
    ...(addresses.has(vif.id) && { more: addresses.get(vif.id)! }),
    references: references.get(vif.id) ?? 1,
    rx: { packets: stats.rxPackets, bytes: stats.rxBytes, errors: stats.rxErrors },
    tx: { packets: stats.txPackets, bytes: stats.txBytes, errors: stats.txErrors },
    drops: sumOfDrops(countersOf(maps.vifDropStats, vif.id, core).reasons),
    ...(vif.type === VIF_PHYSICAL ? linkSettings(vif.name) : {}),
  }
}

function countersOf<V extends object>(table: CounterTable<V>, id: number, core: number | undefined): V {
  const counters = core === undefined ? table.get(id) : table.perCpu(id)?.[core]
  if (!counters) throw responseError('EINVAL')
  return counters
}

function cpuCount(maps: PinnedMaps): number {
  return maps.vifStats.perCpu(0)?.length ?? 0
}

function withNames(record: VifRecord): unknown {
  return { ...record, typeName: vifTypeName(record.type), flagNames: vifFlagSymbols(record.flags) }
}

/* ---- clear -------------------------------------------------------------------------------------------------------- */

function clear(request: Request): void {
  const maps = request.maps('write')
  const core = coreOption(tool, request, cpuCount(maps))
  const id = numberOption(tool, request, 'id')
  const vifs = id === undefined ? listVifs(maps.vifs) : [existingVif(maps, id)]
  for (const vif of vifs) {
    maps.vifStats.clear(vif.id, core)
    maps.vifDropStats.clear(vif.id, core)
  }
  if (request.isJson) request.printJson({ cleared: vifs.map((vif) => vif.id), core })
  else request.print(formatCleared(id === undefined ? undefined : vifs[0]!.name, core))
}

/* ---- rates -------------------------------------------------------------------------------------------------------- */

interface Sample {
  readonly timeMs: number
  readonly stats: ReadonlyMap<number, VifStatsStruct>
}

async function showRates(request: Request): Promise<void> {
  const maps = request.maps()
  const core = coreOption(tool, request, cpuCount(maps))
  const id = numberOption(tool, request, 'get')
  if (id !== undefined) existingVif(maps, id)
  let before: Sample | undefined
  let page = 0
  await refresh(request.count, (screen) => {
    const vifs = listVifs(maps.vifs).filter((vif) => id === undefined || vif.id === id)
    const now: Sample = {
      timeMs: performance.now(),
      stats: new Map(vifs.map((vif) => [vif.id, countersOf(maps.vifStats, vif.id, core)])),
    }
    const perPage = Math.max(1, Math.floor((screen.rows - RATE_FRAME_LINES) / RATE_LINES_PER_VIF))
    const lastPage = Math.max(0, Math.ceil(vifs.length / perPage) - 1)
    for (const key of screen.keys()) page += key === 'j' ? 1 : key === 'k' ? -1 : 0
    page = Math.min(Math.max(page, 0), lastPage)
    const shown = process.stdout.isTTY ? vifs.slice(page * perPage, (page + 1) * perPage) : vifs
    const rates = shown.map((vif) => rateOf(vif, now, before))
    screen.clear()
    if (request.isJson) request.printJson({ core, rates })
    else request.print(formatVifRates(rates, id === undefined ? formatRateFooter(localTime(new Date())) : ''))
    before = now
  })
}

/** Per second since the sample before; 0 on the first. A counter that was cleared meanwhile shows 0, never less. */
function rateOf(vif: VifStruct, now: Sample, before: Sample | undefined): VifRate {
  const seconds = before ? (now.timeMs - before.timeMs) / 1000 : 0
  const perSecond = (counter: keyof VifStatsStruct) => {
    const current = now.stats.get(vif.id)?.[counter] ?? 0n
    const previous = before?.stats.get(vif.id)?.[counter] ?? current
    return seconds > 0 ? Math.max(0, Math.round(Number(current - previous) / seconds)) : 0
  }
  return {
    id: vif.id,
    name: vif.name,
    type: vif.type,
    rxErrors: perSecond('rxErrors'),
    rxPackets: perSecond('rxPackets'),
    txErrors: perSecond('txErrors'),
    txPackets: perSecond('txPackets'),
  }
}
