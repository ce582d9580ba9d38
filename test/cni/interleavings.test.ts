/**
 * Random sequences of what runtimes, operators and accidents do, against a model of what must exist after each step. VROUTER_CNI_SEQUENCES says how many (1000 in a
 * long run); the seed is fixed unless VROUTER_CNI_SEED says otherwise.
 */

import assert from 'node:assert/strict'
import { deleteNamed } from '@kube-vrouter/linux/namespace'
import fc from 'fast-check'
import { skipBecause } from '../skip.ts'
import { clean, inPod, type Json, Node, type Outcome, obstacle } from './node.ts'

const SEQUENCES = Number(process.env['VROUTER_CNI_SEQUENCES'] ?? 10)
const SEED = Number(process.env['VROUTER_CNI_SEED'] ?? 6)
const CONTAINERS = 4

type Action =
  | { readonly kind: 'ADD' | 'DEL' | 'CHECK'; readonly container: number; readonly killAfterMs?: number }
  | { readonly kind: 'lose'; readonly container: number }
  | { readonly kind: 'GC'; readonly keep: readonly boolean[] }
  | { readonly kind: 'stop' | 'start' | 'restart' }

/** One after the other, or two at the same time. */
type Step = readonly [Action] | readonly [Action, Action]

const container = fc.nat({ max: CONTAINERS - 1 })
const call = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('ADD' as const), container }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('DEL' as const), container }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('CHECK' as const), container }) },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('ADD' as const, 'DEL' as const),
      container,
      killAfterMs: fc.integer({ min: 15, max: 70 }),
    }),
  },
)
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: fc.tuple(call) },
  {
    weight: 4,
    arbitrary: fc.tuple(call, call).filter(([one, other]) => one.container !== other.container),
  },
  { weight: 1, arbitrary: fc.tuple(fc.record({ kind: fc.constant('lose' as const), container })) },
  {
    weight: 1,
    arbitrary: fc.tuple(
      fc.record({
        kind: fc.constant('GC' as const),
        keep: fc.array(fc.boolean(), { minLength: CONTAINERS, maxLength: CONTAINERS }),
      }),
    ),
  },
  { weight: 2, arbitrary: fc.tuple(fc.record({ kind: fc.constantFrom('stop' as const, 'start', 'restart') })) },
)

/** What must exist of a container. `maybe`: a call was killed, so what is there depends on how far it came. */
type State = { readonly is: 'absent' } | { readonly is: 'maybe' } | { readonly is: 'present'; readonly result: Json }

class World implements AsyncDisposable {
  readonly #node = new Node()
  readonly #states: State[] = Array.from({ length: CONTAINERS }, () => ({ is: 'absent' }))
  readonly #pods = Array.from({ length: CONTAINERS }, (_, i) => `${this.#node.name}-c${i}`)
  #isUp = true

