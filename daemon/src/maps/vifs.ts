/** The vifs. The datapath finds them by ifindex; people name them by id. */
import { formatAddress, parseAddress } from '@kube-vrouter/linux/address'
import type { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { AF_INET, AF_INET6 } from '@kube-vrouter/linux/netlink/family'
import {
  type VifAddressKeyStruct,
  type VifStateStruct,
  type VifStruct,
  vifAddressKeyCodec,
  vifCodec,
  vifStateCodec,
} from './structs.ts'
import { Table, u32Codec } from './table.ts'

/** ifindex -> vif. */
export type VifTable = Table<number, VifStruct>

export function vifTable(map: BpfMap): VifTable {
  return new Table(map, u32Codec, vifCodec)
}

/** vif id -> what the datapath keeps per vif: flows in use, trap budget. */
export type VifStateTable = Table<number, VifStateStruct>

export function vifStateTable(map: BpfMap): VifStateTable {
  return new Table(map, u32Codec, vifStateCodec)
}

/** vif id -> ifindex of its device; 0 = none. */
export type VifDeviceTable = Table<number, number>

export function vifDeviceTable(map: BpfMap): VifDeviceTable {
  return new Table(map, u32Codec, u32Codec)
}

/** (vif id, address) -> 1: addresses beside the first of each family. */
export type VifAddressTable = Table<VifAddressKeyStruct, number>

export function vifAddressTable(map: BpfMap): VifAddressTable {
  return new Table(map, vifAddressKeyCodec, u32Codec)
}

export function vifAddressKey(vif: number, address: string): VifAddressKeyStruct {
  const bytes = parseAddress(address)
  const ip = new Uint8Array(16)
  ip.set(bytes)
  return { vif, family: bytes.length === 4 ? AF_INET : AF_INET6, ip }
}

/** The further addresses of each vif that has any, by vif id. */
export function listVifAddresses(table: VifAddressTable): Map<number, string[]> {
  const all = new Map<number, string[]>()
  for (const [{ vif, family, ip }] of table.entries())
    all.set(vif, [...(all.get(vif) ?? []), formatAddress(family === AF_INET ? ip.subarray(0, 4) : ip)])
  for (const list of all.values()) list.sort()
  return all
}

/** Every vif, by id. */
export function listVifs(vifs: VifTable): VifStruct[] {
  return [...vifs.entries()].map(([, vif]) => vif).sort((a, b) => a.id - b.id)
}

/** Undefined: there is no vif with that id. */
export function vifById(vifs: VifTable, devices: VifDeviceTable, id: number): VifStruct | undefined {
  const ifindex = id < devices.maxEntries ? devices.get(id) : undefined
  const vif = ifindex ? vifs.get(ifindex) : undefined
  return vif?.id === id ? vif : undefined
}
