/** ARP for IPv4 over Ethernet (RFC 826). Pure; other kinds of ARP, and bytes that are none, give undefined. */

export const ArpOperation = { REQUEST: 1, REPLY: 2 } as const
const LENGTH = 28

export interface ArpPacket {
  readonly operation: number
  readonly senderMac: Uint8Array
  readonly senderIp: Uint8Array
  readonly targetMac: Uint8Array
  readonly targetIp: Uint8Array
}

export function decodeArp(bytes: Uint8Array): ArpPacket | undefined {
  if (bytes.length < LENGTH) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const isIpv4OverEthernet = view.getUint32(0) === 0x00010800 && view.getUint16(4) === 0x0604
  if (!isIpv4OverEthernet) return undefined
  return {
    operation: view.getUint16(6),
    senderMac: bytes.subarray(8, 14),
    senderIp: bytes.subarray(14, 18),
    targetMac: bytes.subarray(18, 24),
    targetIp: bytes.subarray(24, 28),
  }
}

export function encodeArp(packet: ArpPacket): Uint8Array {
  const bytes = new Uint8Array(LENGTH)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, 0x00010800)
  view.setUint16(4, 0x0604)
  view.setUint16(6, packet.operation)
  bytes.set(packet.senderMac, 8)
  bytes.set(packet.senderIp, 14)
  bytes.set(packet.targetMac, 18)
  bytes.set(packet.targetIp, 24)
  return bytes
}
