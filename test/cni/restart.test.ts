/** A daemon that restarts while the runtime asks: pods start later, none fails, and the node stays in service. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { SERVICE_MARK, ServiceMark } from '@kube-vrouter/daemon/port-api/service-mark'
import { clean, failure, type Node, result } from './node.ts'
import { withNodes } from './suite.ts'

describe('the CNI binary while the daemon restarts', function () {
  this.timeout(60_000)
  let node: Node
  withNodes(
    (made) => {
      node = made
    },
    { daemon: false },
  )
  beforeEach(() => {
    mkdirSync(dirname(node.socket), { recursive: true })
  })

  const patient = (seconds: number) => node.config('1.1.0', { daemonWaitSeconds: seconds })

  it('ADD waits for a daemon that is away', async () => {
    const netns = node.pod()
    const adding = node.run({ command: 'ADD', containerId: 'c1', netns, config: patient(20) })
    await sleep(700)
    await node.startDaemon()
    assert.equal(result(await adding).interfaces.length, 2)
    assert.equal(node.leftovers().records.length, 1)
  })

  for (const op of ['allocate', 'register'] as const) {
    it(`ADD asks the next daemon again when the first one goes at ${op}, before or after it did the work`, async () => {
      for (const isDone of [false, true]) {
        const asked = Promise.withResolvers<void>()
        await node.startDaemon({}, (ports) => {
          const stuck = async (request: never): Promise<never> => {
            if (isDone) await ports[op](request)
            asked.resolve()
            return await new Promise<never>(() => undefined)
          }
          return new Proxy(ports, {
            get: (target, key) => {
              if (key === op) return stuck
              const value = Reflect.get(target, key) as unknown
              return typeof value === 'function' ? value.bind(target) : value
            },
          })
        })
        const containerId = `${op}-${isDone}`
        const adding = node.run({ command: 'ADD', containerId, netns: node.pod(), config: patient(20) })
        await asked.promise
        await node.stopDaemon()
        await sleep(200)
        await node.startDaemon()
        const { ips } = result(await adding)
        assert.equal(ips.length, new Set(ips.map(({ address }: { address: string }) => address)).size)
        assert.equal(result(await node.run({ command: 'DEL', containerId, config: patient(0) })), undefined)
        assert.deepEqual(node.leftovers(), clean)
        await node.stopDaemon()
      }
    })
  }

  it('ADD gives up after the time that it is given, with code 11 and nothing left behind', async () => {
    const outcome = await node.run({ command: 'ADD', containerId: 'c1', netns: node.pod(), config: patient(0.4) })
    assert.equal(failure(outcome).code, 11)
    assert.ok(outcome.ms >= 400, `gave up after ${outcome.ms} ms`)
    assert.deepEqual({ ...node.leftovers(), deletes: [] }, clean)
  })

  it('STATUS is good for a minute after the daemon was in service, and no longer; never where ADD would not wait', async () => {
    const status = async (seconds = 30) => await node.run({ command: 'STATUS', config: patient(seconds) })
    assert.equal(failure(await status()).code, 50, 'no daemon was there yet')
    using mark = new ServiceMark(dirname(node.socket))
    void mark
    assert.equal(result(await status()), undefined)
    assert.equal(failure(await status(0)).code, 50)
    const file = join(dirname(node.socket), SERVICE_MARK)
    const [boot, ms] = readFileSync(file, 'utf8').split(' ')
    const said = async (text: string, touched = new Date()) => {
      writeFileSync(file, text)
      utimesSync(file, touched, touched)
      return status()
    }
    assert.equal(failure(await said(`${boot} ${Number(ms) - 61_000}\n`)).code, 50)
    // Whatever the wall clock was set to.
    const hour = 3_600_000
    for (const at of [Date.now() - hour, Date.now(), Date.now() + hour]) {
      assert.equal(failure(await said(`${boot} ${Number(ms) - 61_000}\n`, new Date(at))).code, 50)
      assert.equal(result(await said(`${boot} ${ms}`, new Date(at))), undefined)
    }
    const future = Number(process.hrtime.bigint() / 1_000_000n) + hour
    for (const text of [`${boot} ${future}\n`, `11111111-2222-4333-8444-555555555555 ${ms}\n`, '', `${boot}`, 'x y'])
      assert.equal(failure(await said(text, new Date(Date.now() + hour))).code, 50, text)
  })

  it('a wait that makes no sense is refused with the remedy', async () => {
    const error = failure(
      await node.run({ command: 'ADD', containerId: 'c1', netns: node.pod(), config: patient(3600) }),
    )
    assert.equal(error.code, 7)
    assert.match(error.msg + (error.details ?? ''), /daemonWaitSeconds.*0 to 60/s)
  })
})
