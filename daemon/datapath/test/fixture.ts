/**
 * The node that most tests of this folder run on: three pods, a host, a fabric, an agent, one remote node.
 *
 *   VRF 2: pod A (vif 3), pod B (vif 4), remote pod R behind tunnel NH 30 with label 100, remote block 10.2.1.0/24 with VRF label 200
 *   VRF 3: pod C (vif 5), same subnet as VRF 2
 *   VRF 0: the underlay 192.0.2.0/24, node .1, the other nodes .2 and .3
 */
import { strict as assert } from 'node:assert'
import type { TestRunResult } from '@kube-vrouter/linux/bpf/syscall'
import { decodeSkbContext } from '@kube-vrouter/linux/bpf/syscall'
import { ip6Bytes, macBytes } from '../../src/maps/addresses.ts'
import * as c from '../../src/maps/constants.ts'
import { reasonsSeen } from '../../src/maps/drops.ts'
import { type FlowRecord, flowByIndex, flowCounters } from '../../src/maps/flows.ts'
import { type NodeOptions, type Program, ROUTER_MAC, TestNode } from './node.ts'

export { ROUTER_MAC } from './node.ts'

export const REDIRECT = 7
export const DROPPED = 2
export const PASSED = 0

export const A = { ip4: '10.2.0.11', ip6: '2001:db8:2::11', mac: '02:00:00:00:02:11', vif: 3, nh: 20, label: 17 }
export const B = { ip4: '10.2.0.12', ip6: '2001:db8:2::12', mac: '02:00:00:00:02:12', vif: 4, nh: 22, label: 18 }
export const C = { ip4: '10.2.0.11', ip6: '2001:db8:2::11', mac: '02:00:00:00:03:11', vif: 5, nh: 24, label: 19 }
export const REMOTE = { ip4: '10.2.1.13', ip6: '2001:db8:2:1::13', label: 100, vrfLabel: 200 }
export const GATEWAY = { ip4: '10.2.0.1', ip6: '2001:db8:2::1' }
export const HOST = { ip4: '192.0.2.1', ip6: '2001:db8:ff::1', mac: '0e:00:00:00:00:01', label: 16 }
export const OUTSIDE = { ip4: '198.51.100.9', ip6: '2001:db8:99::9' }
export const PEER = { ip4: '192.0.2.2', ip6: '2001:db8:ff::2', mac: '0e:00:00:00:00:02' }
/** Another node, to which TUNNEL_2 leads. */
export const PEER_2 = { ip4: '192.0.2.3', ip6: '2001:db8:ff::3' }
export const VRF_LABEL = 32
export const NH = {
  RCV: 10,
  AGENT: 11,
  L2_RCV: 12,
  RESOLVE: 13,
  UNDERLAY: 14,
  TUNNEL: 30,
  TUNNEL_2: 31,
  ECMP: 32,
  VRF2: 33,
  INVALID: 34,
  LOCAL_ECMP: 35,
  SNAT: 36,
} as const
export const TUNNEL_MTU = 1468

const PROXY = c.ROUTE_ARP_PROXY
const VIA_TUNNEL = c.ROUTE_LABEL_VALID | c.ROUTE_ARP_PROXY

export type Workload = typeof A

export class Fixture extends TestNode {
  readonly devices: { fabric: number; vhost: number; agent: number; [vif: number]: number }

  constructor(options: NodeOptions = {}) {
    super(options)
    try {
      const workloads = [A, B, C]
      const [fabric, vhost, agent, ...taps] = this.devicesWith(
        ['fab', 'vhost', 'agent', ...workloads.map(({ vif }) => `tap${vif}`)],
        [
          'link set lo up',
          `link set fab address ${HOST.mac}`,
          `link set vhost address ${HOST.mac}`,
          ...workloads.map(({ vif }) => `link set tap${vif} address ${ROUTER_MAC}`),
        ],
      )
      this.devices = { fabric: fabric!, vhost: vhost!, agent: agent! }
      workloads.forEach(({ vif }, i) => {
        this.devices[vif] = taps[i]!
      })
      this.#base()
      for (const [workload, vrf] of [
        [A, 2],
        [B, 2],
        [C, 3],
      ] as const)
        this.#workload(workload, vrf)
      this.#remote()
    } catch (error) {
      this[Symbol.dispose]()
      throw error
    }
  }

