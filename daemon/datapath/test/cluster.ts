/**
 * Two vRouters on one wire, with pods that are network namespaces: real traffic through real devices, the tables written by hand.
 * VRF 0 is the underlay, VRFs from 2 are networks. Node n has underlay address 192.0.2.(n+1) and labels from 16.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { createNamed, deleteNamed, namedPath } from '@kube-vrouter/linux/namespace'
import { macBytes } from '../../src/maps/addresses.ts'
import * as c from '../../src/maps/constants.ts'
import { AGENT_MAC, ROUTER_MAC, TestNode } from './node.ts'

export const OVERHEAD = 32
export const UNDERLAY_MTU = 1500
const VHOST_LABEL = 16

const PROXY = c.ROUTE_ARP_PROXY
const REMOTE = c.ROUTE_LABEL_VALID | c.ROUTE_ARP_PROXY

export interface Pod {
  readonly name: string
  readonly path: string
  readonly node: ClusterNode
  readonly vrf: number
  readonly ip4: string
  readonly ip6: string
  readonly mac: string
  readonly vif: number
  readonly nh: number
  readonly label: number
  readonly tap: string
}

export class ClusterNode extends TestNode {
  readonly number: number
  readonly underlay: string
  readonly mac: string
  readonly pods: Pod[] = []
  nextVif = 3
  nextNh = 20
  nextLabel = VHOST_LABEL + 1
  fabric = 0
  vhost = 0

  constructor(number: number) {
    super()
    this.number = number
    this.underlay = `192.0.2.${number + 1}`
    this.mac = `0e:00:00:00:00:0${number + 1}`
  }
}

export class Cluster implements Disposable {
  readonly nodes: [ClusterNode, ClusterNode]
  readonly #undo = new DisposableStack()

  constructor() {
    const undo = this.#undo
    try {
      this.nodes = [undo.use(new ClusterNode(0)), undo.use(new ClusterNode(1))]
      const [a, b] = this.nodes
      a.ip(`link add eth0 type veth peer name eth0 netns ${b.name}`)
      for (const node of this.nodes) this.#start(node)
    } catch (error) {
      undo.dispose()
      throw error
    }
  }

  [Symbol.dispose](): void {
    this.#undo.dispose()
  }

  #start(node: ClusterNode): void {
    const peer = this.nodes[1 - node.number]!
    node.ip('link set lo up')
    node.ip(`link set eth0 address ${node.mac} mtu ${UNDERLAY_MTU} up`)
    node.ip('tuntap add dev vhost0 mode tap')
    node.ip(`link set vhost0 address ${node.mac} mtu ${UNDERLAY_MTU} up`)
    node.ip(`addr add ${node.underlay}/24 dev vhost0`)
    node.ip(`addr add 2001:db8:ff::${node.number + 1}/64 dev vhost0 nodad`)
    node.ip(`neigh add ${peer.underlay} lladdr ${peer.mac} dev vhost0`)
    node.run('sysctl', '-qw', 'net.ipv4.conf.all.rp_filter=0', 'net.ipv4.conf.vhost0.rp_filter=0')
    node.fabric = node.ifindex('eth0')
    node.vhost = node.ifindex('vhost0')
    node.setGlobals({
      underlayIp: addressNumber(node.underlay),
      underlayMtu: UNDERLAY_MTU,
      fabricIfindex: node.fabric,
      vhostIfindex: node.vhost,
      vhostMac: macBytes(node.mac),
    })
    node.setVrf(0)
    node.setPeer(peer.underlay, `2001:db8:ff::${peer.number + 1}`)
    node.setVif({ id: 0, ifindex: node.fabric, type: c.VIF_PHYSICAL, mac: node.mac, name: 'eth0' })
    node.setVif({
      id: 1,
      ifindex: node.vhost,
      type: c.VIF_HOST,
      mac: node.mac,
      ip4: node.underlay,
      nhId: 10,
      name: 'vhost0',
    })
    node.setNexthop(10, { type: c.NH_RCV, oif: 1, ifindex: node.vhost, keyNh: 10 })
    node.setNexthop(11, {
      type: c.NH_TUNNEL,
      flags: c.NH_FLAG_VALID | c.NH_FLAG_TUNNEL_UDP_MPLS,
      sip: node.underlay,
      dip: peer.underlay,
      to: peer.mac,
      from: node.mac,
      oif: 0,
      ifindex: node.fabric,
      mtu: UNDERLAY_MTU - OVERHEAD,
    })
    node.setNexthop(12, {
      type: c.NH_ENCAP,
      to: peer.mac,
      from: node.mac,
      oif: 0,
      ifindex: node.fabric,
      oifType: c.VIF_PHYSICAL,
    })
    node.setNexthop(13, { type: c.NH_L2_RCV })
    node.setRoute(0, `${node.underlay}/32`, 10)
    node.setRoute(0, `2001:db8:ff::${node.number + 1}/128`, 10)
    node.setLabel(VHOST_LABEL, 10)
    node.setRoute(0, '0.0.0.0/0', 12)
    node.attach('fabric', node.fabric)
    node.attach('vhost', node.vhost)
  }

  /** A pod `host`.in VRF `vrf`: 10.<vrf>.0.host/24 and 2001:db8:<vrf>::host/64, known to both nodes. */
  addPod(nodeNumber: 0 | 1, vrf: number, host: number): Pod {
    const node = this.nodes[nodeNumber]
    const peer = this.nodes[1 - nodeNumber]!
    const name = `kv-${randomBytes(4).toString('hex')}`
    const mac = `02:00:00:00:0${vrf}:${host.toString(16).padStart(2, '0')}`
    const tap = `tap${node.nextVif}`
    const ip4 = `10.${vrf}.0.${host}`
    const ip6 = `2001:db8:${vrf}::${host.toString(16)}`
    this.#undo.use(createNamed(name))
    this.#undo.defer(() => deleteNamed(name))
    node.ip(
      `link add ${tap} mtu ${UNDERLAY_MTU - OVERHEAD} type veth peer name eth0 mtu ${UNDERLAY_MTU - OVERHEAD} netns ${name}`,
    )
    node.ip(`link set ${tap} address ${ROUTER_MAC} up`)
    const pod: Pod = {
      name,
      path: namedPath(name),
      node,
      vrf,
      ip4,
      ip6,
      mac,
      vif: node.nextVif++,
      nh: node.nextNh,
      label: node.nextLabel++,
      tap,
    }
    node.nextNh += 2
    node.pods.push(pod)
    podIp(pod, `link set lo up`)
    podIp(pod, `link set eth0 address ${mac} up`)
    podIp(pod, `addr add ${ip4}/24 dev eth0`)
    podIp(pod, `addr add ${ip6}/64 dev eth0 nodad`)
    podIp(pod, `route add default via 10.${vrf}.0.1`)
    podIp(pod, `-6 route add default via 2001:db8:${vrf}::1 dev eth0`)

    const mtu = UNDERLAY_MTU - OVERHEAD
    const ifindex = node.ifindex(tap)
    node.setVif({
      id: pod.vif,
      ifindex,
      vrf,
      nhId: pod.nh,
      label: pod.label,
      peerMac: mac,
      ip4,
      ip6,
      name: tap,
      mtu: UNDERLAY_MTU - OVERHEAD,
    })
    const encap = { type: c.NH_ENCAP, vrf, oif: pod.vif, ifindex, keyNh: pod.nh, to: mac, oifType: c.VIF_VIRTUAL, mtu }
    node.setNexthop(pod.nh, encap)
    node.setNexthop(pod.nh + 1, { ...encap, family: c.NH_AF_BRIDGE })
    for (const each of this.nodes) {
      each.setVrf(vrf)
      each.setBridge(vrf, ROUTER_MAC, 13)
      each.setRoute(vrf, `10.${vrf}.0.1/32`, c.NH_ID_DISCARD, { flags: PROXY })
      each.setRoute(vrf, `2001:db8:${vrf}::1/128`, c.NH_ID_DISCARD, { flags: PROXY })
      const other = this.nodes[1 - each.number]!
      each.setRoute(vrf, `${each.underlay}/32`, 10, { flags: PROXY })
      each.setRoute(vrf, `${other.underlay}/32`, 11, { label: VHOST_LABEL, flags: REMOTE })
    }
    node.setBridge(vrf, mac, pod.nh + 1)
    node.setLabel(pod.label, pod.nh)
    node.setRoute(vrf, `${ip4}/32`, pod.nh, { mac, flags: PROXY })
    node.setRoute(vrf, `${ip6}/128`, pod.nh, { mac, flags: PROXY })
    node.setRoute(0, `${ip4}/32`, pod.nh, { flags: PROXY })
    node.setRoute(0, `${ip6}/128`, pod.nh, { flags: PROXY })
    peer.setRoute(vrf, `${ip4}/32`, 11, { label: pod.label, flags: REMOTE })
    peer.setRoute(vrf, `${ip6}/128`, 11, { label: pod.label, flags: REMOTE })
    peer.setRoute(0, `${ip4}/32`, 11, { label: pod.label, flags: REMOTE })
    node.ip(`route replace ${ip4}/32 dev vhost0 mtu ${mtu}`)
    node.ip(`-6 route replace ${ip6}/128 dev vhost0 mtu ${mtu}`)
    peer.ip(`route replace ${ip4}/32 dev vhost0 mtu ${mtu}`)
    node.attach('tap', ifindex)
    return pod
  }
}

export function podIp(pod: Pod, args: string): string {
  return podRun(pod, 'ip', ...args.split(' '))
}

export function podRun(pod: Pod, command: string, ...args: string[]): string {
  return execFileSync('nsenter', [`--net=${pod.path}`, command, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  })
}

export function podStart(pod: { readonly path: string }, command: string, ...args: string[]): ChildProcess {
  return spawn('nsenter', [`--net=${pod.path}`, command, ...args], { stdio: ['ignore', 'pipe', 'inherit'] })
}

function addressNumber(text: string): number {
  return text.split('.').reduce((sum, part) => (sum * 256 + Number(part)) >>> 0, 0)
}

export { AGENT_MAC }
