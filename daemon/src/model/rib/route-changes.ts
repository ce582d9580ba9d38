/** What distinguishes two states of a table of routes: prefixes whose route came, went or is another one. */
import { ipv4ToNumber } from '@kube-vrouter/linux/address'
import { type Family, familyOf, mustParseAddress } from '../address.ts'
import type { Route, RouteChange } from '../tables.ts'

/** The address as a number: IPv4 fits into a double, IPv6 doesn't. */
export function orderOf(address: string, family: Family): number | bigint {
  return (family === 4 ? ipv4ToNumber(address) : undefined) ?? mustParseAddress(address).value
}

/** A host's prefix is its address: tens of thousands of them need no text of their own. */
export function keyOf(address: string, prefixLength: number): string {
  return prefixLength === (familyOf(address) === 4 ? 32 : 128) ? address : `${address}/${prefixLength}`
}

/** By comparing two lists of one table, both sorted, one after the other. Those that are the same objects aren't looked at. */
export function* compareLists(before: readonly Route[], after: readonly Route[]): Generator<RouteChange, void> {
  let i = 0
  let j = 0
  while (i < before.length || j < after.length) {
    const [a, b] = [before[i], after[j]]
    const order = a === b ? 0 : a === undefined ? 1 : b === undefined ? -1 : comparePrefixes(a, b)
    if (a !== b) yield { before: order <= 0 ? a : undefined, after: order >= 0 ? b : undefined }
    if (order <= 0) i++
    if (order >= 0) j++
  }
}

/** Changes that came one after the other, as one. */
export function foldChanges(steps: readonly (readonly RouteChange[])[]): readonly RouteChange[] {
  if (steps.length === 1) return steps[0]!
  const folded = new Map<string, RouteChange>()
  for (const step of steps) {
    for (const change of step) {
      const { address, prefixLength } = (change.before ?? change.after)!
      const key = keyOf(address, prefixLength)
      const known = folded.get(key)
      folded.set(key, known === undefined ? change : { before: known.before, after: change.after })
    }
  }
  return [...folded.values()].filter(({ before, after }) => before !== after)
}

function comparePrefixes(a: Route, b: Route): number {
  const family = familyOf(a.address)
  const [first, second] = [orderOf(a.address, family), orderOf(b.address, family)]
  return first < second ? -1 : first > second ? 1 : a.prefixLength - b.prefixLength
}
