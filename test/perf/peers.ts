/**
 * What ours is measured against, each made by hand from the kernel's own parts: what other CNIs build, without their control planes; and the two
 * bounds, a redirect that looks nothing up and the bare underlay.
 */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { ip4Number } from '@kube-vrouter/daemon/maps/addresses'
import { linkCreateTcx, TcxAttach } from '@kube-vrouter/linux/bpf/link'
import { BpfObject } from '@kube-vrouter/linux/bpf/object'
import { close } from '@kube-vrouter/linux/ffi'
import { withNamespace } from '@kube-vrouter/linux/namespace'
import { endpoint, ip, macOf, Namespaces, namespacePath, type Topology } from './topology.ts'

/** Two pods on one node, routed by the node: /32 addresses, the node's stack in between, neighbours static (the Calico shape). */
export function routedVeth(): Topology {
  using undo = new DisposableStack()
  const namespaces = undo.use(new Namespaces())
  const node = namespaces.add('node')
  const pods = [1, 2].map((number) => {
    const pod = namespaces.add(`pod${number}`)
    const address = `10.1.1.${number}`
    ip(pod, `link add eth0 type veth peer name cali${number} netns ${node}`)
    ip(pod, 'link set eth0 up')
    ip(node, `link set cali${number} up`)
    ip(pod, `addr add ${address}/32 dev eth0`)
    ip(pod, `neigh add 169.254.1.1 lladdr ${macOf(node, `cali${number}`)} dev eth0 nud permanent`)
    ip(pod, 'route add 169.254.1.1 dev eth0 scope link')
    ip(pod, 'route add default via 169.254.1.1 dev eth0')
    ip(node, `route add ${address} dev cali${number} scope link`)
    ip(node, `neigh add ${address} lladdr ${macOf(pod, 'eth0')} dev cali${number} nud permanent`)
    return endpoint(pod, address)
  })
  const owner = undo.move()
  return {
    name: 'routed veth',
    sameNode: { client: pods[0]!, server: pods[1]! },
    [Symbol.dispose]: () => owner.dispose(),
  }
}

/** Two pods on one node, each packet sent on by bpf_redirect_peer to the other one, unseen: the upper bound of any such datapath. */
export function redirectPeer(object: string): Topology {
  using undo = new DisposableStack()
  const namespaces = undo.use(new Namespaces())
  const node = namespaces.add('node')
  const pods = [1, 2].map((number) => {
    const pod = namespaces.add(`pod${number}`)
    ip(pod, `link add eth0 type veth peer name tap${number} netns ${node}`)
    ip(pod, 'link set eth0 up')
    ip(node, `link set tap${number} up`)
    ip(pod, `addr add 10.1.1.${number}/24 dev eth0`)
    return { pod, address: `10.1.1.${number}`, mac: macOf(pod, 'eth0'), ifindex: indexOf(node, `tap${number}`) }
  })
  for (const [from, to] of [pods, pods.toReversed()] as [(typeof pods)[0], (typeof pods)[0]][]) {
    ip(from.pod, `neigh add ${to.address} lladdr ${to.mac} dev eth0 nud permanent`)
    const program = undo.use(BpfObject.open(object, { constants: { target: to.ifindex } }).load())
    attach(undo, node, program.programFd('redirect'), from.ifindex)
  }
  const [client, server] = pods.map(({ pod, address }) => endpoint(pod, address))
  const owner = undo.move()
  return {
    name: 'bare redirect_peer',
    sameNode: { client: client!, server: server! },
    [Symbol.dispose]: () => owner.dispose(),
  }
}

/** Bytes that the bare tunnel adds to a packet. */
const TUNNEL_OVERHEAD = 32

/** One pod on each of two nodes, each packet wrapped and sent to the other node, unseen: the upper bound of any datapath that tunnels so. */
export function bareTunnel(object: string): Topology {
  using undo = new DisposableStack()
  const namespaces = undo.use(new Namespaces())
  const nodes = ['node0', 'node1'].map((name) => namespaces.add(name))
  underlay(namespaces, nodes)
  const ends = nodes.map((node, at) => {
    const pod = namespaces.add(`pod${at}`)
    ip(pod, `link add eth0 mtu ${1500 - TUNNEL_OVERHEAD} type veth peer name tap0 netns ${node}`)
    ip(pod, 'link set eth0 up')
    ip(node, `link set tap0 mtu ${1500 - TUNNEL_OVERHEAD} up`)
    ip(pod, `addr add 10.3.0.${1 + at}/24 dev eth0`)
    return { node, pod, address: `10.3.0.${1 + at}`, nic: indexOf(node, 'eth0'), tap: indexOf(node, 'tap0') }
  })
  for (const [at, here] of ends.entries()) {
    const there = ends[1 - at]!
    ip(here.pod, `neigh add ${there.address} lladdr ${macOf(there.pod, 'eth0')} dev eth0 nud permanent`)
    const constants = {
      nic: here.nic,
      pod: here.tap,
      source: ip4Number(underlayAddress(at)),
      destination: ip4Number(underlayAddress(1 - at)),
      source_mac: macNumber(macOf(here.node, 'eth0')),
      destination_mac: macNumber(macOf(there.node, 'eth0')),
      pod_mac: macNumber(macOf(here.pod, 'eth0')),
    }
    const program = undo.use(BpfObject.open(object, { constants }).load())
    attach(undo, here.node, program.programFd('encapsulate'), here.tap)
    attach(undo, here.node, program.programFd('decapsulate'), here.nic)
  }
  const [client, server] = ends.map(({ pod, address }) => endpoint(pod, address))
  const owner = undo.move()
  return {
    name: 'bare tunnel',
    crossNode: { client: client!, server: server! },
    [Symbol.dispose]: () => owner.dispose(),
  }
}

