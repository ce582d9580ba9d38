import { strict as assert } from 'node:assert'
import { createServer } from 'node:net'
import { silent } from '../log.ts'
import { DROP_DISCARD, DROP_INVALID_NH } from '../maps/constants.ts'
import type { HealthState } from './health.ts'
import { type Health, startHealth } from './server.ts'

const quiet: HealthState = {
  ready: true,
  state: 'in service',
  ports: 3,
  vrfs: 4,
  routes: 50,
  tables: [
    { table: 'route4', used: 50, max: 131072 },
    { table: 'flow4', used: 7, max: 1000 },
  ],
  drops: [],
  foreignTunnels: 5n,
  source: { inSync: true },
  problems: 0,
  rejected: 0,
}

/** A port that nobody has now. */
async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => server.on('listening', resolve))
  const { port } = server.address() as { port: number }
  await new Promise((resolve) => server.close(resolve))
  return port
}

describe('health', () => {
  let state: HealthState
  let asked = 0
  let health: Health
  let port: number

  beforeEach(async () => {
    state = quiet
    port = await freePort()
    health = await startHealth({
      config: { health: { addresses: ['127.0.0.1'], port } },
      log: silent,
      version: '1.2.3',
      state: () => {
        asked++
        return state
      },
    })
  })

  afterEach(() => health[Symbol.asyncDispose]())

  const get = (path: string, init?: RequestInit) => fetch(`http://127.0.0.1:${port}${path}`, init)
  const metrics = async () => (await (await get('/metrics')).text()).split('\n')

  it('is alive whatever the state', async () => {
    state = { ...quiet, ready: false, problems: 5, source: { inSync: false } }
    assert.equal((await get('/healthz')).status, 200)
  })

  it('counts the load balancer addresses of this node, and who it watches for others', async () => {
    assert.ok((await metrics()).includes('vrouter_load_balancer_addresses 0'))
    state = { ...quiet, announcements: { announced: new Set(['192.0.2.1', '2001:db8::1']), watched: 3, takeovers: 4 } }
    for (let i = 0; i < 2; i++) {
      const lines = await metrics()
      assert.ok(lines.includes('vrouter_load_balancer_addresses 2'))
      assert.ok(lines.includes('vrouter_load_balancer_watched_nodes 3'))
      assert.ok(lines.includes('vrouter_load_balancer_takeovers_total 4'))
    }
  })

  it('is ready when pods can be started, and says what holds it up', async () => {
    assert.equal((await get('/readyz')).status, 200)
    state = { ...quiet, ready: false, state: 'reading the source' }
    const response = await get('/readyz')
    assert.equal(response.status, 503)
    assert.equal(await response.text(), 'reading the source\n')
  })

  it('has kubelet’s probes wait for the first readiness, so that a start is no Warning; nobody else waits', async () => {
    const probe = { headers: { 'user-agent': 'kube-probe/1.34' } }
    state = { ...quiet, ready: false, state: 'reading the source' }
    const answered = get('/readyz', probe)
    assert.equal((await get('/readyz')).status, 503)
    state = quiet
    assert.equal((await answered).status, 200)
    // Later it is told at once what is wrong: no look at the state but one.
    state = { ...quiet, ready: false }
    asked = 0
    assert.equal((await get('/readyz', probe)).status, 503)
    assert.equal(asked, 1)
  })

  it('tells kubelet’s probe all the same when the start takes longer', async () => {
    state = { ...quiet, ready: false, state: 'reading the source' }
    const response = await get('/readyz', { headers: { 'user-agent': 'kube-probe/1.34' } })
    assert.equal(await response.text(), 'reading the source\n')
  }).timeout(30_000)

  it('stays ready without the source', async () => {
    state = { ...quiet, source: { inSync: false } }
    assert.equal((await get('/readyz')).status, 200)
  })

  it('shows the state as metrics', async () => {
    state = { ...quiet, problems: 2, rejected: 1 }
    const lines = await metrics()
    for (const line of [
      'vrouter_ready 1',
      'vrouter_ports 3',
      'vrouter_vrfs 4',
      'vrouter_routes 50',
      'vrouter_problems 2',
      'vrouter_rejected_objects 1',
      'vrouter_source_in_sync 1',
      'vrouter_table_used{table="flow4"} 7',
      'vrouter_table_max{table="route4"} 131072',
      'vrouter_build_info{version="1.2.3"} 1',
    ]) {
      assert.ok(lines.includes(line), line)
    }
  })

  it('follows the state, which is asked for once a reading', async () => {
    await metrics()
    asked = 0
    state = { ...quiet, ports: 8, source: { inSync: false } }
    const lines = await metrics()
    assert.ok(lines.includes('vrouter_ports 8'))
    assert.ok(lines.includes('vrouter_source_in_sync 0'))
    assert.equal(asked, 1)
  })

  it('shows drops by the names of their reasons, as the kernel counts them', async () => {
    const drops = Array<bigint>(64).fill(0n)
    drops[DROP_DISCARD] = 12n
    drops[DROP_INVALID_NH] = 1n
    state = { ...quiet, drops }
    await metrics()
    const lines = await metrics()
    assert.deepEqual(
      lines.filter((line) => line.startsWith('vrouter_dropped_packets_total')),
      ['vrouter_dropped_packets_total{reason="discard"} 12', 'vrouter_dropped_packets_total{reason="invalid_nh"} 1'],
    )
    assert.ok(lines.includes('vrouter_foreign_tunnel_packets_total 5'))
  })

  it('shows what came over pkt0, and what became of it', async () => {
    assert.ok(!(await metrics()).some((line) => line.startsWith('vrouter_agent_packets_total')), 'nothing reads it yet')
    const packets = {
      ...{ received: 40, invalid: 2, replies: 25, sendFailures: 1, resolves: 4, faults: 0, announcements: 6, asks: 0 },
      traps: {},
      silent: { malformed: 3, unknown_vrf: 0 },
    }
    state = { ...quiet, packets }
    const lines = (await metrics()).filter((line) => line.startsWith('vrouter_agent_'))
    assert.deepEqual(lines, [
      'vrouter_agent_packets_total{kind="received"} 40',
      'vrouter_agent_packets_total{kind="answered"} 25',
      'vrouter_agent_packets_total{kind="announcement"} 6',
      'vrouter_agent_packets_total{kind="resolve"} 4',
      'vrouter_agent_dropped_packets_total{reason="invalid"} 2',
      'vrouter_agent_dropped_packets_total{reason="send_failure"} 1',
      'vrouter_agent_dropped_packets_total{reason="malformed"} 3',
    ])
  })

  it('counts rounds and failed publications', async () => {
    health.metrics.observeRound(0.004)
    health.metrics.observeRound(0.2)
    health.metrics.countPublishFailure('IPAMBlock')
    const lines = await metrics()
    assert.ok(lines.includes('vrouter_round_duration_seconds_bucket{le="0.005"} 1'))
    assert.ok(lines.includes('vrouter_round_duration_seconds_count 2'))
    assert.ok(lines.includes('vrouter_publish_failures_total{kind="IPAMBlock"} 1'))
  })

  it('tells how late the event loop was', async () => {
    await metrics()
    await new Promise((resolve) => setTimeout(resolve, 50))
    const end = performance.now() + 150
    while (performance.now() < end);
    await new Promise((resolve) => setTimeout(resolve, 50))
    const line = (await metrics()).find((text) => text.startsWith('vrouter_event_loop_lag_seconds{quantile="1"}'))
    assert.ok(Number(line?.split(' ')[1]) > 0.1, line ?? 'no such line')
  })

  it('answers 500 and goes on when the state can not be told', async () => {
    state = {
      ...quiet,
      get ready(): boolean {
        throw new Error('boom')
      },
    }
    assert.equal((await get('/readyz')).status, 500)
    assert.equal((await get('/healthz')).status, 200)
    state = quiet
    assert.equal((await get('/readyz')).status, 200)
  })

  it('answers nothing else', async () => {
    assert.equal((await get('/')).status, 404)
    const response = await get('/healthz', { method: 'POST' })
    assert.equal(response.status, 405)
    assert.equal(response.headers.get('allow'), 'GET, HEAD')
  })

  it('is not served on port 0', async () => {
    await using off = await startHealth({
      config: { health: { addresses: ['127.0.0.1'], port: 0 } },
      log: silent,
      version: '1',
      state: () => state,
    })
    assert.deepEqual(off.addresses, [])
    off.metrics.observeRound(1)
  })

  it('fails when the port is taken', async () => {
    await assert.rejects(
      startHealth({
        config: { health: { addresses: ['127.0.0.1'], port } },
        log: silent,
        version: '1',
        state: () => state,
      }),
      { code: 'EADDRINUSE' },
    )
  })
})
