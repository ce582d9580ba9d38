import assert from 'node:assert/strict'
import { MemorySource } from '../../../test/doubles/memory-source.ts'
import { facts, ports, tables } from '../../../test/doubles/small-cluster.ts'
import { until as untilTrue } from '../../../test/patience.ts'
import type { Published } from '../model/objects.ts'
import { Publisher } from './publisher.ts'

const present = { facts, ports, tables }

function fixture(onPublish: MemorySource['onPublish'] = () => undefined, { patienceMs = 30, newsMs = 1 } = {}) {
  const source = new MemorySource([])
  const told: Published[] = []
  source.onPublish = async (published) => {
    await onPublish(published)
    told.push(published)
  }
  const errors: unknown[] = []
  const publisher = new Publisher({
    source,
    node: 'node-1',
    onError: (error) => errors.push(error),
    retryMs: 5,
    longestRetryMs: 20,
    patienceMs,
    newsMs,
  })
  return { source, told, errors, publisher }
}

const until = (isTrue: () => boolean) => untilTrue('what the test waits for', isTrue)

describe('publisher', () => {
  it('tells the router object first, then the interfaces, and nothing twice', async () => {
    const { source, told, publisher } = fixture()
    await publisher.update(present)
    assert.equal(source.routers.get('node-1')?.address, '10.0.0.11')
    await until(() => source.interfaces.size === ports.length)
    assert.deepEqual(
      told.map(({ kind }) => kind),
      ['VirtualRouter', ...ports.map(() => 'VirtualMachineInterface')],
    )
    await publisher.update(present)
    await publisher[Symbol.asyncDispose]()
    assert.equal(told.length, 1 + ports.length)
  })

  it('keeps nobody waiting longer than its patience while the source is silent', async () => {
    const answer = Promise.withResolvers<void>()
    const { source, publisher } = fixture(() => answer.promise)
    await publisher.update(present)
    assert.equal(source.routers.size, 0, 'update answered though the source has not')
    answer.resolve()
    await until(() => source.routers.size === 1 && source.interfaces.size === ports.length)
    await publisher[Symbol.asyncDispose]()
  })

  it('gives other nodes time to hear of a network that is new here, once', async () => {
    const { publisher } = fixture(undefined, { patienceMs: 10_000, newsMs: 1000 })
    const took = async (now: typeof present) => {
      const begun = performance.now()
      await publisher.update(now)
      return performance.now() - begun
    }
    assert.ok((await took(present)) >= 990)
    assert.ok((await took(present)) < 900, 'nothing is new')
    const vrfs = tables.vrfs.filter(({ vn, label }) => vn === undefined || label === undefined)
    assert.ok(vrfs.length < tables.vrfs.length)
    assert.ok(
      (await took({ ...present, tables: { ...tables, vrfs } })) < 900,
      'a network that goes is waited for by nobody',
    )
    assert.ok((await took(present)) >= 990)
    await publisher[Symbol.asyncDispose]()
  })

  it('tries again what the source refused, and tells what it refused each time', async () => {
    let refusals = 0
    const { source, errors, publisher } = fixture(() => {
      if (refusals++ < 3) throw new Error('the API server is away')
    })
    await publisher.update(present)
    await until(() => source.routers.size === 1 && source.interfaces.size === ports.length)
    assert.ok(errors.length >= 2)
    await publisher[Symbol.asyncDispose]()
  })

  it('goes on with the others when one object is refused', async () => {
    const [bad] = ports
    const { source, publisher } = fixture((published) => {
      if (published.kind === 'VirtualMachineInterface' && published.object.uuid === bad!.uuid)
        throw new Error('refused')
    })
    await publisher.update(present)
    await until(() => source.interfaces.size === ports.length - 1)
    await publisher[Symbol.asyncDispose]()
  })

  it('leaves a block to the node that took it while ours was missing', async () => {
    const { errors, source, publisher } = fixture((published) => {
      if (published.kind === 'IPAMBlock') throw Object.assign(new Error('taken'), { code: 'BLOCK_TAKEN' })
    })
    for (const port of ports) {
      source.virtualNetworks.set(port.vn, {
        namespace: 'default',
        name: 'red',
        fqName: port.vn,
        uuid: port.uuid,
        subnets: [{ cidr: '10.1.0.0/16', gateway: '10.1.0.1', service: '10.1.0.2' }],
        blockSize4: 26,
        blockSize6: 122,
      })
    }
    await publisher.update(present)
    await publisher[Symbol.asyncDispose]()
    assert.deepEqual(errors, [])
  })
})
