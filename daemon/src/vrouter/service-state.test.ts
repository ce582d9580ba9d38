import assert from 'node:assert/strict'
import { ServiceState } from './service-state.ts'

describe('the state of service', () => {
  let now = 0
  let state: ServiceState
  beforeEach(() => {
    now = 1000
    state = new ServiceState(() => now)
  })

  it('says what a start is at, and is ready from then on', () => {
    assert.deepEqual(state.readiness(), { ready: false, message: 'starting', podsAffected: false })
    state.starts('reading the source')
    assert.deepEqual(state.readiness(), { ready: false, message: 'reading the source', podsAffected: false })
    state.inService()
    assert.deepEqual(state.readiness(), { ready: true })
    assert.equal(state.text, 'in service')
  })

  it('is out of service when rounds keep failing, and in service again with the first one that is done', () => {
    state.inService()
    assert.equal(state.roundFailed('EINVAL'), true)
    assert.equal(state.roundFailed('EINVAL'), false, 'no news')
    now += 4999
    assert.deepEqual(state.readiness(), { ready: true })
    assert.equal(state.roundFailed('EBUSY'), true)
    now += 1
    const message = 'the datapath can not be brought up to date: EBUSY'
    assert.deepEqual(state.readiness(), { ready: false, message, podsAffected: true })
    assert.equal(state.text, message)
    assert.equal(state.roundDone(), true)
    assert.equal(state.roundDone(), false)
    assert.deepEqual(state.readiness(), { ready: true })
    state.roundFailed('EBUSY')
    assert.deepEqual(state.readiness(), { ready: true }, 'patience begins anew')
  })

  it('tells of damage at once where nobody moves pods because of it, and to runtimes when it lasts', () => {
    state.inService()
    state.damaged('others write')
    assert.deepEqual(state.readiness(), { ready: true })
    const told = { ready: false, message: 'others write', podsAffected: true }
    assert.deepEqual([state.health(), state.text], [told, 'others write'])
    now += 4999
    state.damaged('others write')
    now += 1
    assert.deepEqual(state.readiness(), told)
    state.damaged(undefined)
    assert.deepEqual([state.readiness(), state.health()], [{ ready: true }, { ready: true }])
  })

  it('tells of a start that fails what it is at, not that pods suffer', () => {
    state.roundFailed('EINVAL')
    now += 10_000
    assert.deepEqual(state.readiness(), { ready: false, message: 'starting', podsAffected: false })
  })
})
