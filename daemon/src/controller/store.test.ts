import assert from 'node:assert/strict'
import { ApiError } from '../kubernetes/errors.ts'
import type { KubeObject } from '../kubernetes/objects.ts'
import { OPTIONAL, WATCHED, type Watched } from './resources.ts'
import { Store } from './store.ts'

const object = (name: string, version: number, more: object = {}, uid = 'u'): KubeObject => ({
  metadata: { name, namespace: 'ns', uid, resourceVersion: String(version), ...more },
})

describe('the store', () => {
  const store = () => new Store(() => {})
  const version = (of: Store, key = 'ns/a') => of.world.networks.get(key)?.metadata.resourceVersion

  it('keeps the newer of what was written and what comes in', () => {
    const one = store()
    const handler = one.handlerOf('networks')
    handler.changed(object('a', 1))
    one.wrote('networks', object('a', 5))
    handler.changed(object('a', 3))
    assert.equal(version(one), '5')
    handler.changed(object('a', 10))
    one.wrote('networks', object('a', 9))
    assert.equal(version(one), '10')
    // Made anew under the same name: versions of two lives aren't compared.
    handler.changed(object('a', 4, {}, 'other'))
    assert.equal(version(one), '4')
  })

  it('forgets what a list doesn’t have, and nothing when a list breaks off', () => {
    const one = store()
    const handler = one.handlerOf('networks')
    handler.changed(object('a', 1))
    handler.changed(object('b', 2))
    handler.beginList()
    handler.listed(object('a', 3))
    assert.equal(one.world.networks.size, 2)
    handler.beginList()
    handler.listed(object('b', 2))
    handler.endList('9')
    assert.deepEqual([...one.world.networks.keys()], ['ns/b'])
    handler.removed(object('b', 2))
    assert.equal(one.world.networks.size, 0)
  })

  it('is in sync when every kind has been listed', () => {
    const one = store()
    const kinds = (Object.keys(WATCHED) as Watched[]).filter((of_) => of_ !== 'networkPolicies')
    for (const of_ of kinds) {
      assert.equal(one.isSynced, false)
      one.handlerOf(of_).endList('1')
    }
    const { onProblem, endList } = one.handlerOf('networkPolicies')
    onProblem!(new ApiError('API_UNREACHABLE', 'away'))
    assert.equal(one.isSynced, false)
    endList('1')
    assert.equal(one.isSynced, true)
  })

  it('waits for no kind that nothing rests on where it isn’t installed, or may not be read', () => {
    const one = store()
    for (const of_ of Object.keys(WATCHED) as Watched[]) if (!OPTIONAL.has(of_)) one.handlerOf(of_).endList('1')
    assert.equal(one.isSynced, false, 'it may be there')
    for (const of_ of OPTIONAL) one.handlerOf(of_).onProblem!(new ApiError('API_NOT_FOUND', 'no such kind'))
    assert.equal(one.problems.size, 0)
    assert.equal(one.isSynced, true)
    one.handlerOf('networkPolicies').onProblem!(new ApiError('API_FORBIDDEN', 'you may not'))
    assert.equal(one.problems.size, 1)
    const another = store()
    another.handlerOf('networks').onProblem!(new ApiError('API_NOT_FOUND', 'no such kind'))
    assert.equal(another.problems.size, 1)
  })

  it('keeps of nodes and pods only what is looked at', () => {
    const one = store()
    const conditions = [{ type: 'Ready', status: 'True' }]
    const node = {
      ...object('n', 1, { managedFields: [1] }),
      spec: { taints: [], podCIDR: 'x' },
      status: { conditions, addresses: [{ type: 'InternalIP', address: '192.0.2.1' }], images: ['large'] },
    }
    one.wrote('nodes', node)
    const { metadata, spec, status } = one.world.nodes.get('ns/n')!
    assert.deepEqual(
      { spec, status },
      { spec: { taints: [] }, status: { conditions, addresses: [{ type: 'InternalIP', address: '192.0.2.1' }] } },
    )
    assert.ok(!('managedFields' in metadata))
  })
})
