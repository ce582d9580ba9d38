/** The model's nexthops as entries of the maps `nexthops` and `composites`. Pure. Field meanings: datapath types.h, vRouter reference 1.3. */
import { ip4Number, macBytes } from '../maps/addresses.ts'
import {
  COMPOSITE_MAX,
  LABEL_NONE,
  NH_AF_BRIDGE,
  NH_AF_INET,
  NH_COMPOSITE,
  NH_DISCARD,
  NH_ENCAP,
  NH_FLAG_COMPOSITE_ECMP,
  NH_FLAG_COMPOSITE_ENCAP,
  NH_FLAG_COMPOSITE_EVPN,
  NH_FLAG_MCAST,
  NH_FLAG_POLICY_ENABLED,
  NH_FLAG_RELAXED_POLICY,
  NH_FLAG_SERVICE,
  NH_FLAG_SNAT,
  NH_FLAG_TUNNEL_UDP_MPLS,
  NH_FLAG_VALID,
  NH_L2_RCV,
  NH_RCV,
  NH_RESOLVE,
  NH_TUNNEL,
  NH_VRF_TRANSLATE,
  VIF_AGENT,
  VIF_HOST,
  VIF_ID_FABRIC,
  VIF_PHYSICAL,
  VIF_VIRTUAL,
} from '../maps/constants.ts'
import type { CompositeStruct, NexthopStruct } from '../maps/structs.ts'
import type { SpokenEncapsulation } from '../model/encapsulations.ts'
import type { CompositeKind, Nexthop, NumberedNexthop, Vif, VifType } from '../model/tables.ts'

const ETH_P_IP = 0x0800

export const vifTypeNumbers: { readonly [type in VifType]: number } = {
  host: VIF_HOST,
  agent: VIF_AGENT,
  physical: VIF_PHYSICAL,
  virtual: VIF_VIRTUAL,
}

/** The flags of tunnels say their encapsulation. */
const encapsulationFlags: { readonly [encapsulation in SpokenEncapsulation]: number } = {
  MPLSoUDP: NH_FLAG_TUNNEL_UDP_MPLS,
}

const compositeFlags: { readonly [kind in CompositeKind]: number } = {
  ecmp: NH_FLAG_COMPOSITE_ECMP,
  'l2-multicast': NH_FLAG_MCAST,
  'l2-interface': NH_FLAG_COMPOSITE_ENCAP,
  evpn: NH_FLAG_COMPOSITE_EVPN,
}

/** One that leads nowhere. */
export const NO_NEXTHOP: NexthopStruct = {
  type: NH_DISCARD,
  family: NH_AF_INET,
  rewriteLen: 0,
  flags: 0,
  vrf: 0,
  oif: 0,
  ifindex: 0,
  keyNh: 0,
  mtu: 0,
  sip: 0,
  dip: 0,
  rewrite: new Uint8Array(14),
  oifType: 0,
}

/** The vif whose device a nexthop names, if it names one. */
export function vifOf(nexthop: Nexthop): number | undefined {
  switch (nexthop.type) {
    case 'receive':
    case 'resolve':
    case 'encap':
      return nexthop.vif
    case 'tunnel':
      return VIF_ID_FABRIC
    default:
      return undefined
  }
}

