import assert from 'node:assert/strict'
import { FakeClock } from '../../../test/doubles/fake-clock.ts'
import { silent } from '../log.ts'
import { Rounds } from './rounds.ts'
import { ServiceState } from './service-state.ts'

describe('Rounds', () => {
  let clock: FakeClock
  let begun: number[]
  let takesMs: number
  let failure: Error | undefined
  let service: ServiceState
  let rounds: Rounds

  beforeEach(() => {
    clock = new FakeClock()
    begun = []
    takesMs = 0
    failure = undefined
    service = new ServiceState(() => clock.now())
    rounds = new Rounds({
      work: () => {
        begun.push(clock.now())
        const { promise, resolve, reject } = Promise.withResolvers<void>()
        clock.after(takesMs, () => (failure === undefined ? resolve() : reject(failure)))
        return promise
      },
      service,
      log: silent,
      onDone: () => undefined,
      clock,
    })
    rounds.open()
  })

  it('do nothing before they are open', async () => {
    const closed = new Rounds({
      work: () => Promise.reject(new Error('too early')),
      service,
      log: silent,
      onDone: () => assert.fail('no round was due'),
      clock,
    })
    await Promise.all([closed.nudge(), clock.advance(10)])
    assert.equal(service.failure, undefined)
  })

  it('gather news of others for four times what a round takes, and no longer than 200 ms', async () => {
    takesMs = 30
    void rounds.nudge(false)
    await clock.advance(30)
    void rounds.nudge(false)
    await clock.advance(300)
    assert.deepEqual(begun, [0, 150])
    takesMs = 100
    void rounds.nudge(false)
    await clock.advance(100)
    void rounds.nudge(false)
    await clock.advance(1000)
    assert.deepEqual(begun.slice(2), [330, 630])
  })

  it('let nobody wait for longer than 10 ms whose pod needs one', async () => {
    takesMs = 30
    void rounds.nudge(false)
    await clock.advance(30)
    void rounds.nudge(false)
    await clock.advance(5)
    void rounds.nudge()
    await clock.advance(300)
    assert.deepEqual(begun, [0, 40])
  })

  it('are tried again every second after a failure, which is told', async () => {
    failure = new Error('no room')
    void rounds.nudge()
    await clock.advance(2500)
    assert.deepEqual(begun, [0, 1000, 2000])
    assert.equal(service.failure, 'no room')
    failure = undefined
    await clock.advance(1000)
    assert.equal(service.failure, undefined)
    await clock.advance(5000)
    assert.equal(begun.length, 4)
  })
})
