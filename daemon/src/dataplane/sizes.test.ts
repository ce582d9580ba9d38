import assert from 'node:assert/strict'
import type { Config } from '../config/config.ts'
import { type MapName, mapDefinitions } from '../maps/definitions.ts'
import { maxEntriesOf } from './sizes.ts'

const limits = {
  ...{ vifs: 11, vrfs: 12, nexthops: 13, labels: 14, routes: 15, flows4: 16, flows6: 17 },
  ...{ services: 18, backends: 19 },
} as Config['limits']

describe('sizes of maps', () => {
  it('give every flow an index, every vif its counters, and the unknown VRF its own', () => {
    const sizes = (...names: MapName[]) => names.map((name) => maxEntriesOf(name, limits))
    assert.deepEqual(sizes('flow4', 'flow6', 'flow_slots', 'flow_free'), [16, 17, 33, 33])
    assert.deepEqual(sizes('vifs', 'vif_stats', 'vif_state', 'vif_drop_stats', 'vif_devices'), [11, 11, 11, 11, 11])
    assert.deepEqual(sizes('vif_addresses'), [11 * 14])
    assert.deepEqual(sizes('vrf_flows', 'flow_closed'), [12, 17])
    assert.deepEqual(sizes('vrfs', 'vrf_stats'), [12, 13])
    assert.deepEqual(sizes('nexthops', 'mpls', 'route4_host', 'route6_lpm', 'bridge'), [13, 14, 15, 15, 15])
    assert.deepEqual(sizes('service_stats', 'service_fronts', 'service_ranges', 'service_backs'), [18, 36, 9, 19])
    assert.equal(maxEntriesOf('fragments', limits), mapDefinitions.fragments.maxEntries)
  })
})
