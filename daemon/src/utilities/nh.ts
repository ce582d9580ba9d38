/** `nh`: the nexthops (vRouter reference §3.3). */

import { ip4Text } from '../maps/addresses.ts'
import { LABEL_NONE, NH_COMPOSITE, NH_ENCAP, NH_RCV, NH_TUNNEL } from '../maps/constants.ts'
import { isFree, membersOf, nexthopById } from '../maps/nexthops.ts'
import type { PinnedMaps } from '../maps/open.ts'
import { nexthopReferences } from '../maps/references.ts'
import type { NexthopStruct } from '../maps/structs.ts'
import { notSupportedError, responseError } from './errors.ts'
import { familyName, formatNexthop, type NexthopRecord, nexthopFlagList, nexthopTypeName } from './format-nh.ts'
import { numberOption, type Request, requireVerb, type Tool } from './tool.ts'

const usage = `Usage: nh --list
       nh --get <nh_id>
       nh --help

--list  Lists all nexthops
--get   Displays nexthop corresponding to <nh_id>, and the members of a composite one
--json  Prints JSON
--pins DIR  Folder of the vRouter's pins (default: VROUTER_PINS)
--help  Displays this help message
`

export const tool: Tool = {
  name: 'nh',
  usage,
  usageStatus: 1,
  options: [
    { long: 'list' },
    { long: 'get', takesValue: true },
    { long: 'create', takesValue: true },
    { long: 'delete', takesValue: true },
    { long: 'sock-dir', takesValue: true },
    { long: 'help' },
  ],
  run,
}

async function run(request: Request): Promise<void> {
  const verb = requireVerb(tool, request, ['list', 'get', 'create', 'delete'])
  if (verb === 'create' || verb === 'delete') {
    throw notSupportedError(`nh --${verb}`, 'nexthops belong to the daemon: change the object behind them')
  }
  const id = numberOption(tool, request, 'get')
  const maps = request.maps()
  const records = id === undefined ? allNexthops(maps) : withMembers(maps, id, nexthopReferences(maps))
  if (request.isJson) {
    request.printJson({
      nexthops: records.map((record) => ({
        ...record,
        typeName: nexthopTypeName(record.type),
        familyName: familyName(record.family),
        flagNames: nexthopFlagList(record),
      })),
    })
  } else {
    request.print(records.map(formatNexthop).join(''))
  }
}

function allNexthops(maps: PinnedMaps): NexthopRecord[] {
  const references = nexthopReferences(maps)
  return [...maps.nexthops.entries({ used: true })]
    .filter(([, nexthop]) => !isFree(nexthop))
    .sort(([a], [b]) => a - b)
    .map(([id, nexthop]) => toRecord(maps, id, nexthop, references))
}

/** The nexthop, then its members, and theirs. Throws ENOENT when `id` is free; a member that is gone is left out. */
function withMembers(maps: PinnedMaps, id: number, references: ReadonlyMap<number, number>): NexthopRecord[] {
  const seen = new Set<number>()
  const visit = (current: number): NexthopRecord[] => {
    const nexthop = seen.has(current) ? undefined : nexthopById(maps.nexthops, current)
    if (!nexthop) return []
    seen.add(current)
    const record = toRecord(maps, current, nexthop, references)
    return [record, ...(record.members ?? []).flatMap((member) => visit(member.nexthop))]
  }
  const records = visit(id)
  if (records.length === 0) throw responseError('ENOENT')
  return records
}

/** What a router on the way to that node said, while it is believed. */
function pathMtuTo(maps: PinnedMaps, peer: number): NexthopRecord['pathMtu'] {
  const path = maps.pathMtus.get(peer)
  const seconds = path === undefined ? 0 : Number((path.expiresNs - process.hrtime.bigint()) / 1_000_000_000n)
  return path === undefined || seconds <= 0 ? undefined : { bytes: path.mtu, seconds }
}

function toRecord(
  maps: PinnedMaps,
  id: number,
  nexthop: NexthopStruct,
  references: ReadonlyMap<number, number>,
): NexthopRecord {
  const { type, family, flags, vrf, oif } = nexthop
  const common = { id, type, family, flags, vrf, references: references.get(id) ?? 0 }
  const rewrite = [...nexthop.rewrite.subarray(0, nexthop.rewriteLen)]
  switch (type) {
    case NH_RCV:
      return { ...common, oif }
    case NH_ENCAP:
      return { ...common, oif, rewrite }
    case NH_TUNNEL:
      return {
        ...common,
        ...{ oif, rewrite, source: ip4Text(nexthop.sip), destination: ip4Text(nexthop.dip) },
        pathMtu: pathMtuTo(maps, nexthop.dip),
      }
    case NH_COMPOSITE:
      return {
        ...common,
        hashFields: maps.composites.get(id)?.hashFields ?? 0,
        members: membersOf(maps.composites, id).map((member) => ({
          nexthop: member.nh,
          label: member.label === LABEL_NONE ? undefined : member.label,
        })),
      }
    default:
      return common
  }
}
