/**
 * Proves: a flow that is made while routes change never keeps an answer from before the change under the epoch after it. Packets of new
 * flows run on one CPU while another changes a route and raises the epoch, some thousand times.
 */
import { strict as assert } from 'node:assert'
import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import { encodeSkbContext } from '@kube-vrouter/linux/bpf/program'
import { ip4Number } from '../../src/maps/addresses.ts'
import * as c from '../../src/maps/constants.ts'
import { globalsCodec } from '../../src/maps/structs.ts'
import { encode, u32Codec } from '../../src/maps/table.ts'
import { A, Fixture, NH, REMOTE, ROUTER_MAC } from './fixture.ts'
import { ETH, eth, udp } from './frames.ts'
import { cannotRun } from './node.ts'

const CHANGES = 10000
const FLOWS = 262144
const WAYS = 8
const FIRST_NH = 200
const LABEL = 300

/** Sends the frame from one port after the other until it is told to stop, and says then how often it did. */
const SENDER = `
const { parentPort, workerData } = require('node:worker_threads')
const { fd, path, frame, port, context, stop } = workerData
;(async () => {
  const { programTestRun } = await import(workerData.program)
  const { withNamespace } = await import(workerData.namespace)
  let sent = 0
  withNamespace(path, () => {
    Atomics.store(stop, 1, 1)
    while (!Atomics.load(stop, 0)) {
      frame[port] = sent >> 8
      frame[port + 1] = sent++
      programTestRun(fd, { data: frame, context, repeat: 1, outputSize: 2000 })
      Atomics.store(stop, 2, sent)
    }
  })
  parentPort.postMessage(sent)
})()`

describe('datapath: flows that are made while routes change', function () {
  this.timeout(120000)
  let node: Fixture

  before(function () {
    if (cannotRun()) this.skip()
    node = new Fixture({ sizes: { flow4: FLOWS, flow_slots: FLOWS, flow_free: FLOWS } })
  })
  after(() => node?.[Symbol.dispose]())

  it('never take an old answer for a new one', async () => {
    const host4 = node.raw.get('route4_host')!
    const rawKey = encode(node.maps.routes.host4.key, { vrf: 2, ip: ip4Number(REMOTE.ip4) })
    // Each way takes long to resolve, one member of 64 being usable; its label says after how many changes it was made.
    const setWay = (change: number) => {
      const members = Array.from({ length: 64 }, (_, i) => ({ nh: i ? NH.INVALID : NH.TUNNEL, label: LABEL + change }))
      node.maps.composites.set(FIRST_NH + (change % WAYS), { count: 64, hashFields: 0, members })
    }
    const ways = Array.from({ length: WAYS }, (_, way) => {
      setWay(way)
      node.setNexthop(FIRST_NH + way, { type: c.NH_COMPOSITE, flags: c.NH_FLAG_VALID | c.NH_FLAG_COMPOSITE_ECMP })
      node.setRoute(2, `${REMOTE.ip4}/32`, FIRST_NH + way)
      return host4.lookup(rawKey)!
    })
    host4.update(rawKey, ways[0]!)
    const globals = node.raw.get('globals')!
    const first = node.maps.globals.get(0)!.epoch

    const stop = new Int32Array(new SharedArrayBuffer(12))
    const worker = new Worker(SENDER, {
      eval: true,
      workerData: {
        program: import.meta.resolve('@kube-vrouter/linux/bpf/program'),
        namespace: import.meta.resolve('@kube-vrouter/linux/namespace'),
        fd: node.objects.get('tap')!.programFd('tap'),
        path: node.path,
        frame: eth(ROUTER_MAC, A.mac, 0x0800, udp(A.ip4, REMOTE.ip4, 1, 2)),
        port: ETH + 20,
        context: encodeSkbContext({ ifindex: node.devices[A.vif]! }),
        stop,
      },
    })
    const done = once(worker, 'message')
    while (!Atomics.load(stop, 1)) await new Promise(setImmediate)
    const zero = encode(u32Codec, 0)
    for (let change = 1; change <= CHANGES || (Atomics.load(stop, 2) < 1000 && change < 1_000_000); change++) {
      const epoch = encode(globalsCodec, { ...node.maps.globals.get(0)!, epoch: first + change })
      setWay(change)
      host4.update(rawKey, ways[change % WAYS]!)
      globals.update(zero, epoch)
    }
    Atomics.store(stop, 0, 1)
    const [sent] = (await done) as [number]
    const made = [...node.maps.flows.flow4.entries()].filter(([{ dip }]) => dip === ip4Number(REMOTE.ip4))
    assert.ok(made.length > 100, `${made.length} flows of ${sent} packets`)
    const old = made.filter(([, { epoch, label }]) => label - LABEL < epoch - first)
    assert.equal(old.length, 0, `${old.length} of ${made.length} flows hold an old way under a new epoch`)
  })
})
