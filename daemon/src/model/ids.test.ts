import assert from 'node:assert/strict'
import fc from 'fast-check'
import { FIRST_ID, ID_KINDS, type IdKind, type IdLimits, Ids, IdsCorruptError } from './ids.ts'

const limits: IdLimits = { vrf: 6, nexthop: 8, label: 20, vif: 7, bridge: 5, service: 5 }
const quarantineMs = { vrf: 100, nexthop: 100, label: 100, vif: 100, bridge: 100, service: 100 }
const fresh = () => new Ids({ limits, quarantineMs })

describe('ids', () => {
  it('start behind the fixed numbers and take the lowest free one', () => {
    const ids = fresh()
    assert.equal(ids.allocate('vrf', 'a', 0), 2)
    assert.equal(ids.allocate('vrf', 'b', 0), 3)
    assert.equal(ids.allocate('label', 'a', 0), 16)
    assert.equal(ids.allocate('vif', 'a', 0), 3)
    ids.release('vrf', 'a', 0)
    assert.equal(ids.allocate('vrf', 'c', 1000), 2)
  })

  it('rest before somebody else gets them, but come back to their owner at once', () => {
    const ids = fresh()
    ids.allocate('vrf', 'a', 0)
    ids.release('vrf', 'a', 0)
    assert.equal(ids.allocate('vrf', 'b', 99), 3)
    assert.equal(ids.allocate('vrf', 'a', 99), 2)
    ids.release('vrf', 'a', 200)
    assert.equal(ids.allocate('vrf', 'c', 300), 2)
  })

  it('run out without throwing, and are there again after the quarantine', () => {
    const ids = fresh()
    for (const key of ['a', 'b', 'c', 'd']) assert.notEqual(ids.allocate('vrf', key, 0), undefined)
    assert.equal(ids.allocate('vrf', 'e', 0), undefined)
    ids.release('vrf', 'b', 0)
    assert.equal(ids.allocate('vrf', 'e', 50), undefined)
    assert.equal(ids.allocate('vrf', 'e', 100), 3)
  })

  it('rest from now on when the clock was set back, not until it catches up', () => {
    const ids = fresh()
    for (const key of ['a', 'b', 'c', 'd']) ids.allocate('vrf', key, 0)
    ids.release('vrf', 'a', 1_000_000)
    assert.equal(ids.allocate('vrf', 'e', 0), undefined)
    assert.equal(ids.allocate('vrf', 'e', 100), 2)
  })

  it('are taken over from the kernel, unless they contradict what is known', () => {
    const ids = fresh()
    assert.equal(ids.adopt('vif', 'a', 5), true)
    assert.equal(ids.adopt('vif', 'a', 5), true)
    assert.equal(ids.adopt('vif', 'a', 4), false)
    assert.equal(ids.adopt('vif', 'b', 5), false)
    assert.equal(ids.adopt('vif', 'b', 2), false)
    assert.equal(ids.adopt('vif', 'b', 7), false)
    assert.equal(ids.allocate('vif', 'a', 0), 5)
    assert.deepEqual([ids.allocate('vif', 'b', 0), ids.allocate('vif', 'c', 0)], [3, 4])
    assert.equal(ids.allocate('vif', 'd', 0), 6)
  })

  it('raise the revision with every change, and with nothing else', () => {
    const ids = fresh()
    const changes = (act: () => void) => {
      const before = ids.revision
      act()
      return ids.revision !== before
    }
    assert.ok(changes(() => ids.allocate('vrf', 'a', 0)))
    assert.ok(!changes(() => ids.allocate('vrf', 'a', 0)))
    assert.ok(!changes(() => ids.release('vrf', 'x', 0)))
    assert.ok(changes(() => ids.release('vrf', 'a', 0)))
    assert.ok(changes(() => ids.adopt('vrf', 'b', 4)))
    assert.ok(!changes(() => ids.adopt('vrf', 'b', 4)))
  })

  it('forget numbers above a limit that was lowered', () => {
    const ids = fresh()
    for (const key of ['a', 'b', 'c', 'd']) ids.allocate('vrf', key, 0)
    const less = Ids.fromJSON(JSON.parse(JSON.stringify(ids)), { limits: { ...limits, vrf: 4 }, quarantineMs })
    assert.deepEqual([less.get('vrf', 'a'), less.get('vrf', 'd')], [2, undefined])
    assert.equal(less.allocate('vrf', 'd', 0), undefined)
  })

  it('refuse a change that is none, or that gives a number to two', () => {
    const ids = fresh()
    ids.apply({ kind: 'vif', key: 'a', id: 3 })
    const bad = [
      null,
      7,
      {},
      { kind: 'toString', key: 'a', id: 3 },
      { kind: 'vif', key: 'a', id: 2 },
      { kind: 'vif', key: 'a', id: '3' },
      { kind: 'vif', key: 7, id: 3 },
      { kind: 'vif', key: 'a', id: 3, at: 'now' },
      { kind: 'vif', key: 'b', id: 3 },
    ]
    for (const change of bad) assert.throws(() => ids.apply(change), IdsCorruptError, JSON.stringify(change))
    assert.deepEqual([...ids.used('vif')], [['a', 3]])
  })

  it('refuse a file that is no table of ids', () => {
    const good = JSON.parse(JSON.stringify(fresh()))
    const bad = [
      null,
      'x',
      {},
      { ...good, version: 2 },
      { version: 1 },
      { version: 1, kinds: { ...good.kinds, vrf: undefined } },
      { version: 1, kinds: { ...good.kinds, vrf: { used: { a: 2, b: 2 }, released: {} } } },
      { version: 1, kinds: { ...good.kinds, vrf: { used: { a: 1 }, released: {} } } },
      { version: 1, kinds: { ...good.kinds, vrf: { used: { a: 'x' }, released: {} } } },
      { version: 1, kinds: { ...good.kinds, vrf: { used: { a: 2 }, released: { b: { id: 2, at: 0 } } } } },
      { version: 1, kinds: { ...good.kinds, vrf: { used: {}, released: { b: null } } } },
      { version: 1, kinds: { ...good.kinds, vrf: { used: {}, released: { b: { id: 2 } } } } },
    ]
    for (const data of bad) assert.throws(() => Ids.fromJSON(data, { limits }), IdsCorruptError, JSON.stringify(data))
  })
})

