/** Encoding the tables of a large network leaves the event loop free: what is done in one piece is as much with many routes as with few. */
import assert from 'node:assert/strict'
import { type Slices, sliced, telling } from '../../../test/doubles/counted-work.ts'
import { NO_FLAGS } from '../model/paths.ts'
import type { BridgeRoute, Route, Tables } from '../model/tables.ts'
import { Encoder, type Encoding } from './encode-tables.ts'

const NONE: Pick<Tables, 'vrfs' | 'vifs' | 'nexthops' | 'labels' | 'neighbours' | 'peers' | 'hostRoutes' | 'problems'> =
  {
    ...{ vrfs: [], vifs: [], nexthops: [], labels: [], neighbours: [], peers: [], hostRoutes: [], problems: [] },
  }

/** One VRF with so many pods of other nodes. */
function tablesOf(pods: number, nexthop: number): Tables {
  const numbers = Array.from({ length: pods }, (_, at) => at)
  const routes = numbers.map((at): Route => {
    const address = `10.${at >> 16}.${(at >> 8) & 255}.${at & 255}`
    return telling({ address, prefixLength: 32, paths: [], nexthop, label: 17, flags: NO_FLAGS, kind: 'remote-pod' })
  })
  const entries = numbers.map((at): BridgeRoute => {
    const hex = at.toString(16).padStart(6, '0')
    const mac = `02:00:00:${hex.slice(0, 2)}:${hex.slice(2, 4)}:${hex.slice(4)}`
    return telling({ mac, index: at, nexthop, label: 17, floodDhcp: false, peer: 'EVPN' })
  })
  return { ...NONE, inet: new Map([[2, routes]]), inet6: new Map(), bridge: new Map([[2, entries]]) }
}

function story(pods: number): Record<string, Slices<Encoding>> {
  const encoder = new Encoder()
  const round = (tables: Tables) => sliced(encoder.encode(tables))
  return {
    'all are new': round(tablesOf(pods, 5)),
    'all are others': round(tablesOf(pods, 6)),
    'nearly all are gone': round(tablesOf(1, 6)),
  }
}

describe('encoding the tables of a large network', () => {
  it('takes pieces that are no longer than those of a small one', () => {
    const [few, many] = [story(4000), story(20_000)]
    assert.ok(many['all are new']!.total > 4 * few['all are new']!.total, 'what is counted is counted')
    for (const [what, { longest }] of Object.entries(many)) {
      const before = few[what]!.longest
      assert.ok(longest <= before * 1.1, `${what}: ${longest} in one piece, and ${before} with few`)
    }
  })
})
