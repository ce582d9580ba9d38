/**
 * Tells the pods of a network on this node that an address is at another MAC now, as a host that takes an address over does itself: a
 * gratuitous ARP request (RFC 5944 §4.6, what Linux takes from everybody it knows already), an unsolicited neighbour advertisement with
 * the override flag (RFC 4861 §7.2.6). One frame for each pod, out of its own tap. Pure.
 */

import { parseAddress, parseMac } from '@kube-vrouter/linux/address'
import { AGENT_SWITCH, VIF_ID_FABRIC } from '../maps/constants.ts'
import { ROUTER_MAC } from '../model/names.ts'
import type { Address, Mac } from '../model/objects.ts'
import type { MovedAddress, Vif } from '../model/tables.ts'
import { FABRIC_VRF_ID } from '../model/vrfs.ts'
import { EtherType, encodeEthernet } from './ethernet.ts'
import { encodeIcmp6, Icmp6Type } from './icmp6.ts'
import { Protocol } from './ipv4.ts'
import { encodeIpv6 } from './ipv6.ts'
import type { Injection } from './respond.ts'

const BROADCAST = parseMac('ff:ff:ff:ff:ff:ff')
const ALL_NODES_MAC = parseMac('33:33:00:00:00:01')
const ALL_NODES = parseAddress('ff02::1')
const FLAG_ROUTER = 0x80000000
const FLAG_OVERRIDE = 0x20000000
const TARGET_LINK_LAYER_ADDRESS = 2
/** Who isn't told is routed by the datapath until its neighbour entry ends. */
const MOST_FRAMES = 8192

export function announcements(moved: readonly MovedAddress[], vifs: readonly Vif[]): Injection[] {
  const members = Map.groupBy(
    vifs.filter(({ type }) => type === 'virtual'),
    ({ vrf }) => vrf,
  )
  const injections: Injection[] = []
  for (const { vrf, address, mac } of moved) {
    const others = (members.get(vrf) ?? []).filter((vif) => !hasAddress(vif, address))
    if (others.length === 0) continue
    const ip = parseAddress(address)
    const frame = (ip.length === 4 ? gratuitousArp : unsolicitedAdvert)(
      ip,
      parseMac(mac ?? ROUTER_MAC),
      mac === undefined,
    )
    for (const { id } of others) {
      if (injections.length === MOST_FRAMES) return injections
      injections.push({ command: AGENT_SWITCH, vif: id, vrf, frame })
    }
  }
  return injections
}

/** Tells everybody on the underlay that load balancer addresses are at this node's NIC now. */
export function takenOver(addresses: readonly Address[], mac: Mac): Injection[] {
  return addresses.map((address) => {
    const ip = parseAddress(address)
    const frame = ip.length === 4 ? gratuitousArp(ip, parseMac(mac)) : unsolicitedAdvert(ip, parseMac(mac), false)
    return { command: AGENT_SWITCH, vif: VIF_ID_FABRIC, vrf: FABRIC_VRF_ID, frame }
  })
}

function hasAddress({ ip4, ip6, moreAddresses }: Vif, address: string): boolean {
  return ip4 === address || ip6 === address || moreAddresses?.includes(address) === true
}

function gratuitousArp(ip: Uint8Array, mac: Uint8Array): Uint8Array {
  const arp = Uint8Array.of(0, 1, 8, 0, 6, 4, 0, 1, ...mac, ...ip, 0, 0, 0, 0, 0, 0, ...ip)
  return encodeEthernet({ destination: BROADCAST, source: mac, type: EtherType.ARP, payload: arp })
}

function unsolicitedAdvert(ip: Uint8Array, mac: Uint8Array, isRouter: boolean): Uint8Array {
  const message = {
    type: Icmp6Type.NEIGHBOUR_ADVERTISEMENT,
    code: 0,
    rest: isRouter ? FLAG_ROUTER + FLAG_OVERRIDE : FLAG_OVERRIDE,
    payload: Uint8Array.of(...ip, TARGET_LINK_LAYER_ADDRESS, 1, ...mac),
  }
  const header = {
    trafficClass: 0,
    flowLabel: 0,
    nextHeader: Protocol.ICMPV6,
    hopLimit: 255,
    source: ip,
    destination: ALL_NODES,
  }
  const packet = encodeIpv6(header, encodeIcmp6(message, ip, ALL_NODES))
  return encodeEthernet({ destination: ALL_NODES_MAC, source: mac, type: EtherType.IPV6, payload: packet })
}
