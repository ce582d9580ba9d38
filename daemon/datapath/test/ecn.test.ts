/** Proves the tables of RFC 6040 (normal mode) at both ends of a tunnel, and what the outer header gets for a DSCP. */
import { strict as assert } from 'node:assert'
import * as c from '../../src/maps/constants.ts'
import { A, assertFrame, Fixture, HOST, PEER, REMOTE, ROUTER_MAC } from './fixture.ts'
import { checksum, ETH, eth, mplsOverUdp, udp, withTtl } from './frames.ts'
import { cannotRun } from './node.ts'

const FAMILIES = [
  ['IPv4', 0x0800, A.ip4, REMOTE.ip4],
  ['IPv6', 0x86dd, A.ip6, REMOTE.ip6],
] as const

const MARKS = ['Not-ECT', 'ECT(1)', 'ECT(0)', 'CE'] as const
type Mark = (typeof MARKS)[number]

/** RFC 6040 §4.2, figure 4: what leaves the tunnel, by the inner mark and then the outer one. */
const LEAVES: Readonly<Record<Mark, Readonly<Record<Mark, Mark | 'drop'>>>> = {
  'Not-ECT': { 'Not-ECT': 'Not-ECT', 'ECT(0)': 'Not-ECT', 'ECT(1)': 'Not-ECT', CE: 'drop' },
  'ECT(0)': { 'Not-ECT': 'ECT(0)', 'ECT(0)': 'ECT(0)', 'ECT(1)': 'ECT(1)', CE: 'CE' },
  'ECT(1)': { 'Not-ECT': 'ECT(1)', 'ECT(0)': 'ECT(1)', 'ECT(1)': 'ECT(1)', CE: 'CE' },
  CE: { 'Not-ECT': 'CE', 'ECT(0)': 'CE', 'ECT(1)': 'CE', CE: 'CE' },
}

/** The same packet with another TOS or traffic class. */
function withTos(packet: Uint8Array, tos: number): Buffer {
  const copy = Buffer.from(packet)
  if (copy[0]! >> 4 === 6) {
    copy.writeUInt16BE((copy.readUInt16BE(0) & 0xf00f) | (tos << 4))
    return copy
  }
  copy[1] = tos
  return withTtl(copy, copy[8]!)
}

describe('datapath: ECN and DSCP of tunnels', function () {
  this.timeout(60000)
  let node: Fixture

  before(function () {
    if (cannotRun()) this.skip()
  })
  beforeEach(() => {
    node = new Fixture()
  })
  afterEach(() => node?.[Symbol.dispose]())

  for (const [family, type, local, remote] of FAMILIES) {
    const fromPeer = (inner: Uint8Array, tos: number) =>
      node.fromFabric(
        eth(
          HOST.mac,
          PEER.mac,
          0x0800,
          mplsOverUdp({ src: PEER.ip4, dst: HOST.ip4, label: A.label, ip: { tos } }, inner),
        ),
      )
    const sentTos = (inner: Uint8Array) => {
      const { frame } = node.fromPod(A, eth(ROUTER_MAC, A.mac, type, inner))
      assert.deepEqual(frame.subarray(ETH + 32), withTtl(inner, 63), 'what is inside stays as it is')
      assert.equal(checksum(frame.subarray(ETH, ETH + 20)), 0, 'outer IP checksum')
      return frame[ETH + 1]!
    }

    for (const [ecn, mark] of MARKS.entries()) {
      it(`starts the tunnel of ${family} ${mark} with ${mark} outside, and the same DSCP`, () => {
        for (const dscp of [0, 46, 63]) {
          const tos = (dscp << 2) | ecn
          assert.equal(sentTos(withTos(udp(local, remote, 1, 2), tos)), tos)
        }
      })

      for (const [outerEcn, outer] of MARKS.entries()) {
        const result = LEAVES[mark][outer]
        it(`${family} ${mark} that came under ${outer} ${result === 'drop' ? 'is dropped' : `leaves as ${result}`}`, () => {
          for (const dscp of [0, 10]) {
            const inner = udp(remote, local, 2, 1)
            const send = () => fromPeer(withTos(inner, (dscp << 2) | ecn), (46 << 2) | outerEcn)
            if (result === 'drop') node.assertDrop(c.DROP_ECN, 0, send)
            else assertFrame(send(), eth(A.mac, ROUTER_MAC, type, withTos(inner, (dscp << 2) | MARKS.indexOf(result))))
          }
        })
      }
    }

    it(`sends all ${family} in the class that is configured, with the marks of the packets`, () => {
      for (const dscp of [0, 34, 63]) {
        node.setGlobals({ tunnelDscp: dscp })
        for (const ecn of [0, 1, 2, 3])
          assert.equal(sentTos(withTos(udp(local, remote, 1, 2), (46 << 2) | ecn)), (dscp << 2) | ecn)
      }
    })
  }
})
