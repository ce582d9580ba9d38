/** A range of ports as the configuration writes it: `61000-65535`. Pure. */

export interface PortRange {
  readonly first: number
  /** Included. */
  readonly last: number
}

/** Undefined: not two ports with the smaller one first. */
export function parsePortRange(text: string): PortRange | undefined {
  const [, first, last] = /^(\d{1,5})-(\d{1,5})$/.exec(text) ?? []
  const range = { first: Number(first), last: Number(last) }
  return range.first >= 1 && range.first <= range.last && range.last <= 65535 ? range : undefined
}
