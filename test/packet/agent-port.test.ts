import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { AGENT_SWITCH, AGENT_TRAP_NEXTHOP, AGENT_TRAP_RESOLVE } from '@kube-vrouter/daemon/maps/constants'
import { AGENT_HEADER_LENGTH, decodeTrap, encodePacket } from '@kube-vrouter/daemon/packet/agent-header'
import type { Asker, Question } from '@kube-vrouter/daemon/packet/answerers'
import type { PacketContext } from '@kube-vrouter/daemon/packet/context'
import { EtherType, encodeEthernet } from '@kube-vrouter/daemon/packet/ethernet'
import { decodeIcmp, encodeIcmp, IcmpType } from '@kube-vrouter/daemon/packet/icmp'
import { decodeIpv4, encodeIpv4, Protocol } from '@kube-vrouter/daemon/packet/ipv4'
import { AgentPort } from '@kube-vrouter/daemon/packet/packet'
import { QUESTION_LIMITS } from '@kube-vrouter/daemon/packet/questions'
import type { Injection } from '@kube-vrouter/daemon/packet/respond'
import { parseAddress, parseMac } from '@kube-vrouter/linux/address'
import { allocate, bind, close, POLLIN, poll, recv, sendto, setsockopt } from '@kube-vrouter/linux/ffi'
import { createNamed, deleteNamed, namedPath, openSocketIn } from '@kube-vrouter/linux/namespace'
import { RouteSocket } from '@kube-vrouter/linux/netlink/route'
import { writeSysctl } from '@kube-vrouter/linux/sysctl'
import { deleteTap, openTap } from '@kube-vrouter/linux/tap'
import { until } from '../patience.ts'
import { skipBecause } from '../skip.ts'

const AF_PACKET = 17
const SOCK_RAW = 3
const ETH_P_ALL_BE = 0x0300
const SOL_SOCKET = 1
const SO_RCVBUFFORCE = 33
const SOL_PACKET = 263
const PACKET_IGNORE_OUTGOING = 23
const MSG_DONTWAIT = 0x40

const context: PacketContext = {
  routerMac: '00:00:5e:00:01:00',
  vrfs: new Map([[2, { own: ['10.0.0.1'], subnets: [{ address: '10.0.0.0', prefixLength: 24, router: '10.0.0.1' }] }]]),
  vifs: new Map([[5, { vrf: 2, mac: '02:00:00:00:00:05', addresses: ['10.0.0.5'] }]]),
  services: [],
}

/** A namespace with a pkt0, and a packet socket on it that plays the datapath. */
class Datapath implements Disposable {
  readonly name = `kv-${randomBytes(4).toString('hex')}`
  readonly netns = namedPath(this.name)
  #fd = -1
  readonly #landing = allocate(70_000)

  constructor() {
    createNamed(this.name)[Symbol.dispose]()
    this.makeDevice()
  }

