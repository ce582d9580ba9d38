import assert from 'node:assert/strict'
import fc from 'fast-check'
import { type Family, familyOf, mustParseAddress } from '../model/address.ts'
import { type AllocationPool, allocate, type Claim, type Grant } from './address-allocation.ts'

const NOBODY = { taken: new Set<string>(), stays: () => false }

function pool(
  name: string,
  addresses: readonly [string, string][],
  more: Partial<AllocationPool> = {},
): AllocationPool {
  const ranges = addresses.map(([first, last]) => {
    const { family, value } = mustParseAddress(first)
    return { family, first: value, last: mustParseAddress(last).value }
  })
  const standard = { givesNew: true, autoAssign: true, isDefault: false, isForNamespaces: false, serves: () => true }
  return { name, ranges, ...standard, ...more }
}

function claim(name: string, more: Partial<Claim> = {}): Claim {
  return {
    ...{ namespace: 'shop', name, age: name, families: [4], isOneEnough: true, hasClass: true },
    ...{ asked: [], held: [], ports: ['TCP/80'] },
    ...more,
  }
}

const three = pool('three', [['192.0.2.1', '192.0.2.3']])

function given(grants: readonly Grant[]): Record<string, string> {
  return Object.fromEntries(grants.map(({ claim: { name }, addresses }) => [name, addresses.join(' ')]))
}

function problems(grants: readonly Grant[]): string[] {
  return grants.flatMap((grant) => grant.problems.map(({ reason, message }) => `${reason}: ${message}`))
}

function assertShare(a: Claim, b: Claim): void {
  assert.ok(a.sharingKey !== undefined)
  assert.deepEqual([a.namespace, a.sharingKey, a.localTo], [b.namespace, b.sharingKey, b.localTo])
  assert.deepEqual(
    a.ports.filter((port) => b.ports.includes(port)),
    [],
  )
}

