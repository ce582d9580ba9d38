/** Ethernet II frames. Pure; bytes that are no frame give undefined. */

export const ETHERNET_HEADER_LENGTH = 14

export const EtherType = { IPV4: 0x0800, ARP: 0x0806, IPV6: 0x86dd } as const

export interface EthernetFrame {
  readonly destination: Uint8Array
  readonly source: Uint8Array
  readonly type: number
  readonly payload: Uint8Array
}

export function decodeEthernet(bytes: Uint8Array): EthernetFrame | undefined {
  if (bytes.length < ETHERNET_HEADER_LENGTH) return undefined
  return {
    destination: bytes.subarray(0, 6),
    source: bytes.subarray(6, 12),
    type: (bytes[12]! << 8) | bytes[13]!,
    payload: bytes.subarray(ETHERNET_HEADER_LENGTH),
  }
}

export function encodeEthernet(frame: EthernetFrame): Uint8Array {
  const bytes = new Uint8Array(ETHERNET_HEADER_LENGTH + frame.payload.length)
  bytes.set(frame.destination, 0)
  bytes.set(frame.source, 6)
  bytes[12] = frame.type >> 8
  bytes[13] = frame.type & 0xff
  bytes.set(frame.payload, ETHERNET_HEADER_LENGTH)
  return bytes
}

/** Multicast and broadcast MACs have the group bit set. */
export function isGroupMac(mac: Uint8Array): boolean {
  return (mac[0]! & 1) === 1
}