  static async make(): Promise<World> {
    const world = new World()
    for (const name of world.#pods) world.#node.pod(name)
    await world.#node.startDaemon({ garbageMs: 0 })
    return world
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#node[Symbol.asyncDispose]()
  }

  async perform(actions: Step): Promise<void> {
    await Promise.all(actions.map((action) => this.#perform(action)))
    this.#node.ports?.refresh()
    this.#assertInvariants()
  }

  /** Whatever happened: GC with an empty list leaves nothing. */
  async end(): Promise<void> {
    await this.#start()
    assert.equal((await this.#gc([])).exit, 0)
    assert.deepEqual(this.#node.leftovers(), clean)
    for (const name of this.#pods)
      assert.deepEqual(
        inPod(`/run/netns/${name}`, (pod) => pod.links().map((link) => link.name)),
        ['lo'],
      )
  }

  async #perform(action: Action): Promise<void> {
    switch (action.kind) {
      case 'ADD':
        return await this.#add(action.container, action.killAfterMs)
      case 'DEL':
        return await this.#del(action.container, action.killAfterMs)
      case 'CHECK':
        return await this.#check(action.container)
      case 'lose':
        return await this.#lose(action.container)
      case 'GC': {
        const valid = action.keep.flatMap((isKept, i) => (isKept ? [i] : []))
        const { exit, stdout } = await this.#gc(valid)
        if (!this.#isUp) return assert.equal(JSON.parse(stdout).code, 11)
        assert.equal(exit, 0, stdout)
        for (let i = 0; i < CONTAINERS; i++) if (!valid.includes(i)) this.#states[i] = { is: 'absent' }
        return
      }
      case 'stop':
        this.#isUp = false
        return await this.#node.stopDaemon()
      case 'start':
        return await this.#start()
      case 'restart':
        await this.#node.stopDaemon()
        this.#isUp = false
        return await this.#start()
      default:
        action satisfies never
    }
  }

  async #add(i: number, killAfterMs: number | undefined): Promise<void> {
    const before = this.#states[i]!
    const outcome = await this.#run('ADD', i, killAfterMs)
    if (outcome.signal) {
      if (before.is !== 'present') this.#states[i] = { is: 'maybe' }
      return
    }
    const document = JSON.parse(outcome.stdout)
    if (!this.#isUp) return assert.equal(document.code, 11, outcome.stdout)
    if (before.is === 'present') return assert.equal(document.code, 101, outcome.stdout)
    // A killed ADD may have come to its end.
    if (before.is === 'maybe' && outcome.exit !== 0) return assert.equal(document.code, 101, outcome.stdout)
    assert.equal(outcome.exit, 0, outcome.stdout)
    this.#states[i] = { is: 'present', result: document }
  }

  async #del(i: number, killAfterMs: number | undefined): Promise<void> {
    const outcome = await this.#run('DEL', i, killAfterMs)
    if (outcome.signal) {
      if (this.#states[i]!.is !== 'absent') this.#states[i] = { is: 'maybe' }
      return
    }
    assert.deepEqual([outcome.exit, outcome.stdout], [0, ''])
    this.#states[i] = { is: 'absent' }
  }

  async #check(i: number): Promise<void> {
    const state = this.#states[i]!
    const prevResult = state.is === 'present' ? state.result : { cniVersion: '1.1.0' }
    const outcome = await this.#run('CHECK', i, undefined, { prevResult })
    if (!this.#isUp) return assert.equal(JSON.parse(outcome.stdout).code, 11)
    if (state.is === 'present') return assert.deepEqual([outcome.exit, outcome.stdout], [0, ''])
    assert.equal(JSON.parse(outcome.stdout).code, 103)
  }

  /** The container's namespace goes, and a new one takes its place: the runtime's DEL may still come. */
  async #lose(i: number): Promise<void> {
    const name = this.#pods[i]!
    deleteNamed(name)
    if (this.#states[i]!.is !== 'absent') this.#states[i] = { is: 'maybe' }
    const { tap } = this.#key(i)
    // The kernel takes a namespace apart in its own time.
    while (this.#node.inNode((route) => route.link(tap)) !== undefined) await new Promise((wake) => setTimeout(wake, 5))
    this.#node.remakePod(name)
  }

  async #start(): Promise<void> {
    if (this.#node.ports) return
    await this.#node.startDaemon({ garbageMs: 0 })
    this.#isUp = true
  }

  #run(command: string, i: number, killAfterMs?: number, more: object = {}): Promise<Outcome> {
    return this.#node.run({
      command,
      containerId: `c${i}`,
      netns: `/run/netns/${this.#pods[i]}`,
      config: this.#node.config('1.1.0', more),
      ...(killAfterMs !== undefined && { killAfterMs }),
    })
  }

  #gc(valid: readonly number[]): Promise<Outcome> {
    const list = valid.map((i) => ({ containerID: `c${i}`, ifname: 'eth0' }))
    return this.#node.run({ command: 'GC', config: this.#node.config('1.1.0', { 'cni.dev/valid-attachments': list }) })
  }

  #key(i: number): { readonly tap: string; readonly record: string } {
    return { tap: this.#node.tapOf(`c${i}`), record: `c${i}-eth0.json` }
  }

  #assertInvariants(): void {
    const { taps, records, deletes } = this.#node.leftovers()
    const held: string[] = []
    for (const [i, state] of this.#states.entries()) {
      const { tap, record } = this.#key(i)
      const isDeleted = deletes.includes(record)
      switch (state.is) {
        case 'absent':
          assert.ok(!taps.includes(tap), `c${i} is absent, and has a tap`)
          assert.ok(isDeleted || !records.includes(record), `c${i} is absent, and has a record`)
          break
        case 'maybe':
          break
        case 'present': {
          assert.ok(taps.includes(tap) && records.includes(record) && !isDeleted, `c${i} is present`)
          const there = inPod(`/run/netns/${this.#pods[i]}`, (pod) => {
            const link = pod.link('eth0')
            assert.ok(link?.up, `eth0 of c${i} is up`)
            return pod.addresses({ index: link.index }).map(({ address, prefixLength }) => `${address}/${prefixLength}`)
          })
          for (const { address } of state.result.ips) {
            assert.ok(there.includes(address), `c${i} has ${address}`)
            held.push(address)
          }
          break
        }
        default:
          state satisfies never
      }
    }
    assert.equal(new Set(held).size, held.length, 'no address is given twice')
    const ours = this.#states.map((_, i) => this.#key(i).tap)
    assert.deepEqual(
      taps.filter((tap) => !ours.includes(tap)),
      [],
    )
  }
}

describe('any sequence of ADD, DEL, CHECK, GC, kills and restarts', function () {
  this.timeout(Math.max(120_000, SEQUENCES * 10_000))
  before(function () {
    skipBecause(this, obstacle())
  })

  it(`leaves what the model says (${SEQUENCES} sequences, seed ${SEED})`, async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 8, maxLength: 16 }), async (steps) => {
        await using world = await World.make()
        for (const actions of steps) await world.perform(actions)
        await world.end()
      }),
      { numRuns: SEQUENCES, seed: SEED, endOnFailure: true },
    )
  })
})
