import assert from 'node:assert/strict'
import { setTimeout as sleep } from 'node:timers/promises'
import { until as untilTrue } from '../../../test/patience.ts'
import type { ApiRequest } from '../kubernetes/client.ts'
import { ApiError } from '../kubernetes/errors.ts'
import { silent } from '../log.ts'
import { Election } from './election.ts'

interface Spec {
  holderIdentity: string
  leaseDurationSeconds: number
  leaseTransitions: number
}

/** A lease as the API server keeps it. */
class LeaseServer {
  version = 0
  lease: { metadata: { resourceVersion: string }; spec: Spec } | undefined
  isAway = false
  writes = 0

  request = async <T>({ method, body }: ApiRequest): Promise<T> => {
    await sleep(1)
    if (this.isAway) throw new ApiError('API_UNREACHABLE', 'no connection')
    if (method === 'GET') {
      if (this.lease === undefined) throw new ApiError('API_NOT_FOUND', 'none')
      return structuredClone(this.lease) as T
    }
    const given = body as NonNullable<LeaseServer['lease']>
    const isTaken =
      method === 'POST'
        ? this.lease !== undefined
        : given.metadata.resourceVersion !== this.lease?.metadata.resourceVersion
    if (isTaken) throw new ApiError('API_CONFLICT', 'changed')
    this.writes++
    this.lease = structuredClone({ ...given, metadata: { ...given.metadata, resourceVersion: String(++this.version) } })
    return structuredClone(this.lease) as T
  }
}

/** Long enough that a thread that gets no processor for a second isn't taken for dead. */
const LONG_MS = 5000

function candidate(server: LeaseServer, identity: string, changes: string[] = [], durationMs = 240): Election {
  return new Election({
    client: server,
    log: silent,
    namespace: 'ns',
    name: 'lease',
    identity,
    durationMs,
    onChange: (isLeader) => changes.push(`${identity} ${isLeader ? 'leads' : 'stops'}`),
  })
}

const until = (check: () => boolean) => untilTrue('what the test waits for', check)

describe('an election', () => {
  it('has one winner among many, and goes on to another when the winner stops', async () => {
    const server = new LeaseServer()
    const all = ['a', 'b', 'c', 'd'].map((name) => candidate(server, name, [], 3000))
    for (const one of all) one.start()
    await until(() => all.some((one) => one.isLeader))
    for (let i = 0; i < 50; i++) {
      assert.ok(all.filter((one) => one.isLeader).length <= 1)
      await sleep(5)
    }
    const first = all.find((one) => one.isLeader)!
    await first[Symbol.asyncDispose]()
    assert.equal(first.isLeader, false)
    assert.equal(server.lease!.spec.holderIdentity, '')
    const rest = all.filter((one) => one !== first)
    await until(() => rest.some((one) => one.isLeader))
    for (const one of rest) await one[Symbol.asyncDispose]()
  })

  it('is lost by who can’t renew, before anybody else may win it; what it began is aborted', async () => {
    const server = new LeaseServer()
    const changes: string[] = []
    const a = candidate(server, 'a', changes, LONG_MS)
    a.start()
    await until(() => a.isLeader)
    const { session } = a
    server.isAway = true
    const awayAt = performance.now()
    await until(() => !a.isLeader)
    assert.ok(performance.now() - awayAt < LONG_MS, 'stopped before the lease was over')
    await until(() => session.aborted)
    assert.deepEqual(changes, ['a leads', 'a stops'])
    server.isAway = false
    await until(() => a.isLeader)
    assert.notEqual(a.session, session)
    await a[Symbol.asyncDispose]()
  })

  it('is won from a leader that is silent for the duration that the lease says, whatever its clock said', async () => {
    const server = new LeaseServer()
    const spec = {
      holderIdentity: 'dead',
      leaseDurationSeconds: 1,
      leaseTransitions: 4,
      renewTime: '2099-01-01T00:00:00.000000Z',
    }
    server.lease = { metadata: { resourceVersion: 'x' }, spec }
    const b = candidate(server, 'b')
    const startedAt = performance.now()
    b.start()
    await until(() => b.isLeader)
    assert.ok(performance.now() - startedAt > 950)
    assert.equal(server.lease.spec.leaseTransitions, 5)
    await b[Symbol.asyncDispose]()
  })

  it('doesn’t believe in its leadership after the event loop stood still', async () => {
    const server = new LeaseServer()
    const a = candidate(server, 'a')
    a.start()
    await until(() => a.isLeader)
    const end = performance.now() + 300
    while (performance.now() < end);
    assert.equal(a.isLeader, false)
    await a[Symbol.asyncDispose]()
  })

  it('without rights stands by', async () => {
    const server = new LeaseServer()
    server.request = async () => {
      throw new ApiError('API_FORBIDDEN', 'no')
    }
    const a = candidate(server, 'a')
    a.start()
    await sleep(100)
    assert.equal(a.isLeader, false)
    assert.ok(a.session.aborted)
    await a[Symbol.asyncDispose]()
  })
})
