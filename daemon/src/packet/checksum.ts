/** The Internet checksum (RFC 1071), and the pseudo headers that upper layers put in front of it. Pure. */

/** One's complement sum of `bytes` as big-endian 16-bit words (an odd last byte is padded with zero), on top of `initial`. Not folded. */
export function sum(bytes: Uint8Array, initial = 0): number {
  let total = initial
  const even = bytes.length & ~1
  for (let i = 0; i < even; i += 2) total += (bytes[i]! << 8) | bytes[i + 1]!
  if (even < bytes.length) total += bytes[even]! << 8
  return total
}

/** The checksum field for a sum: folded to 16 bits and complemented. */
export function finish(total: number): number {
  let folded = total
  while (folded > 0xffff) folded = Math.floor(folded / 0x10000) + (folded & 0xffff)
  return ~folded & 0xffff
}

/** Checksum of `bytes`. Over bytes that hold a right checksum the result is 0. */
export function checksum(bytes: Uint8Array, initial = 0): number {
  return finish(sum(bytes, initial))
}

/** Sum of the pseudo header of IPv4 (RFC 9293 §3.1) or IPv6 (RFC 8200 §8.1): the address length tells which makes no difference to the sum. */
export function pseudoHeaderSum(source: Uint8Array, destination: Uint8Array, protocol: number, length: number): number {
  return sum(source) + sum(destination) + protocol + (length >>> 16) + (length & 0xffff)
}