/** A nexthop whose vif isn't in `vifs` (its device is gone) exists, but isn't valid. */
export function encodeNexthop({ nexthop, isValid }: NumberedNexthop, vifs: ReadonlyMap<number, Vif>): NexthopStruct {
  const valid = isValid ? NH_FLAG_VALID : 0
  switch (nexthop.type) {
    case 'discard':
      return { ...NO_NEXTHOP, flags: valid }
    case 'receive':
      return {
        ...NO_NEXTHOP,
        ...wayOut(
          vifs.get(nexthop.vif),
          nexthop.vif,
          valid | (nexthop.policy ? NH_FLAG_POLICY_ENABLED : NH_FLAG_RELAXED_POLICY),
        ),
        type: NH_RCV,
        vrf: nexthop.vrf,
        mtu: 0,
      }
    case 'resolve':
      return { ...NO_NEXTHOP, ...wayOut(vifs.get(nexthop.vif), nexthop.vif, valid), type: NH_RESOLVE, mtu: 0 }
    case 'encap':
      return {
        ...NO_NEXTHOP,
        ...wayOut(vifs.get(nexthop.vif), nexthop.vif, valid | (nexthop.policy ? NH_FLAG_POLICY_ENABLED : 0)),
        type: NH_ENCAP,
        family: nexthop.family === 'bridge' ? NH_AF_BRIDGE : NH_AF_INET,
        vrf: nexthop.vrf,
        rewriteLen: 14,
        rewrite: ethernetHeader(nexthop.dstMac, nexthop.srcMac),
      }
    case 'tunnel': {
      const flags = (nexthop.dstMac === undefined ? 0 : valid) | encapsulationFlags[nexthop.encapsulation]
      return {
        ...NO_NEXTHOP,
        ...wayOut(vifs.get(VIF_ID_FABRIC), VIF_ID_FABRIC, flags),
        type: NH_TUNNEL,
        keyNh: 0,
        mtu: nexthop.mtu,
        sip: ip4Number(nexthop.source),
        dip: ip4Number(nexthop.destination),
        rewriteLen: 14,
        rewrite: ethernetHeader(nexthop.dstMac ?? '00:00:00:00:00:00', nexthop.srcMac),
      }
    }
    case 'vrf-translate':
      return {
        ...NO_NEXTHOP,
        type: NH_VRF_TRANSLATE,
        flags: (valid | (nexthop.snat ? NH_FLAG_SNAT : 0) | (nexthop.service ? NH_FLAG_SERVICE : 0)) >>> 0,
        vrf: nexthop.vrf,
      }
    case 'l2-receive':
      return { ...NO_NEXTHOP, type: NH_L2_RCV, family: NH_AF_BRIDGE, flags: valid }
    case 'composite':
      return {
        ...NO_NEXTHOP,
        type: NH_COMPOSITE,
        family: nexthop.kind === 'ecmp' ? NH_AF_INET : NH_AF_BRIDGE,
        flags: valid | compositeFlags[nexthop.kind],
        vrf: nexthop.vrf,
      }
    default:
      return nexthop satisfies never
  }
}

/** Members of a composite nexthop; undefined for any other. Members beyond what fits are left out: fewer paths, not none. */
type Composite = Extract<Nexthop, { readonly type: 'composite' }>

export type NumberedComposite = NumberedNexthop & { readonly nexthop: Composite }

export function isComposite(nexthop: NumberedNexthop): nexthop is NumberedComposite {
  return nexthop.nexthop.type === 'composite'
}

export function encodeComposite(nexthop: Composite): CompositeStruct {
  const members = nexthop.members
    .slice(0, COMPOSITE_MAX)
    .map(({ nexthop: nh, label }) => ({ nh, label: label ?? LABEL_NONE }))
  return { count: members.length, hashFields: 0, members }
}

function wayOut(
  vif: Vif | undefined,
  id: number,
  flags: number,
): Pick<NexthopStruct, 'oif' | 'ifindex' | 'keyNh' | 'oifType' | 'mtu' | 'flags'> {
  if (!vif) return { oif: id, ifindex: 0, keyNh: 0, oifType: 0, mtu: 0, flags: flags & ~NH_FLAG_VALID }
  return {
    oif: id,
    ifindex: vif.ifindex,
    keyNh: vif.flowNexthop,
    oifType: vifTypeNumbers[vif.type],
    mtu: vif.mtu,
    flags,
  }
}

/** Destination, source, and the ethertype of IPv4, which the datapath replaces for other protocols. */
function ethernetHeader(destination: string, source: string): Uint8Array {
  const header = new Uint8Array(14)
  header.set(macBytes(destination), 0)
  header.set(macBytes(source), 6)
  header[12] = ETH_P_IP >> 8
  header[13] = ETH_P_IP & 0xff
  return header
}

/** In struct nexthop: type, destination MAC, type of the way out. */
const TYPE_AT = 0
const MAC_AT = 36
const MAC_END = MAC_AT + 6
const OIF_TYPE_AT = 50

/**
 * The datapath keeps the MACs of underlay next hops fresh by itself (decision 12): in `values`, which holds such a nexthop at `at`, the MAC becomes that
 * of `known`, so that nobody takes it for somebody else's work. Other nexthops are left alone.
 */
export function forgetLearntMac(values: Uint8Array, at: number, known: string | undefined): void {
  const type = values[at + TYPE_AT]
  const isUnderlay = type === NH_TUNNEL || (type === NH_ENCAP && values[at + OIF_TYPE_AT] === VIF_PHYSICAL)
  if (!isUnderlay || known === undefined) return
  for (let i = MAC_AT; i < MAC_END; i++) values[at + i] = known.charCodeAt(i)
}
