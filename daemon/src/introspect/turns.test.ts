import assert from 'node:assert/strict'
import { setImmediate as turn } from 'node:timers/promises'
import { type Turn, Turns } from './turns.ts'

const never = new AbortController().signal

/** Asks for a turn; what came of it so far. */
function ask(turns: Turns, signal = never) {
  const asked: { state: 'waits' | 'works' | 'refused'; turn?: Turn } = { state: 'waits' }
  void turns.take(signal).then((given) => {
    asked.state = given === undefined ? 'refused' : 'works'
    if (given) asked.turn = given
  })
  return asked
}

describe('turns of pages', () => {
  it('are few at a time, in the order of asking; more than may wait are refused', async () => {
    const turns = new Turns({ atOnce: 2, mayWait: 3 })
    const asked = Array.from({ length: 7 }, () => ask(turns))
    const states = async () => {
      await turn()
      return asked.map(({ state }) => state)
    }
    assert.deepEqual(await states(), ['works', 'works', 'waits', 'waits', 'waits', 'refused', 'refused'])
    asked[1]!.turn![Symbol.dispose]()
    asked[1]!.turn![Symbol.dispose]()
    assert.deepEqual((await states()).slice(0, 5), ['works', 'works', 'works', 'waits', 'waits'])
    asked[0]!.turn![Symbol.dispose]()
    asked[2]!.turn![Symbol.dispose]()
    assert.deepEqual((await states()).slice(0, 5), ['works', 'works', 'works', 'works', 'works'])
    for (const { turn } of asked.slice(3, 5)) turn![Symbol.dispose]()
    const [one, two, three] = [ask(turns), ask(turns), ask(turns)]
    await turn()
    assert.deepEqual(
      [one.state, two.state, three.state],
      ['works', 'works', 'waits'],
      'places are free again, all of them',
    )
  })

  it('pass those who have gone meanwhile', async () => {
    const turns = new Turns({ atOnce: 1 })
    const first = ask(turns)
    const gone = new AbortController()
    const second = ask(turns, gone.signal)
    const third = ask(turns)
    await turn()
    gone.abort()
    await turn()
    assert.deepEqual([second.state, third.state], ['refused', 'waits'])
    first.turn![Symbol.dispose]()
    await turn()
    assert.equal(third.state, 'works')
    assert.equal(await turns.take(gone.signal), undefined)
  })

  it('rest while a pod is being started, and not for ever', async () => {
    let isUrgent = true
    const turns = new Turns({ isUrgent: () => isUrgent })
    using taken = await turns.take(never)
    let hasRested = false
    const rested = taken!.rest().then(() => {
      hasRested = true
    })
    await turn()
    assert.equal(hasRested, false)
    isUrgent = false
    await rested
    isUrgent = true
    await taken!.rest()
  })
})
