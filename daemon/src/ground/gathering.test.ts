import assert from 'node:assert/strict'
import { FakeClock } from '../../../test/doubles/fake-clock.ts'
import { Gathering, type GatheringOptions } from './gathering.ts'

describe('Gathering', () => {
  const begun: number[] = []
  let clock: FakeClock
  /** Milliseconds that a run takes; undefined: it fails. */
  let takesMs: number | undefined
  const errors: unknown[] = []

  const gathering = (options: Partial<GatheringOptions<number>> = {}) =>
    new Gathering<number>({
      work: () => {
        begun.push(clock.now())
        if (takesMs === undefined) throw new Error('no')
        const { promise, resolve } = Promise.withResolvers<number>()
        clock.after(takesMs, () => resolve(begun.length))
        return promise
      },
      onError: (error) => errors.push(error),
      clock,
      ...options,
    })

  beforeEach(() => {
    clock = new FakeClock()
    takesMs = 0
    begun.length = 0
    errors.length = 0
  })

  it('does once what is asked for together, as soon as the first wants it', async () => {
    const one = gathering()
    void one.ask({ inMs: 50 })
    await clock.advance(10)
    void one.ask({ inMs: 20 })
    void one.ask({ inMs: 100 })
    await clock.advance(200)
    assert.deepEqual(begun, [30])
  })

  it('never overlaps, and gives who asks meanwhile a run that begins afterwards', async () => {
    takesMs = 10
    const one = gathering()
    const first = one.outcome()
    await clock.advance(5)
    const second = one.outcome()
    const third = one.outcome()
    await clock.advance(100)
    assert.deepEqual(begun, [0, 10])
    assert.deepEqual(await Promise.all([first, second, third]), [1, 2, 2])
  })

  it('rests after a run, shorter for who is in a hurry', async () => {
    takesMs = 10
    const one = gathering({ restMs: (tookMs, isUrgent) => tookMs * (isUrgent ? 1 : 4) })
    void one.ask()
    await clock.advance(10)
    void one.ask()
    await clock.advance(15)
    assert.deepEqual(begun, [0])
    void one.ask({ isUrgent: true })
    await clock.advance(1)
    assert.deepEqual(begun, [0, 25])
    void one.ask()
    await clock.advance(100)
    assert.deepEqual(begun, [0, 25, 75])
  })

  it('tries again what failed after growing waits, and starts over when it worked', async () => {
    takesMs = undefined
    const one = gathering({ retry: { firstMs: 100, maxMs: 300, random: () => 1 } })
    await assert.rejects(Promise.all([one.outcome(), clock.advance(0)]), /no/)
    await clock.advance(900)
    assert.deepEqual(begun, [0, 100, 300, 600, 900])
    takesMs = 0
    await clock.advance(300)
    takesMs = undefined
    void one.ask()
    await clock.advance(150)
    assert.deepEqual(begun.slice(5), [1200, 1200, 1300])
    assert.equal(errors.length, 7)
  })

  it('does not try again what was asked for meanwhile and worked', async () => {
    takesMs = undefined
    const one = gathering({ retry: { firstMs: 100, maxMs: 300, random: () => 1 } })
    void one.ask()
    await clock.advance(50)
    takesMs = 0
    void one.ask()
    await clock.advance(1000)
    assert.deepEqual(begun, [0, 50])
  })

  it('does not do what somebody else has done meanwhile', async () => {
    const one = gathering()
    const outcome = one.outcome({ inMs: 20 })
    one.cancel()
    assert.equal(await outcome, undefined)
    await clock.advance(100)
    assert.deepEqual(begun, [])
    void one.ask({ inMs: 20 })
    await clock.advance(100)
    assert.deepEqual(begun, [120])
  })

  it('leaves nothing behind: closing waits for the run under way, and answers who waits for the next', async () => {
    takesMs = 10
    const one = gathering({ retry: { firstMs: 100, maxMs: 300 } })
    void one.ask()
    await clock.advance(1)
    const waiting = one.outcome()
    const closed = one[Symbol.asyncDispose]()
    await clock.advance(1000)
    await closed
    assert.equal(await waiting, undefined)
    assert.equal(await one.outcome(), undefined)
    assert.deepEqual(begun, [0])
    assert.equal(clock.pending, 0)
  })
})
