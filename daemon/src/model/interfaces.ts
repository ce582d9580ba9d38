/** The interface table: fabric NIC, vhost0, pkt0, and the pods' taps with the numbers that belong to each. */
import { VIF_ID_AGENT, VIF_ID_FABRIC, VIF_ID_VHOST, VIF_MORE_ADDRESSES } from '../maps/constants.ts'
import { familyOf } from './address.ts'
import { isEqual, keepEqual, keepList } from './equal.ts'
import type { NodeFacts, Port } from './facts.ts'
import type { Ids } from './ids.ts'
import * as keys from './keys.ts'
import { metadataAddress, ROUTER_MAC } from './names.ts'
import type { NexthopTable } from './nexthops.ts'
import type { Address, FqName } from './objects.ts'
import type { Problem, Vif } from './tables.ts'
import { AGENT_FLAGS, FABRIC_FLAGS, POD_FLAGS, VHOST_FLAGS } from './vif-flags.ts'
import { FABRIC_VRF_ID, type NetworkVrf } from './vrfs.ts'

/** pkt0 belongs to no VRF. */
const NO_VRF = 65_535

/** A port with its numbers. */
export interface LocalPod {
  readonly port: Port
  readonly vrf: NetworkVrf
  readonly vif: number
  readonly label: number
  /** ENCAP nexthop of family inet. */
  readonly nexthop: number
  /** Its twin of family bridge. */
  readonly bridgeNexthop: number
  /** Index of (MAC, VRF) in the bridge table. */
  readonly bridgeIndex: number
}

export function podName(port: Port): string {
  return `Pod ${port.namespace}/${port.pod.name}`
}

export class InterfaceTable {
  #pods = new Map<string, LocalPod>()
  #vifs: readonly Vif[] = []
  readonly #podVifs = new WeakMap<LocalPod, Vif>()

  /**
   * Numbers of all ports, in the order of their creation. A port keeps its numbers while its tap is missing; one for which a
   * table is full is left out, with a problem.
   */
  pods(
    ports: readonly Port[],
    vrfs: ReadonlyMap<FqName, NetworkVrf>,
    ids: Ids,
    nexthops: NexthopTable,
    now: number,
    problems: Problem[],
  ): readonly LocalPod[] {
    const pods = new Map<string, LocalPod>()
    const macs: Macs = new Map()
    for (const port of ports) {
      const vrf = vrfs.get(port.vn)
      if (vrf === undefined) continue
      const rival = rivalOf(port, vrf, macs)
      if (rival !== undefined) {
        problems.push({
          object: podName(port),
          message: `MAC ${port.mac} is that of ${podName(rival.port)}`,
          subject: { kind: 'port', uuid: port.uuid },
        })
        continue
      }
      const known = this.#pods.get(port.uuid)
      // One that was there in the last call has its numbers still: they are given back only when it isn't.
      const isSame = known?.vrf === vrf && known.port.mac === port.mac
      const pod = isSame ? withPort(known, port) : this.#make(port, vrf, ids, nexthops, now, problems)
      if (pod === undefined) continue
      pods.set(port.uuid, pod)
      takeMac(pod, macs)
    }
    for (const [uuid, { nexthop, bridgeNexthop }] of this.#pods) {
      const now = pods.get(uuid)
      if (now?.nexthop !== nexthop) nexthops.letGo(nexthop)
      if (now?.bridgeNexthop !== bridgeNexthop) nexthops.letGo(bridgeNexthop)
    }
    this.#pods = pods
    return [...pods.values()]
  }

