import assert from 'node:assert/strict'
import { kernelOfFixture } from '../../../test/doubles/kernel-tables.ts'
import { config, tables } from '../../../test/doubles/small-cluster.ts'
import { Metrics } from '../health/metrics.ts'
import { servicesShown } from './services-shown.ts'

describe('what health shows of Services', () => {
  const usage = () =>
    [
      { table: 'service_fronts', used: 3, max: 64 },
      { table: 'vifs', used: 4, max: 8 },
      { table: 'service_backs', used: 2, max: 512 },
    ] as const
  const shown = servicesShown({ usage }, kernelOfFixture(tables), config, tables)

  it('is how full their tables are, a port counted once', () => {
    assert.deepEqual(shown.serviceTables, [
      { table: 'service', used: 1, max: config.limits.services },
      { table: 'front', used: 3, max: 64 },
      { table: 'back', used: 2, max: 512 },
    ])
  })

  it('is what became of flows to them, in metrics', async () => {
    const state = {
      ...{
        ready: true,
        state: '',
        ports: 0,
        vrfs: 0,
        routes: 0,
        drops: [],
        foreignTunnels: 0n,
        problems: 0,
        rejected: 0,
      },
      ...{ source: { inSync: true }, tables: shown.serviceTables!, services: shown.services! },
    }
    using metrics = new Metrics(() => state, '0')
    const text = await metrics.text()
    assert.match(text, /vrouter_service_flows_total\{result="connected"\} 500\n/)
    assert.match(text, /vrouter_service_flows_total\{result="refused"\} 2\n/)
    assert.match(text, /vrouter_service_flows_total\{result="dropped"\} 1\n/)
    assert.match(text, /vrouter_table_used\{table="back"\} 2\n/)
  })

  it('is nothing of Services while none are known', () => {
    const none = servicesShown({ usage: () => [] }, kernelOfFixture(tables), config, undefined)
    assert.deepEqual(none.serviceTables, [{ table: 'service', used: 0, max: config.limits.services }])
    assert.deepEqual(none.services?.(), { connections: 0n, refused: 0n, dropped: 0n })
  })
})
