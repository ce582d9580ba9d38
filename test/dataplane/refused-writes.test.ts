/** ADD tells the truth: with the kernel refusing one write of it, whichever, it fails, leaves nothing, and others don't notice. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { TABLE_MAPS } from '@kube-vrouter/daemon/dataplane/encode-tables'
import { SERVICE_MAPS } from '@kube-vrouter/daemon/dataplane/services/service-encoder'
import type { MapName } from '@kube-vrouter/daemon/maps/definitions'
import { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { SystemError } from '@kube-vrouter/linux/errors'
import { type WholeNode, withWholeNode } from './whole-node.ts'

/** What no pod needs. */
const OTHERS: ReadonlySet<string> = new Set(['composites', 'peers4', 'peers6', ...SERVICE_MAPS])

const E2BIG = 7
const ENOMEM = 12

/** All that ADD of the first pod of a network writes, with an address beside its first, and where it counts. */
const MAPS = [
  ...TABLE_MAPS.filter((name) => !OTHERS.has(name)),
  ...(['vif_stats', 'vif_drop_stats', 'vrf_stats'] as const),
] satisfies MapName[]

const MORE = { 'vrouter.dev/allowed-addresses': '10.2.9.9' }

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('latin1')

describe('ADD of a pod whose tables the kernel refuses', function () {
  this.timeout(60_000)
  let node: WholeNode
  const update = BpfMap.prototype.update

  withWholeNode(
    (made) => {
      node = made
    },
    [['anchor', 'red']],
  )
  afterEach(() => {
    BpfMap.prototype.update = update
  })

  /** Refuses all keys that come to `map` as long as `isOpen`, and goes on refusing those. */
  function refuse(map: MapName, errno: number) {
    const refused = new Set<string>()
    const gate = { isOpen: true, refused }
    node.lines.length = 0
    BpfMap.prototype.update = function (key, value, flags) {
      if (this.name === map) {
        if (gate.isOpen) refused.add(text(key))
        if (refused.has(text(key))) throw new SystemError('bpf', errno, `cannot update map ${map}`)
      }
      update.call(this, key, value, flags)
    }
    return gate
  }

  /** What all tables hold. */
  function tables(): Record<string, string[]> {
    const { pins } = node.config.paths
    return Object.fromEntries(
      TABLE_MAPS.map((name) => {
        using map = BpfMap.openPinned(join(pins, 'maps', name), { readOnly: true })
        const entries = [...map.pages(1024, { skipZero: true })].flat()
        return [name, entries.map(({ key, value }) => `${text(key)}=${text(value)}`).sort()]
      }),
    )
  }

  /** A pass has come to its end without what was refused. */
  const isTold = () => node.lines.some(({ msg }) => /isn't in the kernel/.test(String(msg)))

  async function eventually(condition: () => boolean): Promise<void> {
    while (!condition()) await sleep(20)
  }

  for (const [errno, why] of [
    [ENOMEM, 'cannot update map'],
    [E2BIG, 'is full'],
  ] as const) {
    for (const map of errno === E2BIG ? (['nexthops', 'route4_host'] as const) : MAPS) {
      it(`fails when ${map} ${errno === E2BIG ? 'is full' : 'takes no more'}, leaves nothing, and others go on`, async () => {
        const before = tables()
        const gate = refuse(map, errno)
        const failing = node.add('victim', 'blue', MORE)
        await eventually(() => gate.refused.size > 0)
        // The round that is under way ends; only its entries stay refused.
        await eventually(() => isTold())
        gate.isOpen = false
        assert.equal((await node.add('other', 'red')).ok, true, 'another pod of the node')

        const { ok, code, message, retry } = await failing
        assert.deepEqual([ok, code, retry], [false, 'PROGRAM_FAILED', true])
        assert.match(String(message), new RegExp(why))

        await node.delete('victim')
        await node.delete('other')
        BpfMap.prototype.update = update
        await eventually(() => JSON.stringify(tables()) === JSON.stringify(before))

        // And with the refusal gone it succeeds.
        assert.equal((await node.add('victim', 'blue', MORE)).ok, true)
        await node.delete('victim')
        await eventually(() => JSON.stringify(tables()) === JSON.stringify(before))
      })
    }
  }

  it('succeeds when the refusal passes meanwhile', async () => {
    const gate = refuse('nexthops', ENOMEM)
    const added = node.add('late', 'blue')
    await eventually(() => isTold())
    gate.isOpen = false
    gate.refused.clear()
    assert.equal((await added).ok, true)
    await node.delete('late')
  })
})
