/**
 * Routes of a VN's VRF (vRouter introspect reference 3.3): who offers them to the RIB. The subnet (discard), its gateway and service address (pkt0), local pods (tap),
 * other nodes' blocks and pods (tunnel), this node (in the default pod network all nodes), the same of VNs that leak into it, and the way out with the node's address.
 */
import { addressesOf, bitsOf, familyOf } from './address.ts'
import { type Admission, admissionOf } from './contributors/admission.ts'
import { BlockIndex } from './contributors/block-index.ts'
import { Blocks, strayBlocks } from './contributors/blocks.ts'
import { Leak, type LeakedNetwork } from './contributors/leak.ts'
import { type Host, Nodes } from './contributors/nodes.ts'
import { OwnPods } from './contributors/own-pods.ts'
import { RemotePodRoutes } from './contributors/remote-pods.ts'
import { ServiceAddresses } from './contributors/services.ts'
import { Subnets } from './contributors/subnets.ts'
import { WayOut } from './contributors/way-out.ts'
import { Inputs, Memo } from './equal.ts'
import { type LocalPod, podName } from './interfaces.ts'
import type { FqName, IpamBlock, VirtualNetwork } from './objects.ts'
import type { RemotePods } from './remote-pods.ts'
import { IN_NETWORK } from './rib/preferences.ts'
import type { VrfRib } from './rib/rib.ts'
import type { ServiceRoute } from './services/service-routes.ts'
import type { Problem } from './tables.ts'
import type { RemoteNode } from './tunnels.ts'

export interface NetworkInput {
  /** Absent: the VirtualNetwork object is gone, while pods are still in it. */
  readonly network: VirtualNetwork | undefined
  /** Pods whose tap is there. */
  readonly pods: readonly LocalPod[]
  /** Blocks and interfaces of other nodes. */
  readonly blocks: readonly IpamBlock[]
  readonly remote: RemotePods
  /** VNs whose routes this one sees, too. Their subnets overlap neither its own nor each other. */
  readonly leaks: readonly LeakedNetwork[]
  readonly nodes: ReadonlyMap<string, RemoteNode>
  readonly agentNexthop: number
  /** Reach of this node, from every network: what it asks of a pod is answered. */
  readonly host: Host
  /** In the default pod network: reach of the other nodes. */
  readonly reachesNodes: boolean
  /** Nexthop of what no other route knows: out with the node's address. Absent: nowhere. */
  readonly snatNexthop: number | undefined
  /** Ranges that it doesn't lead to. */
  readonly insideRanges: readonly string[]
  /** Addresses of Services that it sees: those of its own service network, and those that everybody sees. */
  readonly services: { readonly own: readonly ServiceRoute[]; readonly common: readonly ServiceRoute[] }
  /** Leave out remote pods that their node's block route covers: the route table is full. */
  readonly isCompact: boolean
  /** Pods of other networks have addresses of its subnets, and may come to its own by a Service. */
  readonly isShared: boolean
}

export class NetworkRoutes {
  readonly #rib: VrfRib
  readonly #vn: FqName
  readonly #subnets: Subnets
  readonly #services: ServiceAddresses
  readonly #wayOut: WayOut
  readonly #nodes: Nodes
  readonly #pods: OwnPods
  readonly #remote: RemotePodRoutes
  readonly #blocks: Blocks
  readonly #leaks = new Map<FqName, Leak>()
  readonly #admission = new Memo<Admission>()
  readonly #strays = new Memo<readonly IpamBlock[]>()
  readonly #inputs = new Inputs()
  /** Of the last update that came to its end; undefined: they are to be looked for. */
  #problems: readonly Problem[] | undefined

  constructor(rib: VrfRib) {
    this.#rib = rib
    this.#vn = rib.vrf.vn
    this.#subnets = new Subnets(rib)
    this.#services = new ServiceAddresses(rib, IN_NETWORK)
    this.#wayOut = new WayOut(rib)
    this.#nodes = new Nodes(rib)
    this.#pods = new OwnPods(rib, IN_NETWORK.pod)
    this.#remote = new RemotePodRoutes(rib, IN_NETWORK.pod)
    this.#blocks = new Blocks(rib, IN_NETWORK.block)
  }