  #base(): void {
    const { fabric, vhost, agent } = this.devices
    this.setGlobals({
      underlayIp: 0xc0000201,
      fabricIfindex: fabric,
      vhostIfindex: vhost,
      agentIfindex: agent,
      vhostMac: macBytes(HOST.mac),
    })
    for (const vrf of [0, 2, 3]) this.setVrf(vrf)
    this.setVrf(1, 0)
    this.setVif({ id: 0, ifindex: fabric, type: c.VIF_PHYSICAL, mac: HOST.mac, name: 'fab' })
    this.setVif({ id: 1, ifindex: vhost, type: c.VIF_HOST, mac: HOST.mac, ip4: HOST.ip4, nhId: NH.RCV, name: 'vhost' })
    this.setVif({ id: 2, ifindex: agent, type: c.VIF_AGENT, name: 'agent' })
    this.setNexthop(NH.RCV, { type: c.NH_RCV, oif: 1, ifindex: vhost, keyNh: NH.RCV })
    this.setNexthop(NH.AGENT, { type: c.NH_ENCAP, oif: 2, ifindex: agent, oifType: c.VIF_AGENT, to: ROUTER_MAC })
    this.setNexthop(NH.L2_RCV, { type: c.NH_L2_RCV })
    this.setNexthop(NH.RESOLVE, { type: c.NH_RESOLVE })
    this.setNexthop(NH.UNDERLAY, {
      type: c.NH_ENCAP,
      to: PEER.mac,
      from: HOST.mac,
      ifindex: fabric,
      oifType: c.VIF_PHYSICAL,
    })
    this.setLabel(HOST.label, NH.RCV)
    this.setRoute(0, `${HOST.ip4}/32`, NH.RCV)
    this.setRoute(0, `${PEER.ip4}/32`, NH.UNDERLAY)
    this.setRoute(0, '192.0.2.0/24', NH.RESOLVE)
    this.setRoute(0, '0.0.0.0/0', NH.UNDERLAY)
  }

  #workload(workload: Workload, vrf: number): void {
    const { vif, nh, mac, ip4, ip6, label } = workload
    const ifindex = this.devices[vif]!
    this.setVif({ id: vif, ifindex, vrf, nhId: nh, label, mac: ROUTER_MAC, peerMac: mac, ip4, ip6, name: `tap${vif}` })
    const encap = { type: c.NH_ENCAP, vrf, oif: vif, ifindex, keyNh: nh, to: mac, oifType: c.VIF_VIRTUAL }
    this.setNexthop(nh, encap)
    this.setNexthop(nh + 1, { ...encap, family: c.NH_AF_BRIDGE })
    this.setLabel(label, nh)
    this.setBridge(vrf, ROUTER_MAC, NH.L2_RCV)
    this.setBridge(vrf, mac, nh + 1)
    this.setRoute(vrf, `${ip4}/32`, nh, { mac, flags: PROXY })
    this.setRoute(vrf, `${ip6}/128`, nh, { mac, flags: PROXY })
    this.setRoute(vrf, '10.2.0.0/24', c.NH_ID_DISCARD, { flags: c.ROUTE_ARP_FLOOD })
    this.setRoute(vrf, '2001:db8:2::/64', c.NH_ID_DISCARD, { flags: c.ROUTE_ARP_FLOOD })
    this.setRoute(vrf, `${GATEWAY.ip4}/32`, NH.AGENT, { flags: PROXY })
    this.setRoute(vrf, `${GATEWAY.ip6}/128`, NH.AGENT, { flags: PROXY })
    this.setRoute(vrf, `${HOST.ip4}/32`, NH.RCV, { flags: PROXY })
  }

  #remote(): void {
    const tunnel = {
      type: c.NH_TUNNEL,
      flags: c.NH_FLAG_VALID | c.NH_FLAG_TUNNEL_UDP_MPLS,
      sip: HOST.ip4,
      to: PEER.mac,
      from: HOST.mac,
      ifindex: this.devices.fabric,
      mtu: TUNNEL_MTU,
    }
    this.setNexthop(NH.TUNNEL, { ...tunnel, dip: PEER.ip4 })
    this.setNexthop(NH.TUNNEL_2, { ...tunnel, dip: PEER_2.ip4 })
    this.setPeer(PEER.ip4, PEER.ip6)
    this.setPeer(PEER_2.ip4, PEER_2.ip6)
    this.setNexthop(NH.VRF2, { type: c.NH_VRF_TRANSLATE, vrf: 2 })
    this.setNexthop(NH.INVALID, { type: c.NH_ENCAP, flags: 0 })
    this.setLabel(VRF_LABEL, NH.VRF2)
    this.setRoute(2, `${REMOTE.ip4}/32`, NH.TUNNEL, { label: REMOTE.label, flags: VIA_TUNNEL })
    this.setRoute(2, `${REMOTE.ip6}/128`, NH.TUNNEL, { label: REMOTE.label, flags: VIA_TUNNEL })
    this.setRoute(2, '10.2.1.0/24', NH.TUNNEL, { label: REMOTE.vrfLabel, flags: VIA_TUNNEL })
    this.setRoute(2, '2001:db8:2:1::/64', NH.TUNNEL, { label: REMOTE.vrfLabel, flags: VIA_TUNNEL })
    this.setRoute(0, `${A.ip4}/32`, A.nh, { flags: PROXY })
    this.setRoute(0, `${A.ip6}/128`, A.nh, { flags: PROXY })
    this.setRoute(0, '10.2.1.0/24', NH.TUNNEL, { label: REMOTE.vrfLabel, flags: VIA_TUNNEL })
  }

  /** SNAT for VRF 2 and 3, with `ports` from 61000 on. The outside is OUTSIDE, behind the gateway PEER; IPv6 is the kernel's to route. */
  enableSnat(ports = 4536): void {
    this.setGlobals({ snatPort: 61000, snatPorts: ports, hostNh: NH.RCV, underlayIp6: ip6Bytes(HOST.ip6) })
    this.setNexthop(NH.SNAT, { type: c.NH_VRF_TRANSLATE, flags: (c.NH_FLAG_VALID | c.NH_FLAG_SNAT) >>> 0, vrf: 0 })
    for (const vrf of [2, 3]) {
      this.setRoute(vrf, '0.0.0.0/0', NH.SNAT)
      this.setRoute(vrf, '::/0', NH.SNAT)
    }
  }

  // ---- sending

  fromPod(workload: Workload, frame: Uint8Array, options?: Parameters<TestNode['send']>[3]): Sent {
    return sent(this.send('tap', this.devices[workload.vif]!, frame, options))
  }

  fromFabric(frame: Uint8Array, options?: Parameters<TestNode['send']>[3]): Sent {
    return sent(this.send('fabric', this.devices.fabric, frame, options))
  }

  /** By a device that isn't the vRouter's. */
  fromExit(ifindex: number, frame: Uint8Array): Sent {
    return sent(this.send('outside', ifindex, frame))
  }

  fromHost(frame: Uint8Array, options?: Parameters<TestNode['send']>[3]): Sent {
    return sent(this.send('vhost', this.devices.vhost, frame, options))
  }

  fromAgent(frame: Uint8Array): Sent {
    return sent(this.send('agent', this.devices.agent, frame))
  }

  // ---- what was counted

  /** Drops since the start, by reason: of the node, or of one vif. */
  drops(vif?: number): Map<number, number> {
    const stats = vif === undefined ? this.maps.dropStats.get(0)! : this.maps.vifDropStats.get(vif)!
    return new Map([...reasonsSeen(stats)].map(([reason, count]) => [reason, Number(count)]))
  }

  totalDrops(): number {
    return [...this.drops().values()].reduce((sum, count) => sum + count, 0)
  }

  vrfCounters(vrf: number): Record<string, number> {
    const stats = this.maps.vrfStats.get(vrf)!
    return Object.fromEntries(
      Object.entries(stats).flatMap(([name, count]) => (count > 0n ? [[name, Number(count)]] : [])),
    )
  }

  vifCounters(vif: number): Record<string, number> {
    const stats = this.maps.vifStats.get(vif)!
    return Object.fromEntries(
      Object.entries(stats).flatMap(([name, count]) => (count > 0n ? [[name, Number(count)]] : [])),
    )
  }

  /** Sends by `send` and checks that it was dropped for `reason`, counted once for the node and once for the vif. */
  assertDrop(reason: number, vif: number, send: () => Sent): void {
    const before = { node: this.drops(), vif: this.drops(vif) }
    const result = send()
    const after = { node: this.drops(), vif: this.drops(vif) }
    assert.deepEqual(
      difference(before.node, after.node),
      { [reason]: 1 },
      `drop reasons of the node, verdict ${result.verdict}`,
    )
    assert.deepEqual(difference(before.vif, after.vif), { [reason]: 1 }, 'drop reasons of the vif')
    assert.equal(result.verdict, DROPPED)
  }

  /** Sends by `send` and checks that it waits: it went nowhere, and nothing was lost. */
  assertHeld(send: () => Sent): void {
    const before = [this.waiting(), this.totalDrops()]
    assert.equal(send().verdict, DROPPED)
    assert.deepEqual([this.waiting(), this.totalDrops()], [before[0]! + 1, before[1]])
  }

  // ---- flows

  flows(): FlowRecord[] {
    const records: FlowRecord[] = []
    for (let index = 0; index < flowCounters(this.maps.flows).next; index++) {
      const record = flowByIndex(this.maps.flows, index)
      if (record) records.push(record)
    }
    return records
  }
}

export function difference(before: Map<number, number>, after: Map<number, number>): Record<number, number> {
  const result: Record<number, number> = {}
  for (const [reason, count] of after)
    if (count !== (before.get(reason) ?? 0)) result[reason] = count - (before.get(reason) ?? 0)
  return result
}

export interface Sent {
  readonly verdict: number
  readonly frame: Buffer
  readonly durationNs: number
  readonly context: ReturnType<typeof decodeSkbContext>
}

function sent(result: TestRunResult): Sent {
  return {
    verdict: result.retval,
    frame: Buffer.from(result.dataOut),
    durationNs: result.durationNs,
    context: decodeSkbContext(result.contextOut),
  }
}

/** Frames as hex, so that a difference shows. */
export function assertFrame(sent: Sent, expected: Uint8Array, verdict = REDIRECT): void {
  assert.equal(sent.frame.toString('hex'), Buffer.from(expected).toString('hex'))
  assert.equal(sent.verdict, verdict)
}

export type { Program }
