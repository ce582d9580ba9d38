import { strict as assert } from 'node:assert'
import { fillOf, nearlyFull } from './fill.ts'
import type { Tables } from './tables.ts'

const tables = (n: number): Tables =>
  ({
    vrfs: Array(n),
    vifs: Array(2 * n),
    nexthops: Array(3 * n),
    labels: Array(4 * n),
    inet: new Map([
      [0, Array(n)],
      [2, Array(n)],
    ]),
    inet6: new Map([[2, Array(3 * n)]]),
  }) as unknown as Tables
const limits = { vrfs: 100, vifs: 100, nexthops: 100, labels: 100, routes: 100 }

describe('fill of tables', () => {
  it('is counted against the limits, routes of both families and all VRFs together', () => {
    assert.deepEqual(
      fillOf(tables(10), limits).map(({ table, used, size }) => `${table} ${used}/${size}`),
      ['VRFs 10/100', 'vifs 20/100', 'routes 50/100', 'nexthops 30/100', 'labels 40/100'],
    )
  })

  it('is nearly full from 80 %, and in order again below 75 %', () => {
    let full = new Set<string>()
    const steps: [used: number, isFull: boolean][] = [
      [79, false],
      [80, true],
      [76, true],
      [75, true],
      [74, false],
      [79, false],
      [100, true],
    ]
    for (const [used, isFull] of steps) {
      full = nearlyFull([{ table: 'routes', used, size: 100 }], full)
      assert.equal(full.has('routes'), isFull, `${used}`)
    }
    assert.deepEqual(nearlyFull([{ table: 'none', used: 0, size: 0 }], full), new Set())
  })
})