describe('addresses of load balancers', () => {
  it('are given to the oldest first, and what was given stays', () => {
    const grants = allocate([three], [claim('c', { held: ['192.0.2.1'] }), claim('b'), claim('a')], NOBODY)
    assert.deepEqual(given(grants), { a: '192.0.2.2', b: '192.0.2.3', c: '192.0.2.1' })
    assert.deepEqual(problems(grants), [])
  })

  it('run out with a word about which pools', () => {
    const grants = allocate(
      [three],
      ['a', 'b', 'c', 'd'].map((name) => claim(name)),
      NOBODY,
    )
    assert.equal(given(grants)['d'], '')
    assert.deepEqual(problems(grants), ['PoolExhausted: no IPv4 address is free in LoadBalancerPool three'])
  })

  it('of both families where the Service has both; one is enough where it may have one', () => {
    const six = pool('six', [['2001:db8::1', '2001:db8::1']])
    const dual: Partial<Claim> = { families: [6, 4] }
    assert.deepEqual(given(allocate([three, six], [claim('a', dual)], NOBODY)), { a: '2001:db8::1 192.0.2.1' })
    const lacking = allocate([three], [claim('a', dual)], NOBODY)
    assert.deepEqual([given(lacking), problems(lacking)], [{ a: '192.0.2.1' }, []])
    const required = allocate([three], [claim('a', { ...dual, isOneEnough: false })], NOBODY)
    assert.deepEqual(problems(required), [
      'PoolExhausted: no LoadBalancerPool that is ready has IPv6 addresses for namespace shop',
    ])
  })

  it('come from pools for the namespace first, then from the default one', () => {
    const chosen = pool('z-shop', [['198.51.100.1', '198.51.100.1']], {
      isForNamespaces: true,
      serves: (namespace) => namespace === 'shop',
    })
    const standard = pool('y', [['203.0.113.1', '203.0.113.9']], { isDefault: true })
    const grants = allocate([three, standard, chosen], [claim('a'), claim('b', { namespace: 'other' })], NOBODY)
    assert.deepEqual(given(grants), { a: '198.51.100.1', b: '203.0.113.1' })
  })

  it('without a class come from default pools alone', () => {
    const none = allocate([three], [claim('a', { hasClass: false })], NOBODY)
    assert.deepEqual(problems(none), [
      'PoolExhausted: no LoadBalancerPool that is ready and is the default has IPv4 addresses for namespace shop',
    ])
    const asking = allocate([three], [claim('a', { hasClass: false, asked: ['192.0.2.1'] })], NOBODY)
    assert.deepEqual(problems(asking), [
      "AddressNotAllowed: asks for 192.0.2.1 of LoadBalancerPool three, which isn't the default: set spec.loadBalancerClass",
    ])
  })

  it('of a pool that assigns none by itself are for those who ask', () => {
    const manual = { ...three, autoAssign: false }
    const grants = allocate([manual], [claim('a'), claim('b', { asked: ['192.0.2.2'] })], NOBODY)
    assert.deepEqual(given(grants), { a: '', b: '192.0.2.2' })
  })

  it('that are asked for go to who asks, before those who take any', () => {
    const grants = allocate([three], [claim('a'), claim('b', { asked: ['192.0.2.1'] })], NOBODY)
    assert.deepEqual(given(grants), { a: '192.0.2.2', b: '192.0.2.1' })
  })

  it('that are asked for and can not be had are told, and the Service keeps what it has', () => {
    const asks = (address: string, more: Partial<Claim> = {}) => claim('b', { asked: [address], ...more })
    const having = claim('a', { held: ['192.0.2.1'] })
    const said = (one: Claim, pools = [three], options = NOBODY) => problems(allocate(pools, [having, one], options))
    assert.deepEqual(said(asks('192.0.2.1')), ['AddressTaken: asks for 192.0.2.1, which Service shop/a has'])
    assert.deepEqual(said(asks('192.0.2.1', { held: ['192.0.2.3'] })), [
      'AddressTaken: asks for 192.0.2.1, which Service shop/a has; the Service keeps 192.0.2.3',
    ])
    assert.deepEqual(said(asks('10.0.0.1')), ['AddressNotInPool: asks for 10.0.0.1, which is in no LoadBalancerPool'])
    assert.deepEqual(said(asks('2001:db8::1')), [
      'AddressNotAllowed: asks for 2001:db8::1, but spec.ipFamilies has no IPv6',
    ])
    assert.deepEqual(said(asks('192.0.2.2'), [{ ...three, serves: () => false }]), [
      "AddressNotAllowed: asks for 192.0.2.2 of LoadBalancerPool three, which isn't for namespace shop",
    ])
    assert.deepEqual(said(asks('192.0.2.2'), [{ ...three, givesNew: false }]), [
      "AddressNotAllowed: asks for 192.0.2.2 of LoadBalancerPool three, which isn't ready: see its status",
    ])
    assert.deepEqual(said(asks('192.0.2.2'), [three], { ...NOBODY, taken: new Set(['192.0.2.2']) }), [
      "AddressTaken: asks for 192.0.2.2, which is a node's",
    ])
  })

  it('change when the Service asks for another one that is free', () => {
    const grants = allocate([three], [claim('a', { held: ['192.0.2.1'], asked: ['192.0.2.3'] }), claim('b')], NOBODY)
    assert.deepEqual(given(grants), { a: '192.0.2.3', b: '192.0.2.1' })
  })

  it('of a pool that gives none any more stay; those of no pool go, when their time has come', () => {
    const held = [claim('a', { held: ['192.0.2.1'] })]
    assert.deepEqual(given(allocate([{ ...three, givesNew: false }], held, NOBODY)), { a: '192.0.2.1' })
    assert.deepEqual(given(allocate([], held, { ...NOBODY, stays: () => true })), { a: '192.0.2.1' })
    const other = pool('other', [['203.0.113.1', '203.0.113.9']])
    const gone = allocate([other], held, NOBODY)
    assert.deepEqual(given(gone), { a: '203.0.113.1' })
    assert.deepEqual(problems(gone), [
      'AddressWithdrawn: 192.0.2.1 is in no LoadBalancerPool any more: the Service lost it',
    ])
  })

  it('are never those of nodes', () => {
    const grants = allocate([three], [claim('a')], { ...NOBODY, taken: new Set(['192.0.2.1']) })
    assert.deepEqual(given(grants), { a: '192.0.2.2' })
  })

  describe('are shared', () => {
    const web = claim('a', { sharingKey: 'k', ports: ['TCP/80'] })
    const dns = claim('b', { sharingKey: 'k', ports: ['UDP/80', 'UDP/53'] })

    it('by those who both ask, with other ports', () => {
      assert.deepEqual(given(allocate([three], [web, dns], NOBODY)), { a: '192.0.2.1', b: '192.0.2.1' })
    })

    it('not with the same port, another key, none, or in another namespace', () => {
      for (const other of [
        { ...dns, ports: ['TCP/443', 'TCP/80'] },
        { ...dns, sharingKey: 'other' },
        claim('b', { ports: dns.ports }),
        { ...dns, namespace: 'other' },
      ]) {
        assert.deepEqual(given(allocate([three], [web, other], NOBODY)), { a: '192.0.2.1', b: '192.0.2.2' })
        const having = { ...web, held: ['192.0.2.1'] }
        const asking = allocate([three], [having, { ...other, asked: ['192.0.2.1'] }], NOBODY)
        assert.deepEqual(given(asking), { a: '192.0.2.1', b: '' })
        assert.deepEqual(problems(asking), ['AddressTaken: asks for 192.0.2.1, which Service shop/a has'])
      }
    })

    it('where traffic is for endpoints of the announcing node, by those with the same endpoints alone', () => {
      const local = { ...web, localTo: 'x' }
      assert.deepEqual(given(allocate([three], [local, dns], NOBODY)), { a: '192.0.2.1', b: '192.0.2.2' })
      const both = allocate([three], [local, { ...dns, localTo: 'x' }], NOBODY)
      assert.deepEqual(given(both), { a: '192.0.2.1', b: '192.0.2.1' })
    })

    it('no longer, when one of them changes: the older keeps it', () => {
      const held = ['192.0.2.1']
      const grants = allocate([three], [{ ...web, held }, claim('b', { held, ports: ['UDP/53'] })], NOBODY)
      assert.deepEqual(given(grants), { a: '192.0.2.1', b: '192.0.2.2' })
      assert.deepEqual(problems(grants), ['AddressTaken: 192.0.2.1 belongs to Service shop/a: this one lost it'])
    })
  })

  describe('whatever comes', () => {
    const addresses = ['192.0.2.1', '192.0.2.2', '192.0.2.3', '192.0.2.4', '2001:db8::1', '2001:db8::2', '10.9.9.9']
    const some = fc.subarray(addresses, { maxLength: 2 })
    const families = fc.constantFrom<Family[]>([4], [6], [4, 6], [6, 4])
    const anyClaim = fc.record({
      ...{ namespace: fc.constantFrom('shop', 'other'), families, asked: some, held: some },
      ...{ isOneEnough: fc.boolean(), hasClass: fc.boolean() },
      ports: fc.uniqueArray(fc.constantFrom('TCP/80', 'TCP/443', 'UDP/53'), { minLength: 1 }),
      sharingKey: fc.constantFrom(undefined, 'k', 'l'),
      localTo: fc.constantFrom(undefined, undefined, 'x', 'y'),
    })
    const claims = fc.array(anyClaim, { maxLength: 8 }).map((list) =>
      list.map(
        ({ sharingKey, localTo, ...rest }, i): Claim => ({
          ...{ name: `s${i}`, age: `s${i}` },
          ...rest,
          ...(sharingKey !== undefined && { sharingKey }),
          ...(localTo !== undefined && { localTo }),
        }),
      ),
    )
    const flags = { givesNew: fc.boolean(), autoAssign: fc.boolean(), isDefault: fc.boolean() }
    const pools = fc.tuple(fc.record(flags), fc.record(flags)).map(([a, b]) => [
      pool(
        'a',
        [
          ['192.0.2.1', '192.0.2.3'],
          ['2001:db8::1', '2001:db8::1'],
        ],
        a,
      ),
      pool(
        'b',
        [
          ['192.0.2.4', '192.0.2.4'],
          ['2001:db8::2', '2001:db8::2'],
        ],
        b,
      ),
    ])
    const world = fc.record({ pools, claims })

    it('no address is given twice but to those who share it, and each is of a pool and a family of the Service', () => {
      fc.assert(
        fc.property(world, ({ pools: all, claims: list }) => {
          const grants = allocate(all, list, NOBODY)
          assert.equal(grants.length, list.length)
          for (const [i, one] of grants.entries()) {
            const found = one.addresses.map(familyOf)
            assert.equal(new Set(found).size, found.length)
            assert.ok(found.every((family) => one.claim.families.includes(family)))
            assert.ok(one.addresses.every((address) => address !== '10.9.9.9'))
            for (const other of grants.slice(0, i))
              if (one.addresses.some((address) => other.addresses.includes(address)))
                assertShare(one.claim, other.claim)
          }
        }),
        { numRuns: 2000 },
      )
    })

    it('the answer is the same in any order', () => {
      const shuffled = world.chain((one) =>
        fc.record({
          one: fc.constant(one),
          order: fc.shuffledSubarray(one.claims, { minLength: one.claims.length }),
        }),
      )
      fc.assert(
        fc.property(shuffled, ({ one, order }) => {
          assert.deepEqual(allocate(one.pools, order, NOBODY), allocate(one.pools, one.claims, NOBODY))
        }),
        { numRuns: 1000 },
      )
    })

    it('what was given stays given when nothing else changes, and whoever comes new takes nothing away', () => {
      fc.assert(
        fc.property(world, anyClaim, ({ pools: all, claims: list }, { sharingKey: _, localTo: __, ...more }) => {
          let now = list
          let grants = allocate(all, now, NOBODY)
          // Who asks for what another one gives up gets it in a later pass.
          for (let i = 0; i < 8; i++) {
            now = grants.map(({ claim: one, addresses }) => ({ ...one, held: addresses }))
            grants = allocate(all, now, NOBODY)
          }
          assert.deepEqual(
            grants.map(({ addresses }) => addresses),
            now.map(({ held }) => held),
          )
          const newcomer: Claim = { ...more, name: 'new', age: '0', held: [], asked: more.asked }
          const after = allocate(all, [newcomer, ...now], NOBODY).filter(({ claim: { name } }) => name !== 'new')
          for (const [i, one] of after.entries())
            for (const family of now[i]!.held)
              if (!now[i]!.asked.some((address) => familyOf(address) === familyOf(family)))
                assert.ok(one.addresses.includes(family))
        }),
        { numRuns: 1000 },
      )
    })
  })
})
