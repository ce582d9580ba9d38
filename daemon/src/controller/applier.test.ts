import assert from 'node:assert/strict'
import type { ApiRequest } from '../kubernetes/client.ts'
import { ApiError, type ApiErrorCode } from '../kubernetes/errors.ts'
import type { KubeObject } from '../kubernetes/objects.ts'
import { silent } from '../log.ts'
import type { Action } from './actions.ts'
import { Applier, uidsOf } from './applier.ts'
import { EventWriter } from './event-writer.ts'
import type { Resourceful, Watched } from './resources.ts'

type Answer = (request: ApiRequest) => unknown

function setUp(answer: Answer = () => ({ metadata: { name: 'x' } })) {
  const requests: string[] = []
  const bodies: unknown[] = []
  const wrote: string[] = []
  const outcomes: string[] = []
  const client = {
    request: async <T>(request: ApiRequest): Promise<T> => {
      requests.push(`${request.method} ${request.path}`)
      bodies.push(request.body)
      return (await answer(request)) as T
    },
  }
  const applier = new Applier({
    client,
    store: { wrote: (of: Watched, object: KubeObject) => wrote.push(`${of} ${object.metadata.name}`) },
    events: new EventWriter(client, 'me'),
    log: silent,
    onOutcome: (action, outcome) => outcomes.push(`${action} ${outcome}`),
  })
  return { applier, requests, bodies, wrote, outcomes }
}

const leading = () => ({ isLeader: true, session: new AbortController().signal })
const object = (name: string, namespace?: string): Resourceful => ({
  metadata: { name, ...(namespace !== undefined && { namespace }), uid: `uid of ${name}`, resourceVersion: '7' },
})
const patch = (name: string): Action => ({
  type: 'patch',
  of: 'networks',
  object: object(name, 'ns'),
  subresource: 'status',
  form: 'merge',
  patch: { status: { state: 'Success' } },
})
const failing = (code: ApiErrorCode) => () => {
  throw new ApiError(code, `${code} happened`)
}

