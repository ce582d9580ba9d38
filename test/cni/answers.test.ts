/** What answers on the socket isn't always a daemon of the same kind: whatever it says, the runtime gets one error that says what is wrong. */

import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { dirname } from 'node:path'
import { tapName } from '@kube-vrouter/daemon/model/names'
import type { AllocateReply, Request } from '@kube-vrouter/daemon/port-api/messages'
import { skipBecause } from '../skip.ts'
import { failure, inPod, Node, obstacle, result } from './node.ts'

/** Answers that are wrong whatever was asked. */
const GARBAGE = [
  ...[
    '',
    'hello',
    '{',
    'null',
    '7',
    '"ok"',
    'true',
    '[]',
    '[{"ok":true}]',
    '{}',
    '{"ok":null}',
    '{"ok":"true"}',
    '{"ok":1}',
  ],
  ...[
    '{"ok":false}',
    '{"ok":false,"code":7,"message":"x","retry":true}',
    '{"ok":false,"code":"X","message":{},"retry":true}',
  ],
  ...[
    '{"ok":false,"code":"X","message":"x"}',
    '{"ok":false,"code":"X","message":"x","retry":true,"details":[]}',
    '\u0000\u0001',
  ],
]

const PORT: AllocateReply = {
  ok: true,
  uuid: '74a96270-83e9-5b08-94a8-b34584efd512',
  tap: tapName('c1', 'eth0'),
  tapMac: '00:00:5e:00:01:00',
  mac: '02:74:a9:62:70:83',
  mtu: 1468,
  addresses: [{ address: '10.1.0.3', prefixLength: 16, gateway: '10.1.0.1' }],
  routes: [{ destination: '0.0.0.0/0', gateway: '10.1.0.1' }],
  dns: { nameservers: ['10.1.0.2'] },
  existed: false,
  registered: false,
}

const address = (more: object) => ({ addresses: [{ ...PORT.addresses[0], ...more }] })
const route = (more: object) => ({ routes: [{ ...PORT.routes[0], ...more }] })

/** Answers to allocate that differ from a right one in one thing, and what the error says of it. */
const WRONG_PORTS: readonly [wrong: object, says: RegExp][] = [
  ...Object.keys(PORT)
    .filter((key) => key !== 'ok')
    .flatMap((key): [object, RegExp][] => [
      [{ [key]: undefined }, new RegExp(`${key}.* is missing`)],
      [{ [key]: { no: 'such thing' } }, new RegExp(`${key}(\\.nameservers)? is `)],
    ]),
  [{ tap: 'eth0' }, /tap is eth0; wanted tap/],
  [{ tap: '../tap' }, /tap is "\.\.\/tap"/],
  [{ mtu: 0 }, /mtu is 0/],
  [{ mtu: 1e9 }, /mtu is/],
  [{ mac: 'red' }, /mac is "red"/],
  [address({ address: '10.1.0' }), /addresses\[0\]\.address is "10\.1\.0"/],
  [address({ prefixLength: 33 }), /addresses\[0\]\.prefixLength is 33/],
  [address({ gateway: 7 }), /addresses\[0\]\.gateway is 7/],
  [{ addresses: [null] }, /addresses\[0\] is null/],
  [route({ destination: '0.0.0.0' }), /routes\[0\]\.destination/],
  [route({ destination: '0.0.0.0/x' }), /routes\[0\]\.destination/],
  [route({ gateway: '' }), /routes\[0\]\.gateway is ""/],
]

describe('the CNI binary and what answers on its socket', function () {
  this.timeout(120_000)
  let node: Node
  let server: Server
  let answer: (request: Request) => string
  before(function () {
    skipBecause(this, obstacle())
  })
  beforeEach(async () => {
    node = new Node()
    mkdirSync(dirname(node.socket), { recursive: true })
    server = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.on('data', (line) => socket.write(answer(JSON.parse(line.toString()))))
    })
    const { promise, resolve } = Promise.withResolvers<void>()
    server.listen(node.socket, resolve)
    await promise
  })
  afterEach(async () => {
    await new Promise((resolve) => server.close(resolve))
    await node[Symbol.asyncDispose]()
  })

  const left = () => ({ taps: node.leftovers().taps, deletes: node.leftovers().deletes })

  for (const text of GARBAGE) {
    it(`${JSON.stringify(text)}: each command fails with words, none with a stack`, async () => {
      answer = () => `${text}\n`
      const netns = node.pod()
      const prevResult = { cniVersion: '1.1.0', interfaces: [], ips: [], routes: [] }
      const config = node.config('1.1.0', { prevResult, 'cni.dev/valid-attachments': [], daemonWaitSeconds: 30 })
      for (const [command, code] of [
        ['ADD', 11],
        ['CHECK', 11],
        ['GC', 11],
        ['STATUS', 50],
      ] as const) {
        const error = failure(await node.run({ command, netns, config }))
        assert.equal(error.code, code, `${command}: ${error.msg}`)
        assert.match(error.msg, /^the answer to \w+ at \S+ can not be used: /)
        assert.match(error.details, /same version/)
      }
      assert.equal(
        inPod(netns, (pod) => pod.links().length),
        1,
      )
      // What it did nobody knows: the daemon that comes back lets go of it.
      assert.deepEqual(left(), { taps: [], deletes: ['c1-eth0.json'] })
      assert.equal(result(await node.run({ command: 'DEL', netns, config })), undefined)
      assert.deepEqual(left(), { taps: [], deletes: ['c1-eth0.json'] })
    })
  }

  for (const [wrong, says] of WRONG_PORTS) {
    it(`a port with ${JSON.stringify(wrong, (_, value) => value ?? 'nothing')} makes no device`, async () => {
      answer = ({ op }) => `${JSON.stringify(op === 'allocate' ? { ...PORT, ...wrong } : { ok: true })}\n`
      const netns = node.pod()
      const error = failure(await node.run({ command: 'ADD', netns }))
      assert.equal(error.code, 11, error.msg)
      assert.match(error.msg, says)
      assert.deepEqual(left(), { taps: [], deletes: [] })
      assert.equal(
        inPod(netns, (pod) => pod.links().length),
        1,
      )
    })
  }

  for (const reply of [{ ok: true }, { ok: true, vif: '3', vrf: 2 }, { ok: true, vif: -1, vrf: 2 }]) {
    it(`${JSON.stringify(reply)} to register undoes what was made`, async () => {
      answer = ({ op }) => `${JSON.stringify(op === 'allocate' ? PORT : op === 'register' ? reply : { ok: true })}\n`
      const error = failure(await node.run({ command: 'ADD', netns: node.pod() }))
      assert.deepEqual([error.code, /vif is/.test(error.msg)], [11, true], error.msg)
      assert.deepEqual(left(), { taps: [], deletes: [] })
    })
  }

  it('an endless line is given up', async () => {
    answer = () => 'x'.repeat(20 * 1024 * 1024)
    const error = failure(await node.run({ command: 'ADD', netns: node.pod() }))
    assert.equal(error.code, 11)
    assert.match(error.msg, /is longer than 16777216 bytes/)
    assert.deepEqual(left().taps, [])
  })

  it('a right answer is taken, whatever else stands in it', async () => {
    answer = ({ op }) =>
      `${JSON.stringify(op === 'allocate' ? { ...PORT, new: [1] } : { ok: true, vif: 3, vrf: 2, new: {} })}\n`
    const added = result(await node.run({ command: 'ADD', netns: node.pod() }))
    assert.equal(added.ips[0].address, '10.1.0.3/16')
  })
})
