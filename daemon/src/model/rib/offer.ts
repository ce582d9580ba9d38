/**
 * What contributors offer the RIB: a route for a prefix of a VRF, with how much it counts beside others'. Which offers are used follows from the offers alone,
 * in whatever order they came.
 */
import type { Address } from '../objects.ts'
import { compareText } from '../order.ts'
import { NO_FLAGS, PROXY } from '../paths.ts'
import type { Path, Route } from '../tables.ts'

/** Who offers routes in a VRF; the object itself is the identity. */
export interface Contributor {
  readonly name: string
  /** The highest of a prefix counts (preferences.ts). */
  readonly preference: number
  /** Others of the same preference are used beside it (ECMP), and so are all its paths. Otherwise the source that comes first in the alphabet counts. */
  readonly isShared?: boolean
}

/** A prefix has one offer of each: another one takes its place. */
export interface OfferKey {
  readonly by: Contributor
  /** What the contributor has it from, such as an interface's uuid. */
  readonly source: string
}

export interface Offer extends OfferKey {
  /** What is used when this offer is the only one that counts. */
  readonly route: Route
}

/** An offer of one path, that ends on this node or is the underlay's. */
export function offerOfPath(
  key: OfferKey,
  address: Address,
  prefixLength: number,
  only: Path,
  kind: Route['kind'],
  flags = NO_FLAGS,
): Offer {
  const route: Route = { address, prefixLength, paths: [only], nexthop: only.nexthop, flags, kind }
  return { by: key.by, source: key.source, route }
}

/** An offer of one path to another node, with the label that it is reached by there. */
export function offerOfTunnel(
  key: OfferKey,
  address: Address,
  prefixLength: number,
  only: Path,
  label: number,
  kind: Route['kind'],
): Offer {
  const { nexthop } = only
  return {
    by: key.by,
    source: key.source,
    route: { address, prefixLength, paths: [only], nexthop, label, flags: PROXY, kind },
  }
}

/** Offers of one prefix: the one that counts most first. */
export function compareOffers(a: Offer, b: Offer): number {
  if (a.by.preference !== b.by.preference) return b.by.preference - a.by.preference
  if (a.by.isShared !== b.by.isShared) return a.by.isShared === true ? -1 : 1
  return compareText(a.source, b.source) || compareText(a.by.name, b.by.name)
}

/** Those of a prefix's offers that are used: one, or all that share the first place. Sorted. */
export function usedOf(offers: readonly Offer[]): readonly Offer[] {
  const sorted = [...offers].sort(compareOffers)
  const [first] = sorted
  if (first === undefined) return []
  if (first.by.isShared !== true) return [first]
  return sorted.filter(({ by }) => by.preference === first.by.preference && by.isShared === true)
}

/** Paths of offers that are used together: live ones first, then in the order of numbers that stay over restarts. */
export function pathsOf(offers: readonly Offer[]): readonly Path[] {
  const paths = offers.flatMap(({ source, route }) => route.paths.map((path) => ({ path, source })))
  paths.sort(
    (a, b) =>
      b.path.preference - a.path.preference || a.path.nexthop - b.path.nexthop || compareText(a.source, b.source),
  )
  return paths.map(({ path }) => path)
}
