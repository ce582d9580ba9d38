/** Proves: whose flows may go on is told beside who gets new ones. */
import assert from 'node:assert/strict'
import type { Endpoint } from '../objects.ts'
import { BackSets } from './back-sets.ts'
import { aliveOf, type PortEndpoint } from './endpoints.ts'
import { selectionOf } from './selection.ts'

function at(address: string, changes: Partial<Endpoint> = {}): PortEndpoint {
  const endpoint: Endpoint = { address, isReady: true, isServing: true, isTerminating: false, ...changes }
  return { address, port: 53, endpoint }
}

describe('endpoints that flows may go on with', () => {
  const draining = at('10.1.0.2', { isReady: false, isTerminating: true })
  const dead = at('10.1.0.3', { isReady: false, isServing: false, isTerminating: true })
  const all = [at('10.1.0.1'), draining, dead]
  const here = { node: 'n1', zone: undefined }
  const back = ({ address, port }: PortEndpoint) => ({ address, port })
  const addresses = (list: readonly { readonly address: string }[]) => list.map(({ address }) => address)

  it('are those that serve for UDP, and all that there are for TCP', () => {
    assert.deepEqual(addresses(aliveOf(all, 'UDP')), ['10.1.0.1', '10.1.0.2'])
    assert.deepEqual(addresses(aliveOf(all, 'TCP')), ['10.1.0.1', '10.1.0.2', '10.1.0.3'])
  })

  it('stay the same list as long as they are the same, though other ones get what is new', () => {
    const sets = new BackSets()
    const first = sets.update(selectionOf(all, here), aliveOf(all, 'UDP'), back)
    assert.deepEqual(addresses(first.cluster.backs), ['10.1.0.1'])
    assert.deepEqual(addresses(first.alive), ['10.1.0.1', '10.1.0.2'])
    const hinted = [at('10.1.0.1', { hintedZones: ['a'] }), draining, dead]
    assert.equal(sets.update(selectionOf(hinted, here), aliveOf(hinted, 'UDP'), back).alive, first.alive)
    const ready = sets.update(selectionOf(hinted.slice(0, 1), here), aliveOf(hinted.slice(0, 1), 'UDP'), back)
    assert.equal(ready.alive, ready.cluster.backs)
  })
})
