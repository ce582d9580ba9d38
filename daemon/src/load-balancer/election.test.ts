import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { InLine } from '../model/load-balancer/announcements.ts'
import { Election, type Presence } from './election.ts'

const VIP = '192.0.2.77'
const HOLD = 1200

/** One node's election, by hand. */
class Node {
  readonly election: Election
  announced = new Set<string>()
  presence: Record<string, Presence> = {}
  now = 0
  inLine: InLine

  constructor(self: string, line: readonly string[]) {
    this.election = new Election(self, HOLD)
    this.inLine = new Map([[VIP, line]])
  }

  /** Whether it announces the address `ms` later. */
  after(ms: number): boolean {
    this.now += ms
    const { inLine, announced, presence, now } = this
    this.announced = this.election.decide({ inLine, announced, presenceOf: (node) => presence[node] ?? 'unknown', now })
    return this.announced.has(VIP)
  }
}

describe('the election for an address', () => {
  it('gives it to the first in line, when others have had time to give it up', () => {
    const node = new Node('a', ['a', 'b', 'c'])
    assert.equal(node.after(0), false)
    assert.equal(node.after(HOLD - 1), false)
    assert.equal(node.after(1), true)
    assert.equal(node.after(1), true)
  })

  it('leaves it with a node that has it when its daemon starts', () => {
    const first = new Node('a', ['a', 'b'])
    first.announced.add(VIP)
    assert.equal(first.after(0), true)
    // Whether the elected one is there isn't known yet: nothing changes.
    const second = new Node('b', ['a', 'b'])
    second.announced.add(VIP)
    assert.equal(second.after(0), true)
    second.presence['a'] = 'there'
    assert.equal(second.after(1), false)
  })

  it('gives it to the next one only when all before it are silent', () => {
    const third = new Node('c', ['a', 'b', 'c'])
    assert.equal(third.after(0), false)
    third.presence = { a: 'silent' }
    assert.equal(third.after(10_000), false)
    third.presence = { a: 'silent', b: 'there' }
    assert.equal(third.after(0), false)
    third.presence = { a: 'silent', b: 'silent' }
    assert.equal(third.after(0), true)
    third.presence = { a: 'there', b: 'silent' }
    assert.equal(third.after(0), false)
  })

  it('is begun anew by the elected one when the next in line is heard again: it may have been itself that nobody heard', () => {
    const node = new Node('a', ['a', 'b'])
    node.announced.add(VIP)
    node.presence['b'] = 'silent'
    assert.equal(node.after(0), true)
    node.presence['b'] = 'there'
    assert.equal(node.after(0), false)
    assert.equal(node.after(HOLD - 1), false)
    assert.equal(node.after(1), true)
    assert.equal(node.after(10_000), true)
  })

  it('is nothing to a node that isn’t in line, and ends when another is elected', () => {
    const node = new Node('a', ['b', 'c'])
    node.announced.add(VIP)
    assert.equal(node.after(0), false)
    node.inLine = new Map([[VIP, ['a', 'b']]])
    assert.equal(node.after(0), false)
    assert.equal(node.after(HOLD), true)
    node.inLine = new Map([[VIP, ['b', 'a']]])
    // The new one may not know yet that it is elected, but it waits: until it is heard nothing changes.
    assert.equal(node.after(0), true)
    node.presence['b'] = 'there'
    assert.equal(node.after(0), false)
    node.inLine = new Map([[VIP, ['a', 'b']]])
    assert.equal(node.after(0), false)
  })

  it('begins anew when nobody could hear the node', () => {
    const node = new Node('a', ['a', 'b'])
    node.after(0)
    node.after(HOLD / 2)
    node.election.lost()
    assert.equal(node.after(HOLD / 2), false)
    assert.equal(node.after(HOLD), true)
  })

  it('asks those before, and of the elected one the next', () => {
    const { election } = new Node('b', [])
    const lines: InLine = new Map([
      ['1', ['b', 'a', 'c']],
      ['2', ['d', 'e', 'b']],
      ['3', ['f', 'g']],
      ['4', ['b']],
    ])
    assert.deepEqual([...election.watched(lines)].sort(), ['a', 'd', 'e'])
  })

  describe('among nodes that see each other', () => {
    const PROBE = 400
    const SILENT = 4
    const line = ['a', 'b', 'c']

    /** Ups and downs of nodes, each lasting some periods. While a node is down its map is lost: it was switched off. */
    const life = fc.array(fc.record({ node: fc.constantFrom(...line), periods: fc.integer({ min: 1, max: 12 }) }), {
      maxLength: 12,
    })

    it('never do two have it at once, and soon one has it', () => {
      fc.assert(
        fc.property(
          life,
          fc.array(fc.integer({ min: 0, max: 3 }), { minLength: 3, maxLength: 3 }),
          (events, phases) => {
            const nodes = new Map(line.map((name) => [name, new Node(name, line)]))
            const missed = new Map<string, number>()
            const down = new Set<string>()
            let now = 0
            let nobodySince = 0
            const step = () => {
              now += PROBE / 4
              for (const [i, [name, node]] of [...nodes].entries()) {
                node.now = now
                // Each looks at the others once in a period, at its own moment.
                if (down.has(name) || (now / (PROBE / 4)) % 4 !== phases[i]!) continue
                for (const other of node.election.watched(node.inLine)) {
                  const key = `${name} ${other}`
                  missed.set(key, down.has(other) ? (missed.get(key) ?? 0) + 1 : 0)
                  if (missed.get(key) === 0) node.presence[other] = 'there'
                  else if (missed.get(key)! >= SILENT) node.presence[other] = 'silent'
                }
                node.after(0)
              }
              const having = line.filter((name) => !down.has(name) && nodes.get(name)!.announced.has(VIP))
              assert.ok(having.length <= 1, `${having} at ${now}`)
              if (having.length > 0 || down.size === line.length) nobodySince = now
              assert.ok(now - nobodySince <= SILENT * PROBE + HOLD + 3 * PROBE, `nobody since ${nobodySince} at ${now}`)
            }
            const turn = (name: string) => {
              if (down.delete(name)) {
                nodes.set(name, new Node(name, line))
                for (const other of line) missed.delete(`${name} ${other}`)
              } else down.add(name)
              nobodySince = now
            }
            for (let i = 0; i < 20; i++) step()
            for (const { node, periods } of events) {
              turn(node)
              for (let i = 0; i < periods * 4; i++) step()
            }
            for (let i = 0; i < 80; i++) step()
          },
        ),
        { numRuns: 500 },
      )
    })
  })
})
