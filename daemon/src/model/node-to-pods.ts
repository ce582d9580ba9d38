/**
 * The node's own way to its pods, in whatever network they are: kubelet's probes, and nothing else, need it. VRF 0 holds each pod's
 * address once. The default network comes first, then who was there first; what the host needs for itself is never a pod's.
 */
import {
  addressesOf,
  canonicalAddress,
  contains,
  familyOf,
  mustParseAddress,
  type Prefix,
  parseCidr,
} from './address.ts'
import { keepEqual, Memo } from './equal.ts'
import type { NodeFacts, Port } from './facts.ts'
import { firstOf, type LocalPod, podName } from './interfaces.ts'
import type { Address, FqName, SourceState, VirtualMachineInterface } from './objects.ts'
import type { RemotePods } from './remote-pods.ts'
import type { Problem } from './tables.ts'
import { connectedSubnet, underlayRoutes } from './tunnels.ts'

export interface ReachInput {
  readonly facts: NodeFacts
  /** Pods whose tap is there, by creation. */
  readonly pods: readonly LocalPod[]
  readonly source: Pick<SourceState, 'virtualNetworks' | 'routers'>
  readonly hostPeers: readonly Address[]
  readonly defaultNetwork:
    | {
        readonly vn: FqName
        /** Those that VRF 0 has a route for. */
        readonly subnets: readonly Prefix[]
        readonly remote: Iterable<VirtualMachineInterface> & Partial<Pick<RemotePods, 'changes'>>
      }
    | undefined
  /** Addresses of the default network's pods on this node. */
  readonly held: ReadonlyMap<Address, LocalPod>
}

export interface ReachedPod {
  readonly pod: LocalPod
  readonly address: Address
}

const REMEDY =
  'this node does not reach it there: http, tcp and grpc probes of that pod fail; use exec probes, another address, or another node'

/** What was found for an address of a pod, and on what that rests. */
interface Finding {
  readonly territory: Territory
  readonly rival: LocalPod | undefined
  /** Absent: VRF 0 doesn't get it. */
  readonly reached?: ReachedPod
  readonly problem?: Problem
}

export class NodeToPods {
  readonly #territory = new Memo<Territory>()
  /** Of each of its addresses. A pod is another object when anything of it is different. */
  readonly #findings = new WeakMap<LocalPod, (Finding | undefined)[]>()
  #subnets: readonly Prefix[] | undefined
  #hostPeers: readonly Address[] = []

  /**
   * Pods outside the default network with those of their addresses that VRF 0 gets; of one that stays so the same object. The others are told as
   * problems. To be called once after each update of the other nodes' pods.
   */
  compute(input: ReachInput, problems: Problem[]): ReachedPod[] {
    const { pods, facts, defaultNetwork, held } = input
    const reached = new Map<Address, ReachedPod>()
    const territory = this.#territoryOf(input)
    // Kubelet probes a pod at its first interface: what is beside it comes last, and is missed by nobody.
    const [firsts, others] = [pods.filter(({ port }) => !port.isSecondary), pods.filter(({ port }) => port.isSecondary)]
    for (const pod of [...firsts, ...others]) {
      if (pod.vrf.vn === defaultNetwork?.vn) continue
      let findings = this.#findings.get(pod)
      if (findings === undefined) {
        findings = []
        this.#findings.set(pod, findings)
      }
      for (const [at, address] of pod.port.addresses.entries()) {
        // A node without IPv6 has nothing to ask with.
        if (familyOf(address) === 6 && facts.underlay.address6 === undefined) continue
        const rival = held.get(address) ?? reached.get(address)?.pod
        let finding = findings[at]
        if (finding?.territory !== territory || finding.rival !== rival) {
          finding = { territory, rival, ...this.#find(pod, address, territory, rival, finding?.reached) }
          findings[at] = finding
        }
        if (finding.reached !== undefined) reached.set(address, finding.reached)
        if (finding.problem !== undefined) problems.push(finding.problem)
      }
    }
    return [...reached.values()]
  }

  #find(
    pod: LocalPod,
    address: Address,
    territory: Territory,
    rival: LocalPod | undefined,
    before: ReachedPod | undefined,
  ): Pick<Finding, 'reached' | 'problem'> {
    const { port, vrf } = pod
    const obstacle =
      rival === undefined
        ? territory.holderOf(address, vrf.vn)
        : `${podName(rival.port)} has it, too, in network ${rival.vrf.vn}`
    if (obstacle === undefined) return { reached: before ?? { pod, address } }
    if (!isProbed(port, address)) return {}
    const message = `${address} in network ${vrf.vn}: ${obstacle}; ${REMEDY}`
    const subject = { kind: 'port', uuid: port.uuid } as const
    return { problem: { object: podName(port), message, subject, isWorking: true, event: 'NodeCannotReachPod' } }
  }