  #make(
    port: Port,
    vrf: NetworkVrf,
    ids: Ids,
    nexthops: NexthopTable,
    now: number,
    problems: Problem[],
  ): LocalPod | undefined {
    const vif = ids.allocate('vif', keys.vifKey(port.uuid), now)
    const label = ids.allocate('label', keys.podLabel(port.uuid), now)
    const bridgeIndex = ids.allocate('bridge', keys.bridgeKey(vrf.name, port.mac), now)
    const encap = {
      type: 'encap',
      vif: vif ?? 0,
      vrf: vrf.id,
      dstMac: port.mac,
      srcMac: ROUTER_MAC,
      policy: true,
      role: 'interface',
    } as const
    const define = (key: string, family: 'inet' | 'bridge') =>
      vif === undefined ? undefined : nexthops.define(key, { ...encap, family }, now)
    const nexthop = define(keys.podNexthop(port.uuid), 'inet')
    const bridgeNexthop = define(keys.podBridgeNexthop(port.uuid), 'bridge')
    if (
      vif === undefined ||
      label === undefined ||
      bridgeIndex === undefined ||
      nexthop === undefined ||
      bridgeNexthop === undefined
    ) {
      const kind =
        vif === undefined ? 'vif' : label === undefined ? 'label' : bridgeIndex === undefined ? 'bridge' : 'nexthop'
      problems.push({
        object: podName(port),
        message: `no ${kind} number is left (limit ${ids.limits[kind]})`,
        subject: { kind: 'port', uuid: port.uuid },
        table: kind,
      })
      return undefined
    }
    nexthops.hold(nexthop)
    nexthops.hold(bridgeNexthop)
    return { port, vrf, vif, label, nexthop, bridgeNexthop, bridgeIndex }
  }

  /** The vif table, sorted by id: the three of the node, and every pod whose tap is there. */
  vifs(
    facts: NodeFacts,
    pods: readonly LocalPod[],
    vhost: { readonly nexthop: number; readonly label: number | undefined },
    flowsPerVif: number,
  ): readonly Vif[] {
    const { underlay } = facts
    const common = { vrf: FABRIC_VRF_ID, mtu: underlay.mtu, maxFlows: 0 }
    const vifs: Vif[] = [
      {
        ...common,
        id: VIF_ID_FABRIC,
        type: 'physical',
        name: underlay.name,
        ifindex: underlay.ifindex,
        flowNexthop: 0,
        mac: underlay.mac,
        flags: FABRIC_FLAGS,
      },
      {
        ...common,
        id: VIF_ID_VHOST,
        type: 'host',
        name: facts.vhost.name,
        ifindex: facts.vhost.ifindex,
        flowNexthop: vhost.nexthop,
        mac: underlay.mac,
        ip4: underlay.address,
        ...(underlay.address6 !== undefined && { ip6: underlay.address6 }),
        label: vhost.label,
        flags: VHOST_FLAGS,
      },
      {
        ...common,
        id: VIF_ID_AGENT,
        type: 'agent',
        name: facts.agent.name,
        ifindex: facts.agent.ifindex,
        vrf: NO_VRF,
        flowNexthop: 0,
        mac: ROUTER_MAC,
        flags: AGENT_FLAGS,
      },
    ]
    // Their numbers are the lowest.
    const all = vifs.map((vif) => keepEqual(this.#vifs[vif.id], vif))
    for (const pod of pods) {
      if (pod.port.ifindex !== undefined) all.push(this.#podVif(pod, pod.port.ifindex, flowsPerVif))
    }
    all.sort((a, b) => a.id - b.id)
    this.#vifs = keepList(this.#vifs, all)
    return this.#vifs
  }

  /** The same one for the same pod. */
  #podVif(pod: LocalPod, ifindex: number, maxFlows: number): Vif {
    const before = this.#podVifs.get(pod)
    if (before?.maxFlows === maxFlows) return before
    const { port, vrf, vif: id, label, nexthop } = pod
    const more = moreAddresses(port.addresses)
    const vif: Vif = {
      id,
      type: 'virtual',
      name: port.tap,
      ifindex,
      vrf: vrf.id,
      flowNexthop: nexthop,
      mtu: port.mtu,
      mac: ROUTER_MAC,
      peerMac: port.mac,
      ip4: firstOf(port.addresses, 4),
      ip6: firstOf(port.addresses, 6),
      ...(more.length > 0 && { moreAddresses: more }),
      label,
      flags: more.length > 0 ? POD_FLAGS | VIF_MORE_ADDRESSES : POD_FLAGS,
      maxFlows,
      port: port.uuid,
      metadata: metadataAddress(id),
    }
    this.#podVifs.set(pod, vif)
    return vif
  }
}

/** A pod of the last call with the port of this one. */
function withPort(known: LocalPod, port: Port): LocalPod {
  return known.port === port || isEqual(known.port, port) ? known : { ...known, port }
}

/** By MAC; pods of several VRFs with one MAC by VRF. */
type Macs = Map<string, LocalPod | Map<FqName, LocalPod>>

function rivalOf({ mac }: Port, vrf: NetworkVrf, macs: Macs): LocalPod | undefined {
  const owner = macs.get(mac)
  if (owner instanceof Map) return owner.get(vrf.name)
  return owner?.vrf === vrf ? owner : undefined
}

function takeMac(pod: LocalPod, macs: Macs): void {
  const { mac } = pod.port
  const owner = macs.get(mac)
  if (owner === undefined) macs.set(mac, pod)
  else if (owner instanceof Map) owner.set(pod.vrf.name, pod)
  else
    macs.set(
      mac,
      new Map([
        [owner.vrf.name, owner],
        [pod.vrf.name, pod],
      ]),
    )
}

/** Those beside the first of each family. */
export function moreAddresses(addresses: readonly Address[]): readonly Address[] {
  const firsts = [firstOf(addresses, 4), firstOf(addresses, 6)]
  return addresses.filter((address) => !firsts.includes(address))
}

export function firstOf(addresses: readonly Address[], family: 4 | 6): Address | undefined {
  return addresses.find((address) => familyOf(address) === family)
}
