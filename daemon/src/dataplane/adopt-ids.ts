/**
 * Takes the numbers over from the running datapath, when the files of ids are lost: pods keep their vif, label and nexthop, VRFs and tunnels
 * theirs, so that flows, and what other nodes know of this one, stay right. What the maps don't tell (composite nexthops) is numbered
 * anew.
 */
import { ip4Text } from '../maps/addresses.ts'
import { listBridge } from '../maps/bridge.ts'
import {
  NH_AF_BRIDGE,
  NH_ENCAP,
  NH_FLAG_POLICY_ENABLED,
  NH_FLAG_SNAT,
  NH_L2_RCV,
  NH_RCV,
  NH_RESOLVE,
  NH_TUNNEL,
  NH_VRF_TRANSLATE,
  VIF_ID_AGENT,
  VIF_ID_FABRIC,
} from '../maps/constants.ts'
import { listLabels } from '../maps/mpls.ts'
import { listNexthops } from '../maps/nexthops.ts'
import type { PinnedMaps } from '../maps/open.ts'
import { listRoutes } from '../maps/routes.ts'
import type { NexthopStruct } from '../maps/structs.ts'
import { listVifs } from '../maps/vifs.ts'
import { listVrfs } from '../maps/vrfs.ts'
import type { Port } from '../model/facts.ts'
import type { IdKind, Ids } from '../model/ids.ts'
import * as keys from '../model/keys.ts'
import { FABRIC_POLICY_VRF, FABRIC_VRF, vrfOfNetwork } from '../model/names.ts'
import type { FqName } from '../model/objects.ts'

/** `ports`: the records that survived. Returns how many numbers were taken over. */
export async function adoptIds(ids: Ids, maps: PinnedMaps, ports: readonly Port[]): Promise<number> {
  let adopted = 0
  const adopt = (kind: IdKind, key: string, id: number | undefined) => {
    if (id !== undefined && id !== 0 && ids.get(kind, key) === undefined && ids.adopt(kind, key, id)) adopted++
  }
  const nexthops = (await Array.fromAsync(listNexthops(maps.nexthops))).flat()
  const labels = listLabels(maps.mpls)
  const vrfNames = new Map<number, FqName>([
    [0, FABRIC_VRF],
    [1, FABRIC_POLICY_VRF],
  ])

  const byTap = new Map(listVifs(maps.vifs).map((vif) => [vif.name, vif]))
  for (const port of ports) {
    const vif = byTap.get(port.tap)
    if (vif === undefined) continue
    vrfNames.set(vif.vrf, vrfOfNetwork(port.vn))
    adopt('vif', keys.vifKey(port.uuid), vif.id)
    adopt('label', keys.podLabel(port.uuid), vif.label)
    for (const [id, nexthop] of nexthops) {
      if (nexthop.type !== NH_ENCAP || nexthop.oif !== vif.id) continue
      const key = nexthop.family === NH_AF_BRIDGE ? keys.podBridgeNexthop(port.uuid) : keys.podNexthop(port.uuid)
      adopt('nexthop', key, id)
    }
  }

  for (const [id, vrf] of listVrfs(maps.vrfs)) {
    const name = vrfNames.get(id)
    if (name === undefined || id < 2) continue
    adopt('vrf', keys.vrfKey(name), id)
    adopt('label', keys.vrfLabel(name), vrf.label)
    adopt('nexthop', keys.vrfNexthop(name), vrf.nh)
  }

  const receiving = new Set<number>()
  for (const [id, nexthop] of nexthops) {
    if (nexthop.type === NH_RCV) receiving.add(id)
    const key = nodeKey(nexthop)
    if (key !== undefined) adopt('nexthop', key, id)
  }
  adopt('label', keys.VHOST_LABEL, labels.find(({ nexthop }) => receiving.has(nexthop))?.label)

  const neighbours = new Map(nexthops.filter(([, nexthop]) => isNeighbour(nexthop)))
  for await (const routes of listRoutes(maps.routes, 4, 0)) {
    for (const { address, prefixLength, nexthop } of routes) {
      if (prefixLength === 32 && neighbours.has(nexthop)) adopt('nexthop', keys.neighbourNexthop(address), nexthop)
    }
  }
  for await (const entries of listBridge(maps.bridge)) {
    for (const { vrf, mac, index } of entries) {
      const name = vrfNames.get(vrf)
      if (name !== undefined) adopt('bridge', keys.bridgeKey(name, mac), index)
    }
  }
  return adopted
}

/** Identity of a nexthop that its contents tell. */
function nodeKey(nexthop: NexthopStruct): string | undefined {
  switch (nexthop.type) {
    case NH_TUNNEL:
      return keys.tunnelNexthop(ip4Text(nexthop.dip))
    case NH_RCV:
      return (nexthop.flags & NH_FLAG_POLICY_ENABLED) !== 0 ? keys.RECEIVE_POLICY : keys.RECEIVE
    case NH_RESOLVE:
      return keys.RESOLVE
    case NH_L2_RCV:
      return keys.L2_RECEIVE
    case NH_VRF_TRANSLATE:
      return (nexthop.flags & NH_FLAG_SNAT) !== 0 ? keys.SNAT : undefined
    case NH_ENCAP:
      return nexthop.oif === VIF_ID_AGENT ? keys.AGENT : undefined
    default:
      return undefined
  }
}

function isNeighbour(nexthop: NexthopStruct): boolean {
  return nexthop.type === NH_ENCAP && nexthop.oif === VIF_ID_FABRIC
}
