/**
 * Addresses at which no Service may be reached by what its owner writes: whoever may create a Service would draw the traffic of a node, of the API server, of pods or
 * of other Services to himself (CVE-2020-8554).
 */
import { addressesOf, canonicalAddress, contains, mustParseAddress, type Prefix, parseCidr } from '../address.ts'
import { keepEqual, Memo } from '../equal.ts'
import type { NodeFacts } from '../facts.ts'
import type { Address, Cidr, VirtualNetwork, VirtualRouter } from '../objects.ts'
import { prefixOf } from '../prefix-of.ts'
import type { Front } from '../tables.ts'

export interface RefusalInput {
  readonly facts: NodeFacts
  readonly routers: ReadonlyMap<string, VirtualRouter>
  /** Addresses that the host itself speaks to, such as the API server's. */
  readonly hostPeers: readonly Address[]
  readonly serviceRanges: readonly Cidr[]
  /** The default pod network, from whose pool isolated namespaces draw, too. */
  readonly podNetwork: VirtualNetwork | undefined
  /** Of this daemon: it doesn't change. */
  readonly allowsExternal: boolean
}

/** Loopback, link-local, multicast and nobody's. */
const SPECIAL = ['0.0.0.0/8', '127.0.0.0/8', '169.254.0.0/16', '224.0.0.0/3', '::/127', 'fe80::/10', 'ff00::/8'].map(
  (cidr) => parseCidr(cidr)!,
)

export class Refusals {
  readonly #owners: ReadonlyMap<Address, string>
  readonly #ranges: readonly Prefix[]
  readonly #pods: readonly Prefix[]

  readonly #allowsExternal: boolean

  constructor(
    owners: ReadonlyMap<Address, string>,
    ranges: readonly Prefix[],
    pods: readonly Prefix[],
    allowsExternal: boolean,
  ) {
    this.#allowsExternal = allowsExternal
    this.#owners = owners
    this.#ranges = ranges
    this.#pods = pods
  }

  isNode(address: Address): boolean {
    return this.#owners.has(address)
  }

  isServiceAddress(address: Address): boolean {
    const parsed = mustParseAddress(address)
    return this.#ranges.some((range) => contains(range, parsed))
  }

  /** Why, in words; undefined: it is allowed. */
  reasonFor(kind: Front['kind'], address: Address): string | undefined {
    if (kind === 'external-ip' && !this.#allowsExternal) return 'external IPs are turned off (services.externalIPs)'
    const isCluster = this.isServiceAddress(address)
    if (kind === 'cluster-ip' && isCluster) return undefined
    const owner = this.#owners.get(address)
    if (owner !== undefined) return `it is the address of ${owner}`
    const parsed = mustParseAddress(address)
    if (SPECIAL.some((prefix) => contains(prefix, parsed))) return 'nothing is reached there'
    if (isCluster) return 'it lies in a range of cluster IPs'
    if (this.#pods.some((prefix) => contains(prefix, parsed))) return 'it lies in the pod network'
    return undefined
  }
}

export class RefusalTable {
  readonly #memo = new Memo<Refusals>()
  #own: readonly (readonly [Address, string])[] | undefined
  #hostPeers: readonly Address[] = []
  #ranges: readonly Cidr[] = []

  /** The same one as long as it is about the same. */
  update({ facts, routers, hostPeers, serviceRanges, podNetwork, allowsExternal }: RefusalInput): Refusals {
    this.#own = keepEqual(this.#own, ownAddresses(facts))
    this.#hostPeers = keepEqual(this.#hostPeers, hostPeers)
    this.#ranges = keepEqual(this.#ranges, serviceRanges)
    return this.#memo.get([this.#own, routers, this.#hostPeers, this.#ranges, podNetwork], () => {
      const owners = new Map<Address, string>()
      for (const router of routers.values())
        for (const address of addressesOf(router)) owners.set(address, `node ${router.name}`)
      for (const address of this.#hostPeers)
        owners.set(canonicalAddress(address) ?? address, 'a server that this node needs')
      for (const [address, owner] of this.#own!) owners.set(address, owner)
      const ranges = this.#ranges.flatMap((cidr) => parseCidr(cidr) ?? [])
      return new Refusals(owners, ranges, (podNetwork?.subnets ?? []).map(prefixOf), allowsExternal)
    })
  }
}

function ownAddresses({ underlay, otherDevices = [], fabricRoutes }: NodeFacts): (readonly [Address, string])[] {
  const gateways = [underlay.gateway, ...fabricRoutes.map(({ gateway }) => gateway)]
  const own = [...addressesOf(underlay), ...otherDevices.flatMap(({ address, address6 }) => [address, address6])]
  const named = (addresses: readonly (Address | undefined)[], owner: string) =>
    addresses.flatMap((address) => (address === undefined ? [] : [[address, owner] as const]))
  return [...named(gateways, 'a gateway of this node'), ...named(own, 'this node')]
}
