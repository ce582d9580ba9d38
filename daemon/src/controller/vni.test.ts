import assert from 'node:assert/strict'
import fc from 'fast-check'
import { assignVnis, FIRST_VNI, type VniClaim } from './vni.ts'

const granted = (...claims: VniClaim[]) =>
  Object.fromEntries([...assignVnis(claims)].map(([name, { vni }]) => [name, vni]))

describe('VNIs', () => {
  it('are the lowest that are free, from 4096 on, in order of age', () => {
    assert.deepEqual(granted({ network: 'a' }, { network: 'b' }, { network: 'c', wish: 4097 }), {
      a: 4096,
      b: 4098,
      c: 4097,
    })
  })

  it('stay with who has them, however young, and come back when a network goes', () => {
    assert.deepEqual(granted({ network: 'old' }, { network: 'new', held: 4096 }), { old: 4097, new: 4096 })
    assert.deepEqual(granted({ network: 'c', held: 4098 }, { network: 'd' }), { c: 4098, d: 4096 })
  })

  it('follow a wish, also of a network that has another one', () => {
    assert.deepEqual(granted({ network: 'a', held: 4096, wish: 7000 }, { network: 'b' }), { a: 7000, b: 4096 })
  })

  it('that two wish for stay with the first, and the other one is told whose it is', () => {
    const grants = assignVnis([
      { network: 'x/a', held: 5000 },
      { network: 'x/b', wish: 5000 },
    ])
    assert.deepEqual(grants.get('x/b'), {
      problem: 'spec.virtualNetworkNetworkID (5000) is that of VirtualNetwork x/a: choose another, or leave it out',
    })
    assert.deepEqual(granted({ network: 'a', wish: 5000 }, { network: 'b', wish: 5000, held: 5000 }), {
      a: undefined,
      b: 5000,
    })
  })

  it('that two hold (a backup was restored) stay with the older', () => {
    assert.deepEqual(granted({ network: 'a', held: 4100 }, { network: 'b', held: 4100 }), { a: 4100, b: 4096 })
  })

  it('out of range, as somebody wrote them, are given anew', () => {
    assert.deepEqual(granted({ network: 'a', held: 7 }, { network: 'b', held: 2 ** 24 }), { a: 4096, b: 4097 })
  })

  it('are never shared, and never change by themselves', () => {
    const vni = fc.option(fc.integer({ min: FIRST_VNI, max: FIRST_VNI + 6 }), { nil: undefined })
    fc.assert(
      fc.property(fc.array(fc.record({ wish: vni, held: vni }), { maxLength: 8 }), (list) => {
        const claims = list.map((claim, index): VniClaim => ({ network: String(index), ...claim }))
        const first = assignVnis(claims)
        const numbers = [...first.values()].flatMap((grant) => grant.vni ?? [])
        assert.equal(new Set(numbers).size, numbers.length)
        const again = assignVnis(claims.map((claim) => ({ ...claim, held: first.get(claim.network)!.vni })))
        assert.deepEqual(again, first)
      }),
    )
  })
})