  /** The same one as long as it is about the same. */
  #territoryOf(input: ReachInput): Territory {
    const { facts, source, hostPeers, defaultNetwork } = input
    this.#subnets = keepEqual(this.#subnets, defaultNetwork?.subnets)
    this.#hostPeers = keepEqual(this.#hostPeers, hostPeers)
    const { vn, remote } = defaultNetwork ?? {}
    // The many change in place.
    const isOther = (remote?.changes?.length ?? 0) > 0
    return this.#territory.get(
      [facts, source.virtualNetworks, source.routers, this.#hostPeers, vn, this.#subnets, isOther ? {} : remote],
      () => new Territory(input),
    )
  }
}

/** Kubelet asks a pod at the addresses that its status shows. */
function isProbed({ isSecondary, addresses }: Port, address: Address): boolean {
  return isSecondary !== true && firstOf(addresses, familyOf(address)) === address
}

/** Loopback, link-local and multicast. */
const SPECIAL = ['127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3', '::1/128', 'fe80::/10', 'ff00::/8'].map(
  (cidr) => parseCidr(cidr)!,
)

/** What the host speaks to by its own routes: an address of it that a tenant's pod has must not draw the host's traffic. */
class Territory {
  readonly #input: ReachInput
  readonly #prefixes: readonly Prefix[]
  #nodes: ReadonlyMap<Address, string> | undefined
  #remote: ReadonlyMap<Address, VirtualMachineInterface> | undefined

  constructor(input: ReachInput) {
    this.#input = input
    const { facts } = input
    this.#prefixes = [
      connectedSubnet(facts),
      ...[...underlayRoutes(facts), ...facts.otherRoutes]
        .filter(({ prefixLength }) => prefixLength > 0)
        .map(({ destination, prefixLength }) => ({ ...mustParseAddress(destination), length: prefixLength })),
    ]
  }

  /** Who has the address already, in words; undefined: it is free for a pod of `vn`. */
  holderOf(address: Address, vn: FqName): string | undefined {
    this.#nodes ??= nodeAddresses(this.#input)
    const node = this.#nodes.get(address)
    if (node !== undefined) return `${node} has it`
    const parsed = mustParseAddress(address)
    if (SPECIAL.some((prefix) => contains(prefix, parsed))) return 'it is not for pods'
    const { defaultNetwork } = this.#input
    const isInDefault = defaultNetwork?.subnets.some((subnet) => contains(subnet, parsed)) ?? false
    if (isInDefault && this.#isOfDefaultPool(vn)) return undefined
    if (this.#prefixes.some((prefix) => contains(prefix, parsed))) return 'the host has a route of its own there'
    // While the default network's object is gone its pods keep their routes, wherever they are.
    const isGone = defaultNetwork !== undefined && !this.#input.source.virtualNetworks.has(defaultNetwork.vn)
    return isInDefault || isGone ? this.#holderInDefault(address) : undefined
  }

  /** Networks of one pool never share an address. */
  #isOfDefaultPool(vn: FqName): boolean {
    const { defaultNetwork, source } = this.#input
    const ipam = defaultNetwork && source.virtualNetworks.get(defaultNetwork.vn)?.ipam
    return ipam !== undefined && source.virtualNetworks.get(vn)?.ipam === ipam
  }

  #holderInDefault(address: Address): string | undefined {
    const { vn, remote } = this.#input.defaultNetwork!
    const network = this.#input.source.virtualNetworks.get(vn)
    if (network?.subnets.some(({ gateway }) => gateway === address)) return `it is the gateway of ${vn}`
    this.#remote ??= firstOwners(remote)
    const rival = this.#remote.get(address)
    return rival && `Pod ${rival.namespace}/${rival.pod.name} on node ${rival.node} has it, too, in network ${vn}`
  }
}

/** Addresses of nodes, and of what this node can't do without, in words. */
function nodeAddresses({ facts, source, hostPeers }: ReachInput): ReadonlyMap<Address, string> {
  const nodes = new Map<Address, string>()
  for (const router of source.routers.values())
    for (const address of addressesOf(router)) nodes.set(address, `node ${router.name}`)
  for (const address of hostPeers) nodes.set(canonicalAddress(address) ?? address, 'a server that this node needs')
  for (const own of addressesOf(facts.underlay)) nodes.set(own, 'this node')
  return nodes
}

/** Of several interfaces with one address that whose uuid comes first, in whatever order they come. */
function firstOwners(interfaces: Iterable<VirtualMachineInterface>): Map<Address, VirtualMachineInterface> {
  const owners = new Map<Address, VirtualMachineInterface>()
  for (const one of interfaces) {
    for (const address of one.addresses) {
      const rival = owners.get(address)
      if (rival === undefined || one.uuid < rival.uuid) owners.set(address, one)
    }
  }
  return owners
}
