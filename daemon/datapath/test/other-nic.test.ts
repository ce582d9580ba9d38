/** Proves that what leaves with the node's address goes where the kernel's routes lead, or is refused and counted: never out of the wrong wire. */
import { strict as assert } from 'node:assert'
import * as c from '../../src/maps/constants.ts'
import { A, Fixture, HOST, OUTSIDE, REDIRECT, ROUTER_MAC, type Sent } from './fixture.ts'
import { eth, udp } from './frames.ts'
import { cannotRun } from './node.ts'

const FAMILIES = [
  ['IPv4', 0x0800, A.ip4, OUTSIDE.ip4, '10.77.0.9', ''],
  ['IPv6', 0x86dd, A.ip6, OUTSIDE.ip6, '2001:db8:77::9', '-6 '],
] as const

describe('datapath: SNAT and the node’s other NICs', function () {
  this.timeout(60000)
  let node: Fixture

  before(function () {
    if (cannotRun()) this.skip()
  })
  beforeEach(() => {
    node = new Fixture()
    node.enableSnat()
    for (const device of ['vhost', 'vhost-x', 'agent']) node.ip(`link set ${device} up`)
    node.ip(`addr add ${HOST.ip4}/24 dev vhost`)
    node.ip(`addr add ${HOST.ip6}/64 dev vhost nodad`)
    node.ip('route add default via 192.0.2.2 dev vhost')
    node.ip('-6 route add default via 2001:db8:ff::2 dev vhost')
    node.ip('link add nic2 type veth peer name nic2-x')
    for (const device of ['nic2', 'nic2-x']) node.ip(`link set ${device} up`)
    node.ip('addr add 10.77.0.1/24 dev nic2')
    node.ip('addr add 2001:db8:77::1/64 dev nic2 nodad')
    node.run('sysctl', '-qw', 'net.ipv4.conf.agent.forwarding=1', 'net.ipv6.conf.agent.forwarding=1')
  })
  afterEach(() => node?.[Symbol.dispose]())

  let port = 1
  for (const [family, type, pod, outside, behind, flag] of FAMILIES) {
    const send = (to: string, from = port++) => node.fromPod(A, eth(ROUTER_MAC, A.mac, type, udp(pod, to, from, 53)))

    it(`${family} by the underlay’s default route goes out`, () => {
      assert.equal(send(outside).verdict, REDIRECT)
    })

    it(`${family} to what is behind another NIC is refused, with a reason, and makes no flow`, () => {
      node.assertDrop(c.DROP_OTHER_NIC, A.vif, () => send(behind))
      node.ip(`${flag}route add ${outside} dev nic2`)
      node.assertDrop(c.DROP_OTHER_NIC, A.vif, () => send(outside))
      assert.equal(node.flows().length, 0)
    })

    it(`${family} that the kernel has no way for, or is itself, is refused, with a reason`, () => {
      node.ip(`${flag}route add unreachable ${outside}`)
      node.assertDrop(c.DROP_NOWHERE_TO_GO, A.vif, () => send(outside))
      node.assertDrop(c.DROP_NOWHERE_TO_GO, A.vif, () => send(family === 'IPv4' ? '10.77.0.1' : '2001:db8:77::1'))
    })

    it(`a flow of ${family} ends when the kernel’s route moves to another NIC`, () => {
      assert.equal(send(outside, 999).verdict, REDIRECT)
      node.ip(`${flag}route add ${outside} dev nic2`)
      assert.equal(send(outside, 999).verdict, REDIRECT, 'until somebody says that routes have changed')
      node.raiseEpoch()
      node.assertDrop(c.DROP_OTHER_NIC, A.vif, () => send(outside, 999))
    })

    it(`a flow of ${family} outlives a moment without a route, and leaves by the same port`, () => {
      const portOf = ({ verdict, frame }: Sent) => {
        assert.equal(verdict, REDIRECT)
        return frame.readUInt16BE(family === 'IPv4' ? 34 : 54)
      }
      const port = portOf(send(outside, 998))
      const way = family === 'IPv4' ? '192.0.2.2' : '2001:db8:ff::2'
      node.ip(`${flag}route del default`)
      node.raiseEpoch()
      node.assertDrop(c.DROP_NOWHERE_TO_GO, A.vif, () => send(outside, 998))
      node.assertDrop(c.DROP_NOWHERE_TO_GO, A.vif, () => send(outside, 998))
      node.ip(`${flag}route add default via ${way} dev vhost`)
      assert.equal(portOf(send(outside, 998)), port, 'as soon as there is one')
      assert.equal(node.flows().length, 2)
    })
  }
})
