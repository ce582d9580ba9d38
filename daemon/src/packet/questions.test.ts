import assert from 'node:assert/strict'
import { Questions } from './questions.ts'

const LIMITS = { atOnce: 6, perVif: 2, perSecond: 4, patienceMs: 1000 }

describe('questions of the thread of pkt0', () => {
  it('are so many in all, and of one vif no more than its share, which costs others nothing', () => {
    const questions = new Questions(LIMITS)
    assert.deepEqual([questions.open(3, 0), questions.open(3, 0)], [1, 2])
    assert.equal(questions.open(3, 0), 'questions_of_vif')
    for (const vif of [4, 4, 5, 5]) assert.equal(typeof questions.open(vif, 0), 'number')
    assert.equal(questions.open(6, 0), 'questions_full')
    assert.ok(questions.close(1))
    assert.equal(typeof questions.open(6, 0), 'number')
  })

  it('come no faster than allowed, however fast they are answered', () => {
    const questions = new Questions(LIMITS)
    const ask = (now: number) => {
      const id = questions.open(3, now)
      if (typeof id === 'number') questions.close(id)
      return typeof id
    }
    assert.deepEqual([0, 0, 0, 0, 0].map(ask), ['number', 'number', 'number', 'number', 'string'])
    assert.equal(questions.open(3, 0), 'questions_rate')
    assert.deepEqual([250, 251].map(ask), ['number', 'string'])
    assert.equal(typeof questions.open(4, 251), 'number')
  })

  it('are given up after their time: an answer is too late then, and the share is free', () => {
    const questions = new Questions(LIMITS)
    const [first, second] = [questions.open(3, 0), questions.open(3, 500)] as [number, number]
    assert.equal(questions.expire(999), 0)
    assert.equal(questions.expire(1000), 1)
    assert.deepEqual([questions.close(first), questions.close(second), questions.close(second)], [false, true, false])
    assert.equal(questions.close(99), false)
    assert.equal(typeof questions.open(3, 1000), 'number')
  })

  it('of a vif that is gone are forgotten, when the last one is answered', () => {
    const questions = new Questions(LIMITS)
    const id = questions.open(3, 0) as number
    questions.forget(3)
    questions.forget(4)
    assert.ok(questions.close(id))
    questions.forget(3)
    assert.equal(typeof questions.open(3, 0), 'number')
  })
})
