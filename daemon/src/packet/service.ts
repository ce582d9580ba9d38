/**
 * Services at the router's addresses that take longer to answer than the thread of pkt0 may wait: a resolver is asked, a lease is looked up.
 * Here is which packets are for which of them. Pure.
 */
import { decodeEthernet, EtherType } from './ethernet.ts'
import { decodeIpv4, Protocol } from './ipv4.ts'
import { decodeIpv6 } from './ipv6.ts'
import { decodePorts } from './tcp.ts'

export type Service = 'dns' | 'dhcp4' | 'dhcp6'

const BY_PORT: Readonly<Record<4 | 6, ReadonlyMap<number, Service>>> = {
  4: new Map([
    [53, 'dns'],
    [67, 'dhcp4'],
  ]),
  6: new Map([
    [53, 'dns'],
    [547, 'dhcp6'],
  ]),
}

/** The service that the frame's UDP datagram is for. A fragment is nobody's: the router keeps no packets. */
export function serviceOf(bytes: Uint8Array): Service | undefined {
  const frame = decodeEthernet(bytes)
  if (frame?.type === EtherType.IPV4) {
    const packet = decodeIpv4(frame.payload)
    const isWhole = packet?.protocol === Protocol.UDP && !packet.moreFragments && packet.fragmentOffset === 0
    return isWhole && !packet.isTruncated ? serviceAt(4, packet.payload) : undefined
  }
  if (frame?.type !== EtherType.IPV6) return undefined
  const packet = decodeIpv6(frame.payload)
  const isWhole = packet?.nextHeader === Protocol.UDP && packet.fragment === undefined
  return isWhole && !packet.isTruncated ? serviceAt(6, packet.payload) : undefined
}

function serviceAt(family: 4 | 6, payload: Uint8Array): Service | undefined {
  const ports = decodePorts(payload)
  return ports && BY_PORT[family].get(ports.destination)
}
