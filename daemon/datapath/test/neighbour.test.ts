/**
 * Proves that tunnels, and what leaves with the node's address, follow the MACs that the kernel knows, with nobody writing the tables;
 * and that packets themselves teach the datapath nothing.
 */
import { strict as assert } from 'node:assert'
import { setTimeout as sleep } from 'node:timers/promises'
import { A, Fixture, HOST, OUTSIDE, PEER, REDIRECT, REMOTE, ROUTER_MAC, type Sent } from './fixture.ts'
import { arp, eth, udp } from './frames.ts'
import { cannotRun } from './node.ts'

const MOVED = '0e:00:00:00:00:77'
const LATER = '0e:00:00:00:00:88'
/** Longer than a tick of neighbour.h. */
const TICK_MS = 300

describe('datapath: neighbours of the underlay', function () {
  this.timeout(60000)
  let node: Fixture

  before(function () {
    if (cannotRun()) this.skip()
  })
  beforeEach(() => {
    node = new Fixture()
    node.enableSnat()
    node.ip('link set vhost up')
    node.ip('link set vhost-x up')
    node.ip('link set agent up')
    node.ip(`addr add ${HOST.ip4}/24 dev vhost`)
    node.run('sysctl', '-qw', 'net.ipv4.conf.all.forwarding=0', 'net.ipv4.conf.agent.forwarding=1')
  })
  afterEach(() => node?.[Symbol.dispose]())

  const know = (mac: string) => node.ip(`neigh replace ${PEER.ip4} lladdr ${mac} dev vhost nud reachable`)
  const macOf = ({ frame, verdict }: Sent) => {
    assert.equal(verdict, REDIRECT)
    return frame
      .subarray(0, 6)
      .toString('hex')
      .replaceAll(/(..)(?!$)/g, '$1:')
  }
  const sent = (packet: Buffer) => macOf(node.fromPod(A, eth(ROUTER_MAC, A.mac, 0x0800, packet)))
  const intoTunnel = () => sent(udp(A.ip4, REMOTE.ip4, 1, 2))
  const toOutside = () => sent(udp(A.ip4, OUTSIDE.ip4, 1, 53))

  for (const [what, send, route] of [
    ['a tunnel', intoTunnel, undefined],
    ['packets to the outside, by way of their gateway,', toOutside, `${OUTSIDE.ip4}/32 via ${PEER.ip4} dev vhost`],
  ] as const) {
    it(`${what} get the kernel’s MAC, and its next one within a tick`, async () => {
      if (route) node.ip(`route add ${route}`)
      know(MOVED)
      assert.equal(send(), MOVED)
      know(LATER)
      await sleep(TICK_MS)
      assert.equal(send(), LATER)
      assert.equal(send(), LATER)
    })

    it(`${what} keep the last MAC while the kernel knows none, or leads elsewhere`, async () => {
      if (route) node.ip(`route add ${route}`)
      assert.equal(send(), PEER.mac, 'no neighbour')
      await sleep(TICK_MS)
      node.ip(`neigh replace ${PEER.ip4} dev vhost nud incomplete`)
      assert.equal(send(), PEER.mac, 'being resolved')
      node.ip('link add other type veth peer name other-x')
      node.ip('link set other up')
      node.ip('link set other-x up')
      const destination = route ? OUTSIDE.ip4 : PEER.ip4
      node.ip(`route replace ${destination}/32 dev other`)
      node.ip(`neigh replace ${destination} lladdr ${MOVED} dev other nud reachable`)
      await sleep(TICK_MS)
      assert.equal(send(), PEER.mac, 'another device')
    })
  }

  it('believe no packet that passes by: the kernel judges', async () => {
    know(MOVED)
    assert.equal(intoTunnel(), MOVED)
    for (const op of [1, 2])
      node.fromFabric(
        eth(HOST.mac, LATER, 0x0806, arp({ op, sha: LATER, spa: PEER.ip4, tha: HOST.mac, tpa: HOST.ip4 })),
      )
    await sleep(TICK_MS)
    assert.equal(intoTunnel(), MOVED)
  })
})
