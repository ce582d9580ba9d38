/** Whoever else writes to the datapath's tables: it is noticed within seconds, told, and repaired. */

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { TABLE_MAPS, type TableMap } from '@kube-vrouter/daemon/dataplane/encode-tables'
import { SERVICE_MAPS } from '@kube-vrouter/daemon/dataplane/services/service-encoder'
import type { MapName } from '@kube-vrouter/daemon/maps/definitions'
import { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { MapType } from '@kube-vrouter/linux/bpf/syscall'
import { type WholeNode, withWholeNode } from './whole-node.ts'

/** Far below the minute after which everything is read anew. */
const NOTICED_MS = 30_000

describe('tables that others change', function () {
  this.timeout(60_000)
  let node: WholeNode

  withWholeNode(
    (made) => {
      node = made
    },
    [
      ['one', 'red'],
      ['two', 'blue'],
    ],
  )
  // vif_addresses has an entry, too.
  before(async () => {
    const { ok } = await node.add('three', 'blue', { 'vrouter.dev/allowed-addresses': '10.2.9.9' })
    assert.equal(ok, true)
  })

  const open = (name: MapName) => BpfMap.openPinned(join(node.config.paths.pins, 'maps', name))
  const readyz = async () => {
    const response = await fetch('http://127.0.0.1:9485/readyz')
    return { status: response.status, text: (await response.text()).trim() }
  }

  function contents(name: MapName): string {
    using map = open(name)
    const entries = [...map.pages(1024, { skipZero: true })].flat()
    return entries
      .map(({ key, value }) => Buffer.concat([key, value]).toString('hex'))
      .sort()
      .join('\n')
  }

  async function eventually(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    const until = performance.now() + NOTICED_MS
    while (!(await condition())) {
      if (performance.now() > until) assert.fail(`not within ${NOTICED_MS} ms: ${what}`)
      await sleep(10)
    }
  }

  /** What is changed is told and repaired, and then all is well again. */
  async function isMended(name: TableMap, before: string): Promise<void> {
    assert.notEqual(contents(name), before, 'nothing was changed')
    const told = new RegExp(`others have changed the datapath's tables \\(.*\\b${name}\\b`)
    await eventually('it is told', async () => {
      const { status, text } = await readyz()
      return status === 503 && told.test(text)
    })
    await eventually('it is repaired', () => contents(name) === before)
    await eventually('it is well again', async () => (await readyz()).status === 200)
  }

  // No route of this node has more than one nexthop, and Services are those of services.test.ts.
  const elsewhere: ReadonlySet<TableMap> = new Set(['composites', ...SERVICE_MAPS])
  for (const name of TABLE_MAPS.filter((one) => !elsewhere.has(one))) {
    it(`${name}: an entry is altered`, async () => {
      const before = contents(name)
      {
        using map = open(name)
        const [{ key, value } = assert.fail('it is empty')] = [...map.pages(1024, { skipZero: true })].flat()
        const other = Buffer.from(value)
        other[0]! ^= 1
        map.update(key, other)
      }
      await isMended(name, before)
    })

    it(`${name}: an entry is removed`, async () => {
      const before = contents(name)
      {
        using map = open(name)
        const { key } = [...map.pages(1024, { skipZero: true })].flat().at(-1)!
        if (map.type === MapType.ARRAY) map.update(key, new Uint8Array(map.valueSize))
        else map.delete(key)
      }
      await isMended(name, before)
    })
  }

  it('route4_host: an entry is added', async () => {
    const before = contents('route4_host')
    {
      using map = open('route4_host')
      map.update(new Uint8Array(map.keySize).fill(7), new Uint8Array(map.valueSize).fill(1))
    }
    await isMended('route4_host', before)
  })

  it('settings of the programs are altered', async () => {
    // Behind the key and the epoch: the node's address and MTU.
    const address = () => contents('globals').slice(24, 40)
    const before = address()
    {
      using map = open('globals')
      const value = Buffer.from(map.lookup(new Uint8Array(4))!)
      value.writeUInt32LE(9000, 12)
      map.update(new Uint8Array(4), value)
    }
    assert.notEqual(address(), before)
    await eventually('it is repaired', () => address() === before)
    assert.ok(node.lines.some(({ msg }) => /settings of the programs were changed by others/.test(String(msg))))
    await eventually('it is well again', async () => (await readyz()).status === 200)
  })

  it('nothing is told of what the daemon itself writes', async () => {
    node.lines.length = 0
    for (let n = 0; n < 5; n++) {
      assert.equal((await node.add(`more-${n}`, 'red')).ok, true)
      await sleep(700)
      assert.equal((await readyz()).status, 200)
      await node.delete(`more-${n}`)
    }
    assert.ok(!node.lines.some(({ msg }) => /by others/.test(String(msg))))
  })
})