describe('the applier', () => {
  it('sends what is wanted, and stores what the API server answers', async () => {
    const { applier, requests, bodies, wrote } = setUp()
    const exact: Action = {
      type: 'patch',
      of: 'nodes',
      object: object('n1'),
      form: 'merge',
      patch: { spec: { taints: [] } },
      isExact: true,
    }
    const create: Action = { type: 'create', of: 'networks', object: object('new', 'ns') }
    const remove: Action = { type: 'delete', of: 'blocks', object: object('b'), why: 'gone' }
    assert.deepEqual(await applier.apply([patch('red'), exact, create, remove], leading()), { done: 4 })
    assert.deepEqual(requests, [
      'PATCH /apis/vrouter.dev/v1alpha1/namespaces/ns/virtualnetworks/red/status',
      'PATCH /api/v1/nodes/n1',
      'POST /apis/vrouter.dev/v1alpha1/namespaces/ns/virtualnetworks',
      'DELETE /apis/vrouter.dev/v1alpha1/ipamblocks/b',
    ])
    assert.deepEqual(bodies[1], { spec: { taints: [] }, metadata: { resourceVersion: '7' } })
    assert.deepEqual(bodies[3], { preconditions: { uid: 'uid of b' } })
    assert.equal(wrote.length, 3)
  })

  it('deletes nothing whose node or pod exists after all', async () => {
    const pod = (uid: string, annotations = {}) => ({ metadata: { name: 'web', uid, annotations } })
    const unless = { kind: 'pod', namespace: 'ns', name: 'web', uid: 'u1' } as const
    const remove: Action = { type: 'delete', of: 'interfaces', object: object('web-x', 'ns'), why: 'gone', unless }
    const deleted = async (answer: Answer) => {
      const { applier, requests } = setUp((request) => (request.method === 'GET' ? answer(request) : {}))
      await applier.apply([remove], leading())
      assert.equal(requests[0], 'GET /api/v1/namespaces/ns/pods/web')
      return requests.length === 2
    }
    assert.equal(await deleted(() => pod('u1')), false)
    assert.equal(await deleted(() => pod('mirror', { 'kubernetes.io/config.hash': 'u1' })), false)
    assert.equal(await deleted(() => pod('u2')), true)
    assert.equal(await deleted(failing('API_NOT_FOUND')), true)
    assert.equal(await deleted(failing('API_FAILED')), false)
    assert.deepEqual(uidsOf(pod('a', { 'kubernetes.io/config.mirror': 'b' })), ['a', 'b'])
  })

  it('frees no address that a pod of the node has or asks for', async () => {
    const unless = { kind: 'address', node: 'n1', address: '10.1.0.99' } as const
    const remove: Action = { type: 'delete', of: 'blocks', object: object('b'), why: 'free', unless }
    const pod = (status: object, annotations = {}) => ({
      metadata: { name: 'web', namespace: 'ns', annotations },
      status,
    })
    const freed = async (...pods: object[]) => {
      const { applier, requests, outcomes } = setUp(({ method, query }) => {
        if (method !== 'GET') return {}
        assert.deepEqual(query, { fieldSelector: 'spec.nodeName=n1' })
        return { items: pods }
      })
      await applier.apply([remove], leading())
      // It isn't asked again in the next pass.
      await applier.apply([remove], leading())
      assert.equal(requests[0], 'GET /api/v1/pods')
      const isFreed = requests.includes('DELETE /apis/vrouter.dev/v1alpha1/ipamblocks/b')
      if (!isFreed) assert.deepEqual([requests.length, outcomes[0]], [1, 'delete put off'])
      return isFreed
    }
    const has = { phase: 'Running', podIPs: [{ ip: '10.1.0.99' }] }
    assert.equal(await freed(), true)
    assert.equal(await freed(pod({ phase: 'Running', podIPs: [{ ip: '10.1.0.9' }] })), true)
    assert.equal(await freed(pod({ phase: 'Running' }), pod(has)), false)
    for (const phase of ['Pending', 'Unknown', undefined]) assert.equal(await freed(pod({ ...has, phase })), false)
    for (const phase of ['Succeeded', 'Failed']) assert.equal(await freed(pod({ ...has, phase })), true)
    const pending = { phase: 'Pending' }
    assert.equal(await freed(pod(pending, { 'vrouter.dev/addresses': 'fd00::1, 10.1.0.99' })), false)
    assert.equal(await freed(pod(pending, { 'k8s.v1.cni.cncf.io/networks': '[{"ips":["10.1.0.99/24"]}]' })), false)
    assert.equal(await freed(pod(pending, { 'vrouter.dev/allowed-addresses': 'fd00::1, 10.1.0.99' })), false)
    assert.equal(await freed(pod(pending, { 'vrouter.dev/addresses': '10.1.0.9' })), true)
  })

  it('frees nothing when the API server doesn’t say which pods there are', async () => {
    const unless = { kind: 'address', node: 'n1', address: '10.1.0.99' } as const
    const remove: Action = { type: 'delete', of: 'blocks', object: object('b'), why: 'free', unless }
    const { applier, requests } = setUp(failing('API_FAILED'))
    await applier.apply([remove], leading())
    assert.deepEqual(requests, ['GET /api/v1/pods'])
  })

  it('writes nothing any more when it leads no more, not even in the middle', async () => {
    const leadership = { isLeader: true, session: new AbortController().signal }
    const { applier, requests } = setUp(() => {
      leadership.isLeader = false
      return { metadata: { name: 'x' } }
    })
    await applier.apply(
      [...Array(50).keys()].map((i) => patch(`n${i}`)),
      leadership,
    )
    assert.ok(requests.length <= 8, `${requests.length}`)
    await applier.apply([patch('more')], leadership)
    assert.ok(requests.length <= 8)
  })

  it('ends the pass when the API server is away, and says when to come again', async () => {
    const { applier, requests } = setUp(failing('API_UNREACHABLE'))
    const { done, retryMs } = await applier.apply(
      [...Array(50).keys()].map((i) => patch(`n${i}`)),
      leading(),
    )
    assert.equal(done, 0)
    assert.ok(requests.length <= 8)
    assert.ok(retryMs! > 0 && retryMs! <= 30_000)
  })

  it('lets what fails for good wait, longer and longer, and does the rest', async () => {
    const { applier, requests, outcomes } = setUp((request) => {
      if (request.path.includes('/bad/')) throw new ApiError('API_INVALID', 'no such field')
      return { metadata: { name: 'x' } }
    })
    const { done, retryMs } = await applier.apply([patch('bad'), patch('good')], leading())
    assert.equal(done, 1)
    assert.ok(retryMs! >= 900)
    await applier.apply([patch('bad'), patch('good')], leading())
    assert.equal(requests.filter((request) => request.includes('/bad/')).length, 1)
    assert.deepEqual(outcomes, ['patch failed', 'patch done', 'patch put off', 'patch done'])
  })

  it('comes back soon for an object that changed meanwhile; one that is gone is no failure', async () => {
    const conflict = setUp(failing('API_CONFLICT'))
    assert.ok((await conflict.applier.apply([patch('red')], leading())).retryMs! <= 200)
    const gone = setUp(failing('API_NOT_FOUND'))
    assert.deepEqual(await gone.applier.apply([patch('red')], leading()), { done: 1 })
  })

  it('does what concerns one object in order', async () => {
    const order: string[] = []
    const { applier } = setUp(async ({ body }) => {
      const isFirst = 'metadata' in (body as object)
      await new Promise((resolve) => setTimeout(resolve, isFirst ? 20 : 1))
      order.push(isFirst ? 'first' : 'second')
      return { metadata: { name: 'x' } }
    })
    const finalizers: Action = {
      type: 'patch',
      of: 'networks',
      object: object('red', 'ns'),
      form: 'merge',
      patch: { metadata: { finalizers: [] } },
    }
    await applier.apply([finalizers, patch('red')], leading())
    assert.deepEqual(order, ['first', 'second'])
  })
})

