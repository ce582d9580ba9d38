/** Addresses of load balancers that this node answers ARP requests and neighbour solicitations for: a hash, address -> how often it did. */

import { formatAddress, parseAddress } from '@kube-vrouter/linux/address'
import type { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { AF_INET, AF_INET6 } from '@kube-vrouter/linux/netlink/family'
import { type AnnouncedKeyStruct, type AnnouncedStruct, announcedCodec, announcedKeyCodec } from './structs.ts'
import { Table } from './table.ts'

export type AnnouncedTable = Table<AnnouncedKeyStruct, AnnouncedStruct>

export function announcedTable(map: BpfMap): AnnouncedTable {
  return new Table(map, announcedKeyCodec, announcedCodec)
}

/** `address`: canonical. */
export function announcedKey(address: string): AnnouncedKeyStruct {
  const bytes = parseAddress(address)
  const ip = new Uint8Array(16)
  ip.set(bytes)
  return { family: bytes.length === 4 ? AF_INET : AF_INET6, ip }
}

export function announcedAddress({ family, ip }: AnnouncedKeyStruct): string {
  return formatAddress(family === AF_INET ? ip.subarray(0, 4) : ip)
}
