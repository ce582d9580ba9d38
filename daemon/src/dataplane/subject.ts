/** What a map entry is about: the object of the field behind its key, and its name in words. Pure. */
import { ip4Text, ip6Text, macText } from '../maps/addresses.ts'
import { addressText } from '../maps/services.ts'
import {
  bridgeKeyCodec,
  frontKeyCodec,
  peer4KeyCodec,
  peer6KeyCodec,
  rangeKeyCodec,
  route4KeyCodec,
  route4LpmKeyCodec,
  route6KeyCodec,
  route6LpmKeyCodec,
  vifAddressKeyCodec,
} from '../maps/structs.ts'
import { decode, u32Codec } from '../maps/table.ts'
import type { Subject } from '../model/tables.ts'
import type { TableMap } from './encode-tables.ts'
import { describeService } from './services/names.ts'

/** `key` as in delta.ts. */
export function subjectOf(map: TableMap, key: string): Subject {
  const bytes = Buffer.from(key, 'latin1')
  switch (map) {
    case 'peers4':
      return { kind: 'peer', address: ip4Text(decode(peer4KeyCodec, bytes).ip) }
    case 'peers6':
      return { kind: 'peer', address: ip6Text(decode(peer6KeyCodec, bytes).ip) }
    case 'vrfs':
      return { kind: 'vrf', id: decode(u32Codec, bytes) }
    case 'nexthops':
      return { kind: 'nexthop', id: decode(u32Codec, bytes) }
    case 'composites':
      return { kind: 'nexthop', id: decode(u32Codec, bytes), part: 'members' }
    case 'mpls':
      return { kind: 'label', label: decode(u32Codec, bytes) }
    case 'vif_devices':
      return { kind: 'vif', id: decode(u32Codec, bytes) }
    case 'vif_addresses':
      return { kind: 'vif', id: decode(vifAddressKeyCodec, bytes).vif, part: 'addresses' }
    case 'vifs':
      return { kind: 'device', ifindex: decode(u32Codec, bytes) }
    case 'service_backs':
      return { kind: 'back', index: decode(u32Codec, bytes) }
    case 'node_ports':
      return { kind: 'node-ports' }
    case 'service_ranges':
      return { kind: 'range', service: decode(rangeKeyCodec, bytes).service }
    case 'service_fronts': {
      const { vrf, family, ip, proto, port } = decode(frontKeyCodec, bytes)
      return { kind: 'front', vrf, address: addressText(family, ip), protocol: proto, port }
    }
    case 'bridge': {
      const { mac, vrf } = decode(bridgeKeyCodec, bytes)
      return { kind: 'bridge', vrf, mac: macText(mac) }
    }
    case 'route4_host': {
      const { vrf, ip } = decode(route4KeyCodec, bytes)
      return { kind: 'route', vrf, address: ip4Text(ip), prefixLength: 32 }
    }
    case 'route4_lpm': {
      const { vrf, ip, prefixlen } = decode(route4LpmKeyCodec, bytes)
      return { kind: 'route', vrf, address: ip4Text(ip), prefixLength: prefixlen - 32 }
    }
    case 'route6_host': {
      const { vrf, ip } = decode(route6KeyCodec, bytes)
      return { kind: 'route', vrf, address: ip6Text(ip), prefixLength: 128 }
    }
    case 'route6_lpm': {
      const { vrf, ip, prefixlen } = decode(route6LpmKeyCodec, bytes)
      return { kind: 'route', vrf, address: ip6Text(ip), prefixLength: prefixlen - 32 }
    }
    default:
      return map satisfies never
  }
}

/** Such as `route 10.1.0.3/32 of VRF 2`. */
export function describeEntry(map: TableMap, key: string): string {
  return describe(subjectOf(map, key))
}

function describe(subject: Subject): string {
  switch (subject.kind) {
    case 'port':
      return `interface ${subject.uuid}`
    case 'network':
      return `VirtualNetwork ${subject.vn}`
    case 'vif':
      return subject.part === 'addresses' ? `addresses of vif ${subject.id}` : `device of vif ${subject.id}`
    case 'device':
      return `vif with ifindex ${subject.ifindex}`
    case 'nexthop':
      return subject.part === 'members' ? `members of nexthop ${subject.id}` : `nexthop ${subject.id}`
    case 'label':
      return `label ${subject.label}`
    case 'vrf':
      return `VRF ${subject.id}`
    case 'route':
      return `route ${subject.address}/${subject.prefixLength} of VRF ${subject.vrf}`
    case 'bridge':
      return `bridge entry ${subject.mac} of VRF ${subject.vrf}`
    case 'peer':
      return `tunnel peer ${subject.address}`
    case 'service':
      return describeService(subject)
    case 'front':
      return `front ${subject.address} port ${subject.port} protocol ${subject.protocol} of VRF ${subject.vrf}`
    case 'back':
      return `back ${subject.index}`
    case 'node-ports':
      return 'ports of the node at which Services are reached'
    case 'range':
      return `source ranges of service port ${subject.service}`
    case 'node':
      return 'the node'
    default:
      return subject satisfies never
  }
}