describe('events', () => {
  const event = (of: Watched, one: Resourceful, message = 'so it is') =>
    ({ type: 'event', event: { of, object: one, type: 'Warning', reason: 'Bad', message } }) as const

  it('are told once, where people look for them', async () => {
    const { applier, requests, bodies } = setUp()
    const actions = [
      event('networks', object('red', 'shop')),
      event('namespaces', object('shop')),
      event('nodes', object('n1')),
    ]
    await applier.apply(actions, leading())
    await applier.apply(actions, leading())
    assert.deepEqual(requests, [
      'POST /api/v1/namespaces/shop/events',
      'POST /api/v1/namespaces/shop/events',
      'POST /api/v1/namespaces/default/events',
    ])
    const about = bodies.map((body) => (body as { involvedObject: object }).involvedObject)
    assert.deepEqual(about, [
      { apiVersion: 'vrouter.dev/v1alpha1', kind: 'VirtualNetwork', name: 'red', uid: 'uid of red', namespace: 'shop' },
      { apiVersion: 'v1', kind: 'Namespace', name: 'shop', uid: 'uid of shop', namespace: 'shop' },
      { apiVersion: 'v1', kind: 'Node', name: 'n1', uid: 'uid of n1' },
    ])
  })

  it('that another leader told are told of again in the same object', async () => {
    const { applier, requests } = setUp(({ method }) => {
      if (method === 'POST') throw new ApiError('API_CONFLICT', 'exists')
      return {}
    })
    await applier.apply([event('networks', object('red', 'shop'))], leading())
    assert.match(requests[1]!, /^PATCH \/api\/v1\/namespaces\/shop\/events\/red\.[0-9a-f]{16}$/)
  })

  it('of a namespace that is being deleted are dropped', async () => {
    const words =
      'POST: 403 events "x" is forbidden: unable to create new content in namespace shop because it is being terminated'
    for (const error of [
      new ApiError('API_FORBIDDEN', words, { causes: ['NamespaceTerminating'] }),
      new ApiError('API_NOT_FOUND', 'namespaces "shop" not found'),
    ]) {
      const { applier } = setUp(() => {
        throw error
      })
      assert.deepEqual(await applier.apply([event('networks', object('red', 'shop'))], leading()), { done: 1 })
    }
    const { applier } = setUp(failing('API_FORBIDDEN'))
    assert.equal((await applier.apply([event('networks', object('red', 'shop'))], leading())).done, 0)
  })

  it('don’t flood the API server', async () => {
    const { applier, requests } = setUp()
    await applier.apply(
      [...Array(5000).keys()].map((i) => event('blocks', object(`b${i}`))),
      leading(),
    )
    assert.ok(requests.length >= 100 && requests.length <= 120, `${requests.length}`)
  })
})