function indexOf(namespace: string, device: string): number {
  const [link] = JSON.parse(ip(namespace, `-j link show dev ${device}`)) as [{ ifindex: number }]
  return link.ifindex
}

/** To what comes in at a device of that namespace. */
function attach(undo: DisposableStack, namespace: string, programFd: number, ifindex: number): void {
  const link = withNamespace(namespacePath(namespace), () =>
    linkCreateTcx({ programFd, ifindex, attach: TcxAttach.INGRESS }),
  )
  undo.defer(() => close(link))
}

/** Eight bytes, the first of the MAC at the lowest. */
function macNumber(mac: string): bigint {
  return BigInt(`0x${mac.split(':').toReversed().join('')}`)
}

/** Compiles one of the programs beside this file into `folder`. */
export function compilePeer(name: 'redirect-peer' | 'bare-tunnel', folder: string): string {
  const output = join(folder, `${name}.bpf.o`)
  const include = `/usr/include/${execFileSync('uname', ['-m'], { encoding: 'utf8' }).trim()}-linux-gnu`
  const source = join(import.meta.dirname, `${name}.bpf.c`)
  execFileSync('clang', ['-O2', '-g', '-target', 'bpf', `-I${include}`, '-c', source, '-o', output])
  return output
}

/** The underlay that hack/lab makes too: a bridge in a namespace of its own, and a veth to every node. */
function underlay(namespaces: Namespaces, nodes: readonly string[]): void {
  const fabric = namespaces.add('fabric')
  ip(fabric, 'link add br0 type bridge')
  ip(fabric, 'link set br0 up')
  for (const [at, node] of nodes.entries()) {
    ip(node, `link add eth0 type veth peer name node${at} netns ${fabric}`)
    ip(node, 'link set eth0 mtu 1500 up')
    ip(fabric, `link set node${at} mtu 1500 master br0 up`)
    ip(node, `addr add ${underlayAddress(at)}/24 dev eth0`)
  }
}

function underlayAddress(node: number): string {
  return `172.30.0.${11 + node}`
}

/** The nodes themselves, over the same underlay, without any overlay: what is left of it is what an overlay costs. */
export function bareHost(): Topology {
  using undo = new DisposableStack()
  const namespaces = undo.use(new Namespaces())
  const nodes = ['node0', 'node1'].map((name) => namespaces.add(name))
  underlay(namespaces, nodes)
  const owner = undo.move()
  return {
    name: 'bare host to host',
    crossNode: { client: endpoint(nodes[0]!, underlayAddress(0)), server: endpoint(nodes[1]!, underlayAddress(1)) },
    [Symbol.dispose]: () => owner.dispose(),
  }
}

/** Pods of two nodes behind a bridge each, the nodes joined by the kernel's VXLAN with static entries (the flannel shape). */
export function vxlanBridge(): Topology {
  using undo = new DisposableStack()
  const namespaces = undo.use(new Namespaces())
  const nodes = ['node0', 'node1'].map((name) => namespaces.add(name))
  underlay(namespaces, nodes)
  for (const [at, node] of nodes.entries()) {
    ip(node, `link add flannel.1 type vxlan id 1 dev eth0 local ${underlayAddress(at)} dstport 8472 nolearning`)
    ip(node, 'link set flannel.1 mtu 1450 up')
    ip(node, `addr add 10.2.${at}.0/32 dev flannel.1`)
    ip(node, 'link add cni0 type bridge')
    ip(node, 'link set cni0 mtu 1450 up')
    ip(node, `addr add 10.2.${at}.1/24 dev cni0`)
  }
  for (const [at, node] of nodes.entries()) {
    const other = 1 - at
    const mac = macOf(nodes[other]!, 'flannel.1')
    ip(node, `neigh add 10.2.${other}.0 lladdr ${mac} dev flannel.1 nud permanent`)
    execFileSync('bridge', [
      '-n',
      node,
      'fdb',
      'add',
      mac,
      'dev',
      'flannel.1',
      'dst',
      underlayAddress(other),
      'self',
      'permanent',
    ])
    ip(node, `route add 10.2.${other}.0/24 via 10.2.${other}.0 dev flannel.1 onlink`)
  }
  const pods = nodes.map((node, at) => {
    const pod = namespaces.add(`pod${at}`)
    ip(pod, `link add eth0 mtu 1450 type veth peer name veth0 netns ${node}`)
    ip(pod, 'link set eth0 up')
    ip(node, 'link set veth0 mtu 1450 master cni0 up')
    ip(pod, `addr add 10.2.${at}.2/24 dev eth0`)
    ip(pod, `route add default via 10.2.${at}.1`)
    return endpoint(pod, `10.2.${at}.2`)
  })
  const owner = undo.move()
  return {
    name: 'kernel VXLAN + bridge',
    crossNode: { client: pods[0]!, server: pods[1]! },
    [Symbol.dispose]: () => owner.dispose(),
  }
}