  makeDevice(): void {
    close(openTap({ name: 'pkt0', persist: true, netns: this.netns }).fd)
    writeSysctl(['net', 'ipv6', 'conf', 'pkt0', 'disable_ipv6'], 1, this.netns)
    using route = RouteSocket.open({ netns: this.netns })
    const { index } = route.link('pkt0')!
    route.setLink(index, { up: true, txqlen: 5000 })
    if (this.#fd >= 0) close(this.#fd)
    this.#fd = openSocketIn(this.netns, AF_PACKET, SOCK_RAW, ETH_P_ALL_BE)
    const address = new Uint8Array(20)
    const view = new DataView(address.buffer)
    view.setUint16(0, AF_PACKET, true)
    view.setUint16(2, ETH_P_ALL_BE, true)
    view.setInt32(4, index, true)
    bind(this.#fd, address)
    setsockopt(this.#fd, SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
    setsockopt(this.#fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
  }

  removeDevice(): void {
    deleteTap('pkt0', this.netns)
  }

  trap(command: number, frame: Uint8Array, fields: { vif?: number; vrf?: number; param?: number } = {}): void {
    sendto(this.#fd, encodePacket({ vif: 5, vrf: 2, command, ...fields }, frame, 'datapath'))
  }

  raw(bytes: Uint8Array): void {
    sendto(this.#fd, bytes)
  }

  /** The next frame of the agent, or undefined after `timeoutMs`. */
  receive(timeoutMs = 20_000): Uint8Array | undefined {
    if ((poll([{ fd: this.#fd, events: POLLIN }], timeoutMs)[0]! & POLLIN) === 0) return undefined
    const length = recv(this.#fd, this.#landing, MSG_DONTWAIT)
    return length < 0 ? undefined : this.#landing.bytes.slice(0, length)
  }

  [Symbol.dispose](): void {
    close(this.#fd)
    deleteNamed(this.name)
  }
}

/** A query to the resolver at the gateway's address, of as many bytes as make it one. */
function query(id: number): Uint8Array {
  const datagram = new Uint8Array(20)
  const view = new DataView(datagram.buffer)
  view.setUint16(0, 4000)
  view.setUint16(2, 53)
  view.setUint16(4, datagram.length)
  view.setUint16(8, id)
  const header = { tos: 0, id, dontFragment: true, moreFragments: false, fragmentOffset: 0, ttl: 64 }
  const addresses = { source: parseAddress('10.0.0.5'), destination: parseAddress('10.0.0.1') }
  const options = new Uint8Array(0)
  const payload = encodeIpv4({ ...header, ...addresses, options, protocol: Protocol.UDP }, datagram)
  const destination = parseMac('00:00:5e:00:01:00')
  return encodeEthernet({ destination, source: parseMac('02:00:00:00:00:05'), type: EtherType.IPV4, payload })
}

function ping(sequence: number, target = '10.0.0.1', ttl = 64): Uint8Array {
  const payload = encodeIcmp({
    type: IcmpType.ECHO_REQUEST,
    code: 0,
    rest: (0x1234 << 16) | sequence,
    payload: new Uint8Array(56),
  })
  const packet = encodeIpv4(
    {
      tos: 0,
      id: sequence,
      dontFragment: true,
      moreFragments: false,
      fragmentOffset: 0,
      ttl,
      protocol: Protocol.ICMP,
      source: parseAddress('10.0.0.5'),
      destination: parseAddress(target),
      options: new Uint8Array(0),
    },
    payload,
  )
  const destination = parseMac('00:00:5e:00:01:00')
  return encodeEthernet({ destination, source: parseMac('02:00:00:00:00:05'), type: EtherType.IPV4, payload: packet })
}

const log = { info() {}, warn() {}, error() {} }

const eventually = (what: string, isTrue: () => boolean) => until(what, isTrue)

describe('the agent port', function () {
  this.timeout(30_000)

  before(function () {
    skipBecause(this, process.getuid?.() === 0 ? undefined : 'needs root for a TAP in a network namespace')
  })

  it('answers pings of the gateway through pkt0', async () => {
    using datapath = new Datapath()
    await using port = await AgentPort.start({ device: 'pkt0', netns: datapath.netns, log, context })
    datapath.trap(AGENT_TRAP_NEXTHOP, ping(1))
    const answer = datapath.receive()
    assert.ok(answer)
    const header = decodeTrap(answer)
    assert.deepEqual([header?.command, header?.vif, header?.vrf], [AGENT_SWITCH, 5, 2])
    const packet = decodeIpv4(answer.subarray(AGENT_HEADER_LENGTH + 14))
    assert.equal(decodeIcmp(packet!.payload)?.type, IcmpType.ECHO_REPLY)
    await eventually('counted', () => port.stats().replies === 1)
    assert.equal(port.stats().traps['trap-nexthop'], 1)
  })

  it('answers every one of a burst of 3000', async () => {
    using datapath = new Datapath()
    await using port = await AgentPort.start({ device: 'pkt0', netns: datapath.netns, log, context })
    const frames = Array.from({ length: 3000 }, (_, i) => ping(i))
    for (const frame of frames) datapath.trap(AGENT_TRAP_NEXTHOP, frame)
    const seen = new Set<number>()
    while (seen.size < frames.length) {
      const answer = datapath.receive()
      assert.ok(answer, `${seen.size} answers`)
      const packet = decodeIpv4(answer.subarray(AGENT_HEADER_LENGTH + 14))
      seen.add(decodeIcmp(packet!.payload)!.rest & 0xffff)
    }
    assert.equal(seen.size, 3000)
    await eventually('counted', () => port.stats().replies === 3000)
    const { received, invalid, sendFailures, faults } = port.stats()
    assert.deepEqual(
      { received, invalid, sendFailures, faults },
      { received: 3000, invalid: 0, sendFailures: 0, faults: 0 },
    )
  })

  it('works by the context that it was last given', async () => {
    using datapath = new Datapath()
    await using port = await AgentPort.start({ device: 'pkt0', netns: datapath.netns, log })
    datapath.trap(AGENT_TRAP_NEXTHOP, ping(1))
    await eventually('refused for want of a context', () => port.stats().silent.unknown_vrf === 1)
    port.updateContext(context)
    // The worker takes the new context with its next wake, before or after a frame that is under way.
    await eventually('answered', () => {
      datapath.trap(AGENT_TRAP_NEXTHOP, ping(2))
      return datapath.receive(20) !== undefined
    })
    port.updateContext({ ...context, vrfs: new Map() })
    await eventually('refused again', () => {
      datapath.trap(AGENT_TRAP_NEXTHOP, ping(3))
      while (datapath.receive(20) !== undefined);
      return (port.stats().silent['unknown_vrf'] ?? 0) > 1
    })
  })

  describe('asks who answers a service', () => {
    /** Frames of the agent: `ping` or `answer`. */
    const kindOf = (frame: Uint8Array) => (frame.length > AGENT_HEADER_LENGTH + 60 ? 'ping' : 'answer')
    /** What comes next; who answers has this thread, too. */
    async function next(datapath: Datapath): Promise<string> {
      let frame: Uint8Array | undefined
      await eventually('a frame comes', () => {
        frame = datapath.receive(0)
        return frame !== undefined
      })
      return kindOf(frame!)
    }
    const patient = { ...QUESTION_LIMITS, patienceMs: 120_000 }
    const answerTo = ({ vif, vrf }: Question): Injection => ({
      ...{ command: AGENT_SWITCH, vif, vrf },
      frame: new Uint8Array(20).fill(0xab),
    })

    it('and a slow one holds up no ping of the gateway, nor another service’s packets', async () => {
      using datapath = new Datapath()
      await using port = await AgentPort.start({
        device: 'pkt0',
        netns: datapath.netns,
        log,
        context,
        questions: patient,
      })
      const asked: (readonly [Question, Asker])[] = []
      const gate = Promise.withResolvers<void>()
      port.serve('dns', async (question, asker) => {
        asked.push([question, asker])
        await gate.promise
        return answerTo(question)
      })
      await eventually('the service is known', () => {
        datapath.trap(AGENT_TRAP_NEXTHOP, query(1))
        while (datapath.receive(20) !== undefined);
        return asked.length > 0
      })
      const [question, asker] = asked[0]!
      assert.deepEqual([question.service, question.vif, question.vrf], ['dns', 5, 2])
      assert.deepEqual(Buffer.from(question.frame), Buffer.from(query(1)))
      assert.deepEqual(asker.vif, context.vifs.get(5))
      // It hasn't answered, and doesn't until all these are.
      for (let i = 0; i < 200; i++) datapath.trap(AGENT_TRAP_NEXTHOP, ping(i))
      for (let i = 0; i < 200; i++) assert.equal(kindOf(datapath.receive()!), 'ping')
      assert.ok(port.stats().asks > 0)
      gate.resolve()
      assert.equal(await next(datapath), 'answer')
    })

    it('no more at once than a vif’s share, and says what it left out', async () => {
      using datapath = new Datapath()
      await using port = await AgentPort.start({
        device: 'pkt0',
        netns: datapath.netns,
        log,
        context,
        questions: patient,
      })
      const gate = Promise.withResolvers<void>()
      let asked = 0
      const end = port.serve('dns', async (question) => {
        asked++
        await gate.promise
        return question.vif === 6 ? answerTo(question) : undefined
      })
      await eventually('the service is known', () => {
        datapath.trap(AGENT_TRAP_NEXTHOP, query(1))
        return asked > 0
      })
      for (let i = 0; i < 40; i++) datapath.trap(AGENT_TRAP_NEXTHOP, query(i))
      await eventually('its share is used', () => (port.stats().silent['questions_of_vif'] ?? 0) > 0)
      assert.equal(port.stats().asks, QUESTION_LIMITS.perVif)
      // Another vif has its own.
      datapath.trap(AGENT_TRAP_NEXTHOP, query(50), { vif: 6 })
      await eventually('asked for the other', () => asked === QUESTION_LIMITS.perVif + 1)
      gate.resolve()
      assert.equal(await next(datapath), 'answer')
      await eventually('all are answered', () => port.stats().silent['unanswered'] === QUESTION_LIMITS.perVif)
      end()
      await eventually('nobody is asked any more', () => {
        datapath.trap(AGENT_TRAP_NEXTHOP, query(60))
        return (port.stats().silent['later_service'] ?? 0) > 0
      })
    })
  })

  it('asks for a neighbour once, however many packets wait for it', async () => {
    using datapath = new Datapath()
    await using port = await AgentPort.start({ device: 'pkt0', netns: datapath.netns, log, context })
    const asked: string[] = []
    port.onResolve((address) => asked.push(address))
    for (let i = 0; i < 50; i++) datapath.trap(AGENT_TRAP_RESOLVE, ping(i, '192.168.0.99'), { vrf: 0, vif: 1 })
    datapath.trap(AGENT_TRAP_RESOLVE, ping(51, '192.168.0.98'), { vrf: 0, vif: 1 })
    await eventually('both asked for', () => asked.length >= 2)
    assert.deepEqual(asked, ['192.168.0.99', '192.168.0.98'])
    assert.equal(port.stats().resolves, 2)
  })

  it('counts noise and goes on', async () => {
    using datapath = new Datapath()
    await using port = await AgentPort.start({ device: 'pkt0', netns: datapath.netns, log, context })
    datapath.raw(Buffer.alloc(20, 0xff))
    datapath.raw(Buffer.alloc(60, 0xff))
    for (let command = 2; command < 40; command++) datapath.trap(command, randomBytes(command))
    datapath.trap(AGENT_TRAP_NEXTHOP, ping(1))
    assert.ok(datapath.receive())
    await eventually('all read', () => port.stats().received === 41)
    const stats = port.stats()
    assert.equal(stats.invalid, 2)
    assert.equal(stats.faults, 0)
    assert.equal(stats.traps['unknown'], 26)
  })

  it('opens a device that was made anew', async () => {
    using datapath = new Datapath()
    await using _port = await AgentPort.start({ device: 'pkt0', netns: datapath.netns, log, context })
    datapath.removeDevice()
    await new Promise((resolve) => setTimeout(resolve, 700))
    datapath.makeDevice()
    await eventually('answered', () => {
      datapath.trap(AGENT_TRAP_NEXTHOP, ping(2))
      return datapath.receive(20) !== undefined
    })
  })

  it('leaves the device behind, and lets a second daemon read it', async () => {
    using datapath = new Datapath()
    const first = await AgentPort.start({ device: 'pkt0', netns: datapath.netns, log, context })
    await assert.rejects(AgentPort.start({ device: 'pkt0', netns: datapath.netns, log, context }), {
      code: 'DEVICE_FAILED',
    })
    await first[Symbol.asyncDispose]()
    await using _second = await AgentPort.start({ device: 'pkt0', netns: datapath.netns, log, context })
    datapath.trap(AGENT_TRAP_NEXTHOP, ping(1))
    assert.ok(datapath.receive())
  })

  it('keeps no process from ending', () => {
    using datapath = new Datapath()
    const program = `
      import { AgentPort } from '@kube-vrouter/daemon/packet/packet'
      const log = { info() {}, warn() {}, error() {} }
      await AgentPort.start({ device: 'pkt0', netns: '${datapath.netns}', log })
      setTimeout(() => process.exit(7), 200) // by then its Worker waits in the kernel`
    const outcome = spawnSync(process.execPath, ['--eval', program], { timeout: 60_000, killSignal: 'SIGKILL' })
    assert.deepEqual([outcome.status, outcome.signal], [7, null], String(outcome.stderr))
  })

  it('refuses a device that is not there', async () => {
    using datapath = new Datapath()
    await assert.rejects(AgentPort.start({ device: 'pkt7', netns: datapath.netns, log }), {
      code: 'DEVICE_FAILED',
      message: /pkt7: there is no such device/,
    })
  })
})
