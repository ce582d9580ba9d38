/** Map entries in words, for problems and logs. Pure. */
import { ip4Text, ip6Text, macText } from '../maps/addresses.ts'
import {
  bridgeKeyCodec,
  route4KeyCodec,
  route4LpmKeyCodec,
  route6KeyCodec,
  route6LpmKeyCodec,
} from '../maps/structs.ts'
import { decode, u32Codec } from '../maps/table.ts'
import type { TableMap } from './encode-tables.ts'

/** Such as `route 10.1.0.3/32 of VRF 2`. `key` as in delta.ts. */
export function describeEntry(map: TableMap, key: string): string {
  const bytes = Buffer.from(key, 'latin1')
  switch (map) {
    case 'vrfs':
      return `VRF ${decode(u32Codec, bytes)}`
    case 'nexthops':
      return `nexthop ${decode(u32Codec, bytes)}`
    case 'composites':
      return `members of nexthop ${decode(u32Codec, bytes)}`
    case 'mpls':
      return `label ${decode(u32Codec, bytes)}`
    case 'vif_devices':
      return `device of vif ${decode(u32Codec, bytes)}`
    case 'vifs':
      return `vif with ifindex ${decode(u32Codec, bytes)}`
    case 'bridge': {
      const { mac, vrf } = decode(bridgeKeyCodec, bytes)
      return `bridge entry ${macText(mac)} of VRF ${vrf}`
    }
    case 'route4_host': {
      const { vrf, ip } = decode(route4KeyCodec, bytes)
      return `route ${ip4Text(ip)}/32 of VRF ${vrf}`
    }
    case 'route4_lpm': {
      const { vrf, ip, prefixlen } = decode(route4LpmKeyCodec, bytes)
      return `route ${ip4Text(ip)}/${prefixlen - 32} of VRF ${vrf}`
    }
    case 'route6_host': {
      const { vrf, ip } = decode(route6KeyCodec, bytes)
      return `route ${ip6Text(ip)}/128 of VRF ${vrf}`
    }
    case 'route6_lpm': {
      const { vrf, ip, prefixlen } = decode(route6LpmKeyCodec, bytes)
      return `route ${ip6Text(ip)}/${prefixlen - 32} of VRF ${vrf}`
    }
    default:
      return map satisfies never
  }
}
