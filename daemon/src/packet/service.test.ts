import assert from 'node:assert/strict'
import { parseAddress, parseMac } from '@kube-vrouter/linux/address'
import { AGENT_TRAP_L3_PROTOCOLS, AGENT_TRAP_NEXTHOP } from '../maps/constants.ts'
import { compileContext, type PacketContext } from './context.ts'
import { EtherType, encodeEthernet } from './ethernet.ts'
import { encodeIpv4, Protocol } from './ipv4.ts'
import { encodeIpv6 } from './ipv6.ts'
import { respond } from './respond.ts'
import { type Service, serviceOf } from './service.ts'

const mac = parseMac('00:00:5e:00:01:00')

function udp(port: number): Uint8Array {
  const bytes = new Uint8Array(12)
  const view = new DataView(bytes.buffer)
  view.setUint16(0, 4000)
  view.setUint16(2, port)
  view.setUint16(4, bytes.length)
  return bytes
}

function frame4(
  port: number,
  fields: {
    readonly target?: string
    readonly offset?: number
    readonly more?: boolean
    readonly protocol?: number
  } = {},
) {
  const header = {
    ...{ tos: 0, id: 1, dontFragment: false, ttl: 64, options: new Uint8Array(0), source: parseAddress('10.0.0.5') },
    moreFragments: fields.more ?? false,
    fragmentOffset: fields.offset ?? 0,
    protocol: fields.protocol ?? Protocol.UDP,
    destination: parseAddress(fields.target ?? '10.0.0.2'),
  }
  return encodeEthernet({ destination: mac, source: mac, type: EtherType.IPV4, payload: encodeIpv4(header, udp(port)) })
}

function frame6(port: number, nextHeader: number = Protocol.UDP) {
  const header = { trafficClass: 0, flowLabel: 0, nextHeader, hopLimit: 64 }
  const addresses = { source: parseAddress('fd00::5'), destination: parseAddress('fd00::2') }
  return encodeEthernet({
    ...{ destination: mac, source: mac, type: EtherType.IPV6 },
    payload: encodeIpv6({ ...header, ...addresses }, udp(port)),
  })
}

const trap = (command: number, frame: Uint8Array) => ({
  ...{ vif: 5, vrf: 2, command, param: 0, param1: 0, param2: 0, param3: 0, param4: 0, param5: 0, frame },
})

function outcome(command: number, frame: Uint8Array, ...services: Service[]): string {
  const context: PacketContext = {
    routerMac: '00:00:5e:00:01:00',
    vrfs: new Map([[2, { own: ['10.0.0.2', 'fd00::2'], subnets: [] }]]),
    vifs: new Map(),
    services,
  }
  const said = respond(trap(command, frame), compileContext(context))
  return said.kind === 'ask' ? `ask ${said.service}` : said.kind === 'silent' ? said.reason : said.kind
}

describe('services of the router', () => {
  it('are known by their ports, and get whole datagrams alone', () => {
    assert.deepEqual(
      [53, 67, 547, 80].map((port) => serviceOf(frame4(port))),
      ['dns', 'dhcp4', undefined, undefined],
    )
    assert.deepEqual(
      [53, 67, 547, 80].map((port) => serviceOf(frame6(port))),
      ['dns', undefined, 'dhcp6', undefined],
    )
    const others = [frame4(53, { more: true }), frame4(53, { offset: 8 }), frame4(53, { protocol: Protocol.TCP })]
    for (const frame of [...others, frame6(53, Protocol.TCP), frame4(53).subarray(0, 40), new Uint8Array(3)])
      assert.equal(serviceOf(frame), undefined)
  })

  it('are asked where somebody answers, about what is for the router', () => {
    assert.equal(outcome(AGENT_TRAP_NEXTHOP, frame4(53), 'dns'), 'ask dns')
    assert.equal(outcome(AGENT_TRAP_NEXTHOP, frame6(53), 'dns'), 'ask dns')
    assert.equal(outcome(AGENT_TRAP_NEXTHOP, frame4(53)), 'later_service')
    assert.equal(outcome(AGENT_TRAP_NEXTHOP, frame4(53), 'dhcp4'), 'later_service')
    assert.equal(outcome(AGENT_TRAP_NEXTHOP, frame4(53, { target: '10.0.0.9' }), 'dns'), 'not_own_address')
    const broadcast = frame4(67, { target: '255.255.255.255' })
    assert.equal(outcome(AGENT_TRAP_L3_PROTOCOLS, broadcast, 'dhcp4'), 'ask dhcp4')
    assert.equal(outcome(AGENT_TRAP_L3_PROTOCOLS, broadcast), 'not_handled')
    assert.equal(outcome(AGENT_TRAP_L3_PROTOCOLS, frame4(80), 'dhcp4', 'dns'), 'not_handled')
  })
})