  /** Brings the offers to this input. `remoteOf`: other nodes' pods of a VN that leaks no longer. */
  *update(input: NetworkInput, remoteOf: (vn: FqName) => RemotePods): Generator<void> {
    if (!this.#isOther(input)) return
    this.#problems = undefined
    const { network, pods, blocks, remote, nodes, host, isCompact } = input
    const vn = this.#vn
    this.#subnets.update(network, input.agentNexthop, input.isShared)
    this.#services.update(input.services.own, input.services.common)
    this.#wayOut.update({ ...input, hasInet6: host.address6 !== undefined })
    this.#nodes.update(host, input.reachesNodes ? nodes : undefined)
    const admission = this.#admission.get(isCompact ? [network, blocks, nodes] : [network], () =>
      admissionOf({ reserved: network, covers: isCompact ? new BlockIndex(blocks, nodes, vn) : undefined }),
    )
    this.#pods.update(pods, admission)
    yield* this.#remote.update({ pods: remote, nodes, admission })
    this.#blocks.update({ vn, blocks, nodes })
    yield* this.#updateLeaks(input, remoteOf)
  }

  /** After `update`, and what the RIB made of it. */
  problems(input: NetworkInput): readonly Problem[] {
    this.#problems ??= [...this.#found(input)]
    return this.#problems
  }

  /** Most networks are as they were: then nothing of them is looked at. */
  #isOther({ network, pods, blocks, remote, leaks, nodes, host, ...rest }: NetworkInput): boolean {
    const { agentNexthop, reachesNodes, snatNexthop, insideRanges, services, isCompact, isShared } = rest
    const isOther = this.#inputs.areOther(
      ...[network, pods, blocks, remote, nodes, host.address, host.address6, host.nexthop],
      ...[agentNexthop, reachesNodes, snatNexthop, insideRanges, services.own, services.common, isCompact, isShared],
    )
    return isOther || remote.changes.length > 0 || leaks.length > 0 || this.#leaks.size > 0
  }

  *#found({ network, pods, blocks, remote, leaks, host, reachesNodes }: NetworkInput): Generator<Problem> {
    const object = `VirtualNetwork ${this.#vn}`
    if (network === undefined) {
      yield {
        object,
        message: `does not exist, but ${pods.length} pods of this node are in it: they keep their routes`,
      }
    }
    for (const block of this.#strays.get([network, blocks], () => strayBlocks(network, blocks))) {
      yield {
        object: `IPAMBlock ${block.name}`,
        message: `${block.cidr} lies in no subnet of ${this.#vn}: its pods are still reached, but have no gateway`,
      }
    }
    yield* this.#pods.problems
    yield* this.#remote.problems
    if (reachesNodes) return
    for (const address of addressesOf(host)) {
      const owner = this.#ownerOf(address, [{ pods, remote }, ...leaks])
      if (owner === undefined) continue
      const message =
        `${address} is this node's address and that of ${owner}, which has it here: ` +
        'the node does not reach the pods of this network; choose another subnet'
      yield { object, message }
    }
  }

  *#updateLeaks({ leaks, nodes, isCompact }: NetworkInput, remoteOf: (vn: FqName) => RemotePods): Generator<void> {
    const present = new Set(leaks.map(({ network }) => network.fqName))
    for (const [vn, leak] of this.#leaks) {
      if (present.has(vn)) continue
      yield* leak.withdraw(remoteOf(vn))
      this.#leaks.delete(vn)
    }
    for (const leaked of leaks) {
      const vn = leaked.network.fqName
      let leak = this.#leaks.get(vn)
      if (leak === undefined) {
        leak = new Leak(this.#rib, vn)
        this.#leaks.set(vn, leak)
      }
      yield* leak.update(leaked, nodes, isCompact)
    }
  }

  /** The pod whose route an address takes, in words. */
  #ownerOf(address: string, places: readonly Pick<LeakedNetwork, 'pods' | 'remote'>[]): string | undefined {
    const offers = this.#rib.offersOf(address, bitsOf(familyOf(address)))
    for (const { pods, remote } of places) {
      for (const { source } of offers) {
        const pod = pods.find(({ port }) => source === OwnPods.sourceOf(port))
        if (pod !== undefined) return podName(pod.port)
      }
      for (const { source } of offers) {
        const pod = remote.get(source)
        if (pod !== undefined) return `Pod ${pod.namespace}/${pod.pod.name}`
      }
    }
    return undefined
  }
}
