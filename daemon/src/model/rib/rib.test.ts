import assert from 'node:assert/strict'
import fc from 'fast-check'
import { COMPOSITE_MAX } from '../../maps/constants.ts'
import { comparePrefixes, mustParseAddress } from '../address.ts'
import { NO_FLAGS, path } from '../paths.ts'
import type { Path, Route, RouteChange } from '../tables.ts'
import type { Contributor, Offer } from './offer.ts'
import { OfferSet } from './offer-set.ts'
import { Rib, type VrfRib } from './rib.ts'
import { compareLists, keyOf } from './route-changes.ts'

// ---- what may be offered: few prefixes, so that offers meet -----------------------------------------------------------------

const prefixes = ['10.0.0.0/8', '10.1.0.0/16', '10.1.0.5/32', '10.1.0.6/32', '0.0.0.0/0', 'fd00::/64', 'fd00::5/128']
const vrfs = [
  { id: 2, name: 'a:a', vn: 'a' },
  { id: 3, name: 'b:b', vn: 'b' },
]

function routeOf(prefix: string, paths: readonly Path[]): Route {
  const [address, length] = prefix.split('/') as [string, string]
  const [{ nexthop, label }] = paths as [Path]
  const isTunnel = typeof paths[0]!.peer === 'object'
  return {
    address,
    prefixLength: Number(length),
    paths,
    nexthop,
    ...(isTunnel && { label: label! }),
    flags: NO_FLAGS,
    kind: 'remote-pod',
  }
}

const onePath: fc.Arbitrary<Path> = fc
  .record({ nexthop: fc.integer({ min: 10, max: 14 }), label: fc.integer({ min: 16, max: 18 }), isHere: fc.boolean() })
  .map(({ nexthop, label, isHere }) =>
    isHere
      ? path('LocalVmPort', nexthop, 'a', label, 200)
      : path({ node: `n${nexthop}`, address: `192.0.2.${nexthop}` }, nexthop, 'a', label),
  )
/** Two of them share. */
const contributors: readonly Contributor[] = [
  { name: 'low', preference: 1 },
  { name: 'shared', preference: 2, isShared: true },
  { name: 'shared, too', preference: 2, isShared: true },
  { name: 'high', preference: 3 },
]
const [low, shared] = contributors as [Contributor, Contributor]
const offerArbitrary: fc.Arbitrary<Offer> = fc
  .record({
    prefix: fc.constantFrom(...prefixes),
    source: fc.constantFrom('s', 't', 'u', 'v'),
    by: fc.constantFrom(...contributors),
    paths: fc.array(onePath, { minLength: 1, maxLength: 2 }),
  })
  .map(({ prefix, source, by, paths }) => ({
    by,
    source,
    route: routeOf(prefix, by.isShared === true ? paths : paths.slice(0, 1)),
  }))
const step = fc.record({ vrf: fc.nat(1), offer: offerArbitrary, isWithdrawal: fc.boolean(), isCommitted: fc.boolean() })
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

// ---- the naive RIB: all offers in a list, everything made anew ----------------------------------------------------------------

const identity = ({ route, source, by }: Offer) => `${route.address}/${route.prefixLength} ${source} ${by.name}`

class NaiveRib {
  readonly offers = vrfs.map(() => new Map<string, Offer>())

  do({ vrf, offer, isWithdrawal }: Step): void {
    if (isWithdrawal) this.offers[vrf]!.delete(identity(offer))
    else this.offers[vrf]!.set(identity(offer), offer)
  }

  /** What a table says, by prefix. */
  routes(vrf: number): Map<string, string> {
    const said = new Map<string, string>()
    const byPrefix = Map.groupBy(this.offers[vrf]!.values(), ({ route }) => `${route.address}/${route.prefixLength}`)
    for (const [prefix, offers] of byPrefix) {
      const highest = Math.max(...offers.map(({ by }) => by.preference))
      const best = offers.filter(({ by }) => by.preference === highest)
      const first = best.reduce((a, b) => (a.source < b.source ? a : b))
      const paths = first.by.isShared === true ? best.flatMap(({ route }) => route.paths) : first.route.paths
      said.set(prefix, paths.map(pathText).sort().join(' + '))
    }
    return said
  }
}

