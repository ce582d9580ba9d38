/** Numbers as the wire's narrow integer types hold them: what doesn't fit wraps. */

export function toI16(value: number): number {
  return (value << 16) >> 16
}

/** The low 32 bits, signed. */
export function toI32(value: bigint): number {
  return Number(BigInt.asIntN(32, value))
}

export function toU16(value: number): number {
  return value & 0xffff
}