describe('ids under random use', () => {
  interface Step {
    readonly act: 'allocate' | 'release' | 'adopt' | 'restart' | 'crash' | 'wait'
    readonly kind: IdKind
    readonly key: string
    readonly n: number
  }
  const steps: fc.Arbitrary<Step[]> = fc.array(
    fc.record({
      act: fc.constantFrom('allocate', 'allocate', 'release', 'adopt', 'restart', 'crash', 'wait'),
      kind: fc.constantFrom(...ID_KINDS),
      key: fc.constantFrom('a', 'b', 'c', 'd', 'e', 'f', 'g'),
      n: fc.nat(25),
    }),
    { maxLength: 60 },
  )

  it('are never two owners’ at once, never change while owned, and never reach another owner before their rest is over', () => {
    fc.assert(
      fc.property(steps, (list) => {
        let ids = fresh()
        let now = 0
        let written = JSON.stringify(ids)
        const changes: string[] = []
        const owned = new Map<string, number>()
        /** Of each number: who had it last, and when it was given back. */
        const last = new Map<string, { owner: string; at: number }>()
        for (const { act, kind, key, n } of list) {
          const owner = `${kind} ${key}`
          switch (act) {
            case 'allocate':
            case 'adopt': {
              const before = owned.get(owner)
              const id = act === 'allocate' ? ids.allocate(kind, key, now) : ids.adopt(kind, key, n) ? n : undefined
              if (before !== undefined) assert.ok(id === before || (act === 'adopt' && id === undefined))
              if (id === undefined) break
              assert.ok(id >= FIRST_ID[kind] && id < limits[kind])
              for (const [other, of] of owned) {
                if (other !== owner && other.startsWith(`${kind} `)) assert.notEqual(of, id)
              }
              const rested = last.get(`${kind} ${id}`)
              if (rested !== undefined && rested.owner !== owner && act === 'allocate')
                assert.ok(now - rested.at >= 100)
              owned.set(owner, id)
              break
            }
            case 'release': {
              const id = owned.get(owner)
              if (id !== undefined) last.set(`${kind} ${id}`, { owner, at: now })
              owned.delete(owner)
              ids.release(kind, key, now)
              break
            }
            case 'restart':
              ids = Ids.fromJSON(JSON.parse(JSON.stringify(ids)), { limits, quarantineMs })
              break
            case 'crash':
              ids = Ids.fromJSON(JSON.parse(written), { limits, quarantineMs })
              for (const change of changes) ids.apply(JSON.parse(change))
              break
            case 'wait':
              now += n * 10
              break
            default:
              act satisfies never
          }
          changes.push(...ids.takeChanges().map((change) => JSON.stringify(change)))
          if (act === 'wait' && n > 20) {
            written = JSON.stringify(ids)
            changes.length = 0
          }
          for (const of of ID_KINDS) {
            for (const [name, id] of ids.used(of)) assert.equal(owned.get(`${of} ${name}`), id)
          }
          assert.equal(
            ID_KINDS.reduce((sum, of) => sum + ids.used(of).size, 0),
            owned.size,
          )
        }
      }),
      { numRuns: 500 },
    )
  })
})
