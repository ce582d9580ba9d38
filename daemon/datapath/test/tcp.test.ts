/** Proves: the TCP state of a flow pair through the life of a connection (vRouter reference 1.5.7). */
import { strict as assert } from 'node:assert'
import * as c from '../../src/maps/constants.ts'
import { A, B, Fixture, HOST, PEER, REDIRECT, REMOTE, ROUTER_MAC } from './fixture.ts'
import { eth, mplsOverUdp, TCP_FLAG, tcp, withTtl } from './frames.ts'
import { cannotRun } from './node.ts'

const { SYN, ACK, FIN, RST } = TCP_FLAG
const ESTABLISHED = c.TCP_ESTABLISHED | c.TCP_ESTABLISHED_R
const OPEN = ESTABLISHED | c.TCP_SYN | c.TCP_SYN_R

describe('datapath: TCP state', function () {
  this.timeout(60000)
  let node: Fixture

  before(function () {
    if (cannotRun()) this.skip()
  })
  beforeEach(() => {
    node = new Fixture()
  })
  afterEach(() => node?.[Symbol.dispose]())

  const client = (flags: number, seq: number, ack: number, data = 0) =>
    assert.equal(
      node.fromPod(
        A,
        eth(ROUTER_MAC, A.mac, 0x0800, tcp(A.ip4, B.ip4, 1000, 80, flags, { seq, ack, data: Buffer.alloc(data) })),
      ).verdict,
      REDIRECT,
    )
  const server = (flags: number, seq: number, ack: number, data = 0) =>
    assert.equal(
      node.fromPod(
        B,
        eth(ROUTER_MAC, B.mac, 0x0800, tcp(B.ip4, A.ip4, 80, 1000, flags, { seq, ack, data: Buffer.alloc(data) })),
      ).verdict,
      REDIRECT,
    )
  const state = () => node.flows().map(({ flow }) => flow.tcpFlags)

  function connect(): void {
    client(SYN, 100, 0)
    server(SYN | ACK, 500, 101)
    client(ACK, 101, 501)
  }

  it('is established by SYN, SYN-ACK and ACK', () => {
    client(SYN, 100, 0)
    assert.deepEqual(state(), [c.TCP_SYN, c.TCP_SYN_R])
    server(SYN | ACK, 500, 101)
    assert.deepEqual(state(), [
      c.TCP_SYN | c.TCP_SYN_R | c.TCP_ESTABLISHED,
      c.TCP_SYN | c.TCP_SYN_R | c.TCP_ESTABLISHED_R,
    ])
    client(ACK, 101, 501)
    assert.deepEqual(state(), [OPEN, OPEN])
    assert.equal(node.flows().length, 2)
  })

  it('is not established by an answer to another SYN', () => {
    client(SYN, 100, 0)
    server(SYN | ACK, 500, 77)
    client(ACK, 101, 77)
    assert.deepEqual(state(), [c.TCP_SYN | c.TCP_SYN_R, c.TCP_SYN | c.TCP_SYN_R])
  })

  it('is dead when both ends have closed and both were acknowledged', () => {
    connect()
    client(FIN | ACK, 101, 501, 10)
    assert.deepEqual(state(), [OPEN | c.TCP_FIN, OPEN | c.TCP_FIN_R])
    server(ACK, 501, 112)
    assert.deepEqual(state(), [OPEN | c.TCP_FIN | c.TCP_HALF_CLOSE, OPEN | c.TCP_FIN_R])
    server(ACK, 501, 112, 20)
    server(FIN | ACK, 521, 112)
    client(ACK, 112, 521)
    assert.equal(state()[0]! & c.TCP_DEAD, 0, 'the last FIN is not acknowledged yet')
    client(ACK, 112, 522)
    const closed = OPEN | c.TCP_FIN | c.TCP_FIN_R | c.TCP_HALF_CLOSE | c.TCP_DEAD
    assert.deepEqual(state(), [closed, closed])
    server(FIN | ACK, 521, 112)
    client(ACK, 112, 522)
  })

  it('lives again when its ports are used again', () => {
    connect()
    client(RST, 101, 501)
    assert.deepEqual(
      state().map((flags) => flags & c.TCP_DEAD),
      [c.TCP_DEAD, c.TCP_DEAD],
    )
    client(SYN, 9000, 0)
    assert.deepEqual(state(), [c.TCP_SYN, c.TCP_SYN_R])
    server(SYN | ACK, 7000, 9001)
    client(ACK, 9001, 7001)
    assert.deepEqual(state(), [OPEN, OPEN])
    assert.equal(node.flows().length, 2)
  })

  it('believes a reset only with the sequence number that is due', () => {
    connect()
    server(ACK, 501, 151)
    client(ACK, 151, 601)
    client(RST, 150, 0)
    server(RST, 600, 0)
    assert.deepEqual(state(), [OPEN, OPEN])
    server(RST, 601, 0)
    const dead = OPEN | c.TCP_RST | c.TCP_DEAD
    assert.deepEqual(state(), [dead, dead])
  })

  it('believes the refusal of a SYN only if it acknowledges that SYN', () => {
    client(SYN, 100, 0)
    server(RST | ACK, 0, 100)
    assert.deepEqual(state(), [c.TCP_SYN, c.TCP_SYN_R])
    server(RST | ACK, 0, 101)
    assert.deepEqual(state(), [c.TCP_SYN | c.TCP_RST | c.TCP_DEAD, c.TCP_SYN_R | c.TCP_RST | c.TCP_DEAD])
  })

  it('is established, when first seen in the middle, once both sides have spoken', () => {
    client(ACK, 5000, 6000, 100)
    client(ACK, 5100, 6000, 100)
    assert.deepEqual(state(), [0, 0], 'one side alone may speak to nobody')
    server(ACK, 6000, 5200)
    assert.deepEqual(state(), [c.TCP_ESTABLISHED, c.TCP_ESTABLISHED_R])
    client(ACK, 5200, 6000)
    assert.deepEqual(state(), [ESTABLISHED, ESTABLISHED])
  })

  it('is established, too, when its SYN was seen on the way back only', () => {
    server(SYN | ACK, 500, 101)
    client(ACK, 101, 501)
    server(ACK, 501, 101)
    assert.deepEqual(
      state().map((flags) => flags & ESTABLISHED),
      [ESTABLISHED, ESTABLISHED],
    )
  })

  it('is dead when what was first seen in the middle is refused', () => {
    client(ACK, 5000, 6000)
    server(RST, 6000, 0)
    assert.deepEqual(
      state().map((flags) => flags & c.TCP_DEAD),
      [c.TCP_DEAD, c.TCP_DEAD],
    )
  })

  it('doesn’t change with a packet whose TTL ends here', () => {
    connect()
    const expired = (flags: number, seq: number, ack: number) =>
      node.fromPod(A, eth(ROUTER_MAC, A.mac, 0x0800, withTtl(tcp(A.ip4, B.ip4, 1000, 80, flags, { seq, ack }), 1)))
    expired(RST, 101, 501)
    expired(FIN | ACK, 101, 501)
    assert.deepEqual(state(), [OPEN, OPEN])
    client(RST, 101, 501)
    assert.notEqual(state()[0]! & c.TCP_DEAD, 0)
  })

  it('is kept across the tunnel too, IPv6 included', () => {
    const remote = (flags: number, seq: number, ack: number) =>
      node.fromFabric(
        eth(
          HOST.mac,
          PEER.mac,
          0x0800,
          mplsOverUdp(
            { src: PEER.ip4, dst: HOST.ip4, label: A.label },
            tcp(REMOTE.ip6, A.ip6, 1000, 80, flags, { seq, ack }),
          ),
        ),
      )
    const pod = (flags: number, seq: number, ack: number) =>
      node.fromPod(A, eth(ROUTER_MAC, A.mac, 0x86dd, tcp(A.ip6, REMOTE.ip6, 80, 1000, flags, { seq, ack })))
    remote(SYN, 100, 0)
    pod(SYN | ACK, 0xffffffff, 101)
    remote(ACK, 101, 0)
    assert.deepEqual(state(), [OPEN, OPEN])
    pod(FIN | ACK, 0, 101)
    remote(FIN | ACK, 101, 1)
    pod(ACK, 1, 102)
    assert.deepEqual(
      state().map((flags) => flags & c.TCP_DEAD),
      [c.TCP_DEAD, c.TCP_DEAD],
    )
  })
})
