/** Bridge entries of one VRF, sorted by MAC. Entries that say the same as before are the same objects as before. */
import type { Mac } from './objects.ts'
import type { BridgeRoute } from './tables.ts'

/** Where that MAC is in a sorted list, or would be. */
export function placeOfMac<T>(list: readonly T[], mac: Mac, macOf: (item: T) => Mac): number {
  let low = 0
  let high = list.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (macOf(list[middle]!) < mac) low = middle + 1
    else high = middle
  }
  return low
}

/** Both lists in one; of a MAC that both have, `first`'s entry. Costs a copy of `others`, whose entries aren't looked at one by one. */
export function merged(first: readonly BridgeRoute[], others: readonly BridgeRoute[]): readonly BridgeRoute[] {
  if (others.length === 0) return first
  const places = first.map(({ mac }) => placeOfMac(others, mac, macOfRoute))
  const doubles = places.filter((at, index) => others[at]?.mac === first[index]!.mac).length
  // Of its size from the start: a list that grows leaves copies behind.
  const all = new Array<BridgeRoute>(first.length + others.length - doubles)
  let [from, to] = [0, 0]
  for (const [index, at] of places.entries()) {
    while (from < at) all[to++] = others[from++]!
    all[to++] = first[index]!
    if (others[from]?.mac === first[index]!.mac) from++
  }
  while (from < others.length) all[to++] = others[from++]!
  return all
}

export function macOfRoute({ mac }: BridgeRoute): Mac {
  return mac
}

/** An entry that came, went, or says something else than before. */
export interface BridgeChange {
  readonly before: BridgeRoute | undefined
  readonly after: BridgeRoute | undefined
}

/** What distinguishes two lists of one table, one after the other. Those that are the same objects aren't looked at. */
export function* bridgeChanges(
  before: readonly BridgeRoute[],
  after: readonly BridgeRoute[],
): Generator<BridgeChange, void> {
  let i = 0
  let j = 0
  while (i < before.length || j < after.length) {
    const [a, b] = [before[i], after[j]]
    if (a === b) {
      i++
      j++
      continue
    }
    const isGone = a !== undefined && (b === undefined || a.mac <= b.mac)
    const isThere = b !== undefined && (a === undefined || b.mac <= a.mac)
    yield { before: isGone ? a : undefined, after: isThere ? b : undefined }
    if (isGone) i++
    if (isThere) j++
  }
}