const pathText = ({ peer, nexthop, label, preference }: Path) =>
  JSON.stringify([peer, nexthop, label ?? null, preference])

function saidBy(rib: Rib, vrf: number): Map<string, string> {
  const said = new Map<string, string>()
  for (const { address, prefixLength, paths } of [...rib.routes(vrf, 4), ...rib.routes(vrf, 6)])
    said.set(
      `${address}/${prefixLength}`,
      paths
        .filter(({ peer }) => peer !== 'Ecmp')
        .map(pathText)
        .sort()
        .join(' + '),
    )
  return said
}

// ---- the RIB ------------------------------------------------------------------------------------------------------------------

type Compose = Parameters<Rib['commit']>[0]

/** The same numbers whatever came first. */
const compose: Compose = ({ id }, prefix) => 1000 * id + prefixes.findIndex((one) => one.startsWith(prefix))

function commit(rib: Rib, composer = compose): void {
  for (const _ of rib.commit(composer));
}

function open(): { readonly rib: Rib; readonly ribs: readonly VrfRib[] } {
  const rib = new Rib()
  return { rib, ribs: vrfs.map((vrf) => rib.open(vrf)) }
}

function take(ribs: readonly VrfRib[], { vrf, offer, isWithdrawal }: Step): void {
  if (isWithdrawal) ribs[vrf]!.withdraw(offer.route.address, offer.route.prefixLength, offer)
  else ribs[vrf]!.offer(offer)
}

const listsOf = (rib: Rib) => vrfs.flatMap(({ id }) => [rib.routes(id, 4), rib.routes(id, 6)])

/** A list after these changes, each of which must be one. */
function applied(before: readonly Route[], changes: readonly RouteChange[]): ReadonlySet<Route> {
  const routes = new Map(before.map((route) => [keyOf(route.address, route.prefixLength), route]))
  for (const change of changes) {
    const { address, prefixLength } = (change.after ?? change.before)!
    const key = keyOf(address, prefixLength)
    assert.equal(routes.get(key), change.before)
    assert.notEqual(change.before, change.after)
    if (change.after === undefined) routes.delete(key)
    else routes.set(key, change.after)
  }
  return new Set(routes.values())
}

const steps = fc.array(step, { minLength: 1, maxLength: 60 })

