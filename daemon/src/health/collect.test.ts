import assert from 'node:assert/strict'
import type { Rejection, SourceState } from '../model/objects.ts'
import { healthState } from './collect.ts'

describe('what health shows of the source', () => {
  const inSync = (...rejected: Rejection[]) => {
    const limits = { vifs: 1, vrfs: 1, nexthops: 1, labels: 1, routes: 1, flows4: 1, flows6: 1 } as never
    const source = { rejected } as unknown as SourceState
    const rest = { ready: true, state: '', ports: 0, drops: [], foreignTunnels: 0n, flows: 0, problems: 0 }
    const state = healthState({ ...rest, limits, source })
    assert.equal(state.rejected, rejected.length)
    return state.source.inSync
  }

  it('is in sync while every kind can be followed, whatever is wrong with objects', () => {
    assert.equal(inSync(), true)
    assert.equal(
      inSync({ object: 'VirtualNetwork default/red', message: 'is odd' }, { object: 'pods', message: 'is a name' }),
      true,
    )
    assert.equal(inSync({ object: 'virtualnetworks.vrouter.dev', message: 'may not be read', isStale: true }), false)
    assert.equal(inSync({ object: 'API server', message: 'can not be reached', isStale: true }), false)
  })
})
