/** Ranges of addresses, which need not be networks. Pure. */
import { type Family, mustParseAddress, type ParsedAddress, type Prefix, sizeOf } from '../address.ts'
import type { AddressRange } from '../objects.ts'

export interface ParsedRange {
  readonly family: Family
  readonly first: bigint
  readonly last: bigint
}

const parsedOf = new WeakMap<AddressRange, ParsedRange>()

/** Parsed once in the range's life. */
export function parsedRange(range: AddressRange): ParsedRange {
  let parsed = parsedOf.get(range)
  if (parsed === undefined) {
    const { family, value } = mustParseAddress(range.first)
    parsed = { family, first: value, last: mustParseAddress(range.last).value }
    parsedOf.set(range, parsed)
  }
  return parsed
}

export function rangeOfPrefix(prefix: Prefix): ParsedRange {
  return { family: prefix.family, first: prefix.value, last: prefix.value + sizeOf(prefix) - 1n }
}

export function rangeHolds(range: ParsedRange, { family, value }: ParsedAddress): boolean {
  return range.family === family && range.first <= value && value <= range.last
}

export function rangesMeet(a: ParsedRange, b: ParsedRange): boolean {
  return a.family === b.family && a.first <= b.last && b.first <= a.last
}

/** As people write it. */
export function rangeText({ first, last }: AddressRange): string {
  return first === last ? first : `${first}-${last}`
}
