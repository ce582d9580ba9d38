/** As much of TCP (RFC 9293) and UDP as is needed to refuse a connection. Pure; bytes that are none give undefined. */
import { checksum, pseudoHeaderSum } from './checksum.ts'
import { Protocol } from './ipv4.ts'

export const TCP_HEADER_LENGTH = 20
export const TcpFlag = { FIN: 0x01, SYN: 0x02, RST: 0x04, ACK: 0x10 } as const

export interface TcpSegment {
  readonly sourcePort: number
  readonly destinationPort: number
  readonly sequence: number
  readonly acknowledgement: number
  /** The low byte of flags (FIN … CWR). */
  readonly flags: number
  readonly payloadLength: number
}

export function decodeTcp(bytes: Uint8Array): TcpSegment | undefined {
  if (bytes.length < TCP_HEADER_LENGTH) return undefined
  const headerLength = (bytes[12]! >> 4) * 4
  if (headerLength < TCP_HEADER_LENGTH || headerLength > bytes.length) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  return {
    sourcePort: view.getUint16(0),
    destinationPort: view.getUint16(2),
    sequence: view.getUint32(4),
    acknowledgement: view.getUint32(8),
    flags: bytes[13]!,
    payloadLength: bytes.length - headerLength,
  }
}

/** A segment without options or data; its checksum covers the addresses that it goes between. */
export function encodeTcp(
  segment: Omit<TcpSegment, 'payloadLength'>,
  source: Uint8Array,
  destination: Uint8Array,
): Uint8Array {
  const bytes = new Uint8Array(TCP_HEADER_LENGTH)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, segment.sourcePort)
  view.setUint16(2, segment.destinationPort)
  view.setUint32(4, segment.sequence)
  view.setUint32(8, segment.acknowledgement)
  bytes[12] = (TCP_HEADER_LENGTH / 4) << 4
  bytes[13] = segment.flags
  view.setUint16(16, checksum(bytes, pseudoHeaderSum(source, destination, Protocol.TCP, bytes.length)))
  return bytes
}

/**
 * What a closed port answers (RFC 9293 §3.10.7.1): nothing to a RST; RST with the peer's own acknowledgement number; RST, ACK of all
 * that came where there was none.
 */
export function resetFor(segment: TcpSegment): Omit<TcpSegment, 'payloadLength'> | undefined {
  if (segment.flags & TcpFlag.RST) return undefined
  const ports = { sourcePort: segment.destinationPort, destinationPort: segment.sourcePort }
  if (segment.flags & TcpFlag.ACK)
    return { ...ports, sequence: segment.acknowledgement, acknowledgement: 0, flags: TcpFlag.RST }
  const length = segment.payloadLength + (segment.flags & TcpFlag.SYN ? 1 : 0) + (segment.flags & TcpFlag.FIN ? 1 : 0)
  return { ...ports, sequence: 0, acknowledgement: (segment.sequence + length) >>> 0, flags: TcpFlag.RST | TcpFlag.ACK }
}

/** Source and destination port, which TCP and UDP have in the same place. */
export function decodePorts(bytes: Uint8Array): { readonly source: number; readonly destination: number } | undefined {
  if (bytes.length < 4) return undefined
  return { source: (bytes[0]! << 8) | bytes[1]!, destination: (bytes[2]! << 8) | bytes[3]! }
}