describe('the RIB', () => {
  it('says what a naive one says after every commit, sorted, and counts what routes name', () => {
    fc.assert(
      fc.property(steps, (sequence) => {
        const { rib, ribs } = open()
        const naive = new NaiveRib()
        for (const one of sequence) {
          take(ribs, one)
          naive.do(one)
          if (!one.isCommitted) continue
          commit(rib)
          for (const [at, { id }] of vrfs.entries()) assert.deepEqual(saidBy(rib, id), naive.routes(at))
          const references = new Map<number, number>()
          const refer = (nexthop: number) => references.set(nexthop, (references.get(nexthop) ?? 0) + 1)
          for (const list of listsOf(rib)) {
            const places = list.map((route) => ({ ...mustParseAddress(route.address), length: route.prefixLength }))
            for (const [i, place] of places.entries())
              if (i > 0) assert.ok(comparePrefixes(places[i - 1]!, place) < 0, 'sorted and unique')
            for (const { nexthop, paths } of list)
              for (const named of [nexthop, ...paths.map((one) => one.nexthop).filter((id) => id !== nexthop)])
                refer(named)
          }
          assert.deepEqual(rib.references, references)
        }
      }),
      { numRuns: 400 },
    )
  })

  it('says the same in whatever order offers come and go', () => {
    const contents = fc.uniqueArray(fc.record({ vrf: fc.nat(1), offer: offerArbitrary }), {
      selector: ({ vrf, offer }) => `${vrf} ${identity(offer)}`,
      maxLength: 12,
    })
    fc.assert(
      fc.property(contents, steps, fc.infiniteStream(fc.nat()), (wanted, noise, dice) => {
        const plain = open()
        for (const { vrf, offer } of wanted) plain.ribs[vrf]!.offer(offer)
        commit(plain.rib)
        const other = open()
        for (const one of noise) {
          take(other.ribs, one)
          if (one.isCommitted) commit(other.rib)
        }
        const keep = new Set(wanted.map(({ vrf, offer }) => `${vrf} ${identity(offer)}`))
        // What shall be there comes between the withdrawals of what shall not.
        const last: Step[] = [
          ...wanted.map((one) => ({ ...one, isWithdrawal: false, isCommitted: false })),
          ...noise.filter(({ vrf, offer }) => !keep.has(`${vrf} ${identity(offer)}`)),
        ].map((one) => ({ ...one, isWithdrawal: !keep.has(`${one.vrf} ${identity(one.offer)}`) }))
        const shuffled = last.map((one) => ({ one, order: dice.next().value })).sort((a, b) => a.order - b.order)
        for (const { one } of shuffled) {
          take(other.ribs, one)
          if (one.isCommitted) commit(other.rib)
        }
        commit(other.rib)
        assert.deepEqual(listsOf(other.rib), listsOf(plain.rib))
        assert.deepEqual(other.rib.references, plain.rib.references)
      }),
      { numRuns: 400 },
    )
  })

  it('tells what distinguishes any two of its lists, or that it does not know; comparing finds the same', () => {
    fc.assert(
      fc.property(steps, (sequence) => {
        const { rib, ribs } = open()
        const history: (readonly (readonly Route[])[])[] = []
        for (const one of sequence) {
          take(ribs, one)
          commit(rib)
          const lists = listsOf(rib)
          history.push(lists)
          for (const earlier of history) {
            for (const [at, after] of lists.entries()) {
              const before = earlier[at]!
              const told = rib.changesBetween(vrfs[at >> 1]!.id, at % 2 === 0 ? 4 : 6, before, after)
              assert.deepEqual(applied(before, [...compareLists(before, after)]), new Set(after))
              if (told === undefined) assert.equal(before.length, 0, 'only of the first list nothing is known')
              else assert.deepEqual(applied(before, told), new Set(after))
            }
          }
        }
      }),
    )
    assert.equal(new Rib().changesBetween(2, 4, [], []), undefined)
  })

  it('forgets steps after a while, and says so', () => {
    const { rib, ribs } = open()
    const offer = (label: number): Offer => ({
      by: low,
      source: 's',
      route: routeOf('10.1.0.5/32', [path({ node: 'n', address: '192.0.2.1' }, 10, 'a', label)]),
    })
    const lists = Array.from({ length: 200 }, (_, label) => {
      ribs[0]!.offer(offer(label))
      commit(rib)
      return rib.routes(2, 4)
    })
    assert.equal(rib.changesBetween(2, 4, lists[0]!, lists.at(-1)!), undefined)
    const told = rib.changesBetween(2, 4, lists.at(-3)!, lists.at(-1)!)
    assert.deepEqual(told, [{ before: lists.at(-3)![0], after: lists.at(-1)![0] }])
    assert.equal(rib.changesBetween(2, 4, lists.at(-1)!, lists.at(-3)!), undefined, 'not backwards')
  })

  it('keeps every object that says the same as before', () => {
    fc.assert(
      fc.property(steps, (sequence) => {
        const { rib, ribs } = open()
        for (const one of sequence) take(ribs, one)
        commit(rib)
        const before = listsOf(rib)
        const offers = ribs.map((one) => prefixes.flatMap((prefix) => offersAt(one, prefix)))
        // Gone and back within one commit, and in another order; and once more as equal objects.
        for (const [at, all] of offers.entries()) {
          for (const offer of all) ribs[at]!.withdraw(offer.route.address, offer.route.prefixLength, offer)
          for (const offer of all.toReversed()) ribs[at]!.offer({ ...offer, route: structuredClone(offer.route) })
        }
        commit(rib)
        for (const [at, list] of listsOf(rib).entries()) assert.equal(list, before[at])
      }),
    )
  })

  it('numbers what is shared in the order of prefixes, uses the best path while no number is left, and tries again', () => {
    const { rib, ribs } = open()
    const here = (nexthop: number) => path('LocalVmPort', nexthop, 'a', 16, 200)
    const there = (label: number) => path({ node: 'n', address: '192.0.2.1' }, 11, 'a', label)
    const offer = (prefix: string, source: string, only: Path): Offer => ({
      by: shared,
      source,
      route: routeOf(prefix, [only]),
    })
    for (const prefix of ['10.1.0.6/32', '10.1.0.5/32', 'fd00::5/128']) {
      ribs[0]!.offer(offer(prefix, 'a', there(20)))
      ribs[0]!.offer(offer(prefix, 'b', here(30)))
    }
    const asked: unknown[] = []
    commit(rib, ({ id }, prefix, members) => {
      asked.push([id, prefix, members])
      return undefined
    })
    const members = [{ nexthop: 30 }, { nexthop: 11, label: 20 }]
    assert.deepEqual(asked, [
      [2, '10.1.0.5', members],
      [2, '10.1.0.6', members],
      [2, 'fd00::5', members],
    ])
    assert.equal(rib.routes(2, 4)[0]!.nexthop, 30)
    assert.match([...rib.problems()][0]!.message, /no nexthop number is left for the owners of 10\.1\.0\.5/)
    commit(rib)
    assert.deepEqual([...rib.problems()], [])
    assert.equal(rib.routes(2, 4)[0]!.nexthop, compose({ id: 2, name: 'a:a', vn: 'a' }, '10.1.0.5', []))
    assert.deepEqual(rib.routes(2, 4)[0]!.paths, [path('Ecmp', rib.routes(2, 4)[0]!.nexthop, 'a'), here(30), there(20)])
  })

  it('uses as many owners of one prefix as a composite holds, and says so', () => {
    const { rib, ribs } = open()
    for (let at = 0; at <= COMPOSITE_MAX; at++)
      ribs[0]!.offer({
        by: shared,
        source: `s${at}`,
        route: routeOf('10.1.0.5/32', [path({ node: 'n', address: '192.0.2.1' }, 10 + at, 'a', 16)]),
      })
    let count = 0
    commit(rib, (_vrf, _prefix, members) => {
      count = members.length
      return 7
    })
    assert.equal(count, COMPOSITE_MAX)
    assert.match([...rib.problems()][0]!.message, /^10\.1\.0\.5 has 65 owners; 64 of them are used$/)
  })

  it('has nothing of a VRF that was closed, nor counts it', () => {
    fc.assert(
      fc.property(steps, (sequence) => {
        const { rib, ribs } = open()
        for (const one of sequence) take(ribs, one)
        commit(rib)
        for (const { id } of vrfs) for (const _ of rib.close(id));
        assert.equal(rib.references.size, 0)
        assert.deepEqual(listsOf(rib), [[], [], [], []])
        rib.open(vrfs[0]!)
        commit(rib)
        assert.deepEqual(rib.routes(2, 4), [])
      }),
    )
  })
})

describe('a set of offers', () => {
  it('is what was told last, whatever was told before', () => {
    const set = fc.array(offerArbitrary, { maxLength: 8 })
    fc.assert(
      fc.property(fc.array(set, { minLength: 1, maxLength: 6 }), (told) => {
        const { rib, ribs } = open()
        const offers = new OfferSet(ribs[0]!)
        for (const list of told) offers.set(list)
        commit(rib)
        const plain = open()
        for (const offer of told.at(-1)!.toReversed()) plain.ribs[0]!.offer(offer)
        commit(plain.rib)
        assert.deepEqual(listsOf(rib), listsOf(plain.rib))
      }),
    )
  })
})

function offersAt(rib: VrfRib, prefix: string): readonly Offer[] {
  const [address, length] = prefix.split('/') as [string, string]
  return rib.offersOf(address, Number(length))
}
