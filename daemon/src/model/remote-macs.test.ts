import assert from 'node:assert/strict'
import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import type { VirtualMachineInterface, VirtualRouter } from './objects.ts'
import { RemoteMacs } from './remote-macs.ts'
import { RemotePodTable } from './remote-pods.ts'
import type { RemoteNode } from './tunnels.ts'

const RED = 'red'

function pod(uuid: string, node: string, mac: string, addresses = ['10.1.0.9']): VirtualMachineInterface {
  const object = { name: `pod-${uuid}`, namespace: 'default', uuid, vn: RED, node, pod: { name: uuid, uid: uuid } }
  return { ...object, containerId: uuid, ifname: 'eth0', mac, addresses, label: 20 + Number(uuid) }
}

function nodeOf(name: string, nexthop: number): RemoteNode {
  const address = `192.0.2.${nexthop}`
  const router: VirtualRouter = { name, address, encapsulations: ['MPLSoUDP'], vrfLabels: {}, vhostLabel: 16 }
  return { router, nexthop, peer: { node: name, address } }
}

const n2 = nodeOf('n2', 12)
const n3 = nodeOf('n3', 13)
const NODES = new Map([
  ['n2', n2],
  ['n3', n3],
])

function podsOf(...objects: VirtualMachineInterface[]) {
  const table = new RemotePodTable('here')
  for (const _ of table.update(new Map(objects.map((object) => [object.uuid, object]))));
  return table.of(RED)
}

function finished<T>(steps: Generator<void, T>): T {
  for (;;) {
    const step = steps.next()
    if (step.done) return step.value
  }
}

describe('MACs of pods on other nodes', () => {
  it('lead through the tunnel to the node, with the pod’s label', () => {
    const macs = new RemoteMacs()
    const entries = finished(
      macs.compute(
        podsOf(
          pod('2', 'n3', '02:00:00:00:00:02', ['fd00::2', '10.1.0.2']),
          pod('1', 'n2', '02:00:00:00:00:01', ['fd00::1']),
          pod('3', 'n4', '02:00:00:00:00:03'),
        ),
        NODES,
      ),
    )
    const of = (label: number, nexthop: number, node: RemoteNode, address: string) => ({
      ...{ nexthop, label, floodDhcp: false, peer: node.peer, address },
    })
    assert.deepEqual(
      entries.map(({ index, ...route }) => route),
      [
        { mac: '02:00:00:00:00:01', ...of(21, 12, n2, 'fd00::1') },
        { mac: '02:00:00:00:00:02', ...of(22, 13, n3, '10.1.0.2') },
      ],
      'and there is none without a tunnel',
    )
    const positions = new Set(entries.map(({ index }) => index))
    assert.equal(positions.size, 2)
    for (const index of positions) assert.ok(index >= 2 ** 30 && index < 2 ** 31, `${index}`)
  })

  it('are nobody’s who has no right to them, and of several owners always the same one’s', () => {
    const macs = new RemoteMacs()
    const bad = ['00:00:5e:00:01:00', '00:00:00:00:00:00', 'ff:ff:ff:ff:ff:ff', '01:00:5e:00:00:01']
    const twins = [pod('8', 'n3', '02:00:00:00:00:01'), pod('9', 'n2', '02:00:00:00:00:01')]
    const all = podsOf(...bad.map((mac, at) => pod(`${at}`, 'n2', mac)), ...twins)
    assert.deepEqual(
      finished(macs.compute(all, NODES)).map(({ label }) => label),
      [twins[1]!.label],
    )
    assert.equal(macs.problems.length, bad.length + 1)
    assert.match(macs.problems.at(-1)!.message, /MAC 02:00:00:00:00:01 is that of VirtualMachineInterface pod-9/)
  })

  it('are the same, whichever changes led to them', () => {
    const someone = fc.record({
      node: fc.constantFrom('here', 'n2', 'n3', 'n4'),
      mac: fc.constantFrom(...[1, 2, 3, 4, 5, 6].map((n) => `02:00:00:00:00:0${n}`), '00:00:5e:00:01:00'),
    })
    const step = fc.record({
      pods: fc.dictionary(fc.constantFrom('1', '2', '3', '4', '5'), fc.option(someone, { nil: undefined })),
      nodes: fc.option(fc.subarray(['n2', 'n3', 'n4']), { nil: undefined }),
      isNumbered: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(step, { minLength: 1, maxLength: 12 }), (steps) => {
        const table = new RemotePodTable('here')
        const macs = new RemoteMacs()
        const source = new Map<string, VirtualMachineInterface>()
        let nodes: ReadonlyMap<string, RemoteNode> = NODES
        let before = finished(macs.compute(table.of(RED), nodes))
        for (const change of steps) {
          for (const [uuid, one] of Object.entries(change.pods)) {
            source.delete(uuid)
            if (one !== undefined) source.set(uuid, pod(uuid, one.node, one.mac))
          }
          for (const _ of table.update(new Map(source)));
          if (change.nodes !== undefined) {
            const base = change.isNumbered ? 30 : 10
            nodes = new Map(change.nodes.map((name) => [name, nodes.get(name) ?? nodeOf(name, base + Number(name[1]))]))
          }
          const now = finished(macs.compute(table.of(RED), nodes))
          const fresh = new RemoteMacs()
          assert.deepEqual(now, finished(fresh.compute(podsOf(...source.values()), nodes)))
          assert.deepEqual(macs.problems, fresh.problems)
          assert.equal(finished(macs.compute(table.of(RED), nodes)), now)
          for (const entry of now) {
            const same = before.find((other) => isDeepStrictEqual(other, entry))
            if (same !== undefined) assert.equal(same, entry, 'what didn’t change is the same object')
          }
          before = now
        }
      }),
    )
  })
})
