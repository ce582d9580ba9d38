/**
 * Which addresses of Services which network sees: a question of routes into the service networks' VRFs. The ranges of cluster IPs lead everybody to the default
 * service network; an isolated namespace's own network, and the node, see its cluster IPs besides. What is public is seen by all.
 */
import { bitsOf, contains, familyOf, mustParseAddress, mustParseCidr, type Prefix } from '../address.ts'
import { Inputs, isEqual, keepList } from '../equal.ts'
import type { Address, Cidr, FqName } from '../objects.ts'
import { compareText } from '../order.ts'
import { FABRIC_VRF_ID } from '../vrfs.ts'
import type { FrontChange } from './front-list.ts'
import type { ServiceVrfs } from './service-vrfs.ts'

export interface ServiceRoute {
  readonly address: Address
  readonly prefixLength: number
  /** Into the VRF whose fronts it leads to. */
  readonly nexthop: number
  readonly isRange: boolean
}

/** Of each list no two routes are of one prefix; it stays the same while what is in it does. */
export interface ServiceRoutes {
  readonly everywhere: readonly ServiceRoute[]
  /** Cluster IPs of isolated namespaces by their service network, and all of them. */
  readonly isolated: ReadonlyMap<FqName, readonly ServiceRoute[]>
  readonly allIsolated: readonly ServiceRoute[]
  /** Where the node itself needs routes of its own. */
  readonly host: readonly ServiceRoute[]
}

export const NO_ROUTES: ServiceRoutes = { everywhere: [], isolated: new Map(), allIsolated: [], host: [] }

export class ServiceRouteTable {
  readonly #defaultNetwork: FqName
  /** At which all ports are a Service's, by VRF. */
  readonly #addresses = new Map<number, Set<Address>>()
  readonly #inputs = new Inputs()
  #known = new Map<string, ServiceRoute>()
  #ranges: readonly Cidr[] = []
  #prefixes: readonly Prefix[] = []
  #routes = NO_ROUTES

  constructor(defaultNetwork: FqName) {
    this.#defaultNetwork = defaultNetwork
  }

  update(changes: readonly FrontChange[], ranges: readonly Cidr[], vrfs: ServiceVrfs): ServiceRoutes {
    if (!isEqual(this.#ranges, ranges)) {
      this.#ranges = ranges
      this.#prefixes = ranges.map(mustParseCidr)
    }
    const isOther = this.#note(changes, vrfs.byNetwork.get(this.#defaultNetwork)?.id)
    if (this.#inputs.areOther(this.#ranges, vrfs.byNetwork, vrfs.publicNexthop) || isOther) this.#make(vrfs)
    return this.#routes
  }

  /** @returns whether routes come or go with that: most addresses are in a range, which has one for all */
  #note(changes: readonly FrontChange[], defaultVrf: number | undefined): boolean {
    let isOther = false
    for (const { before, after } of changes) {
      const { vrf, address, listener } = after ?? before!
      const isOld = before !== undefined && after !== undefined
      // A node's own address is reached as it always is; only ports of it are a Service's.
      if (listener !== undefined || isOld) continue
      let addresses = this.#addresses.get(vrf)
      if (addresses === undefined) {
        addresses = new Set()
        this.#addresses.set(vrf, addresses)
      }
      if (after === undefined) addresses.delete(address)
      else addresses.add(address)
      isOther ||= vrf !== defaultVrf || !this.#isInRange(address)
    }
    return isOther
  }

  #make({ byNetwork, publicNexthop }: ServiceVrfs): void {
    const before = this.#routes
    const known = this.#known
    this.#known = new Map()
    const route = (address: Address, prefixLength: number, nexthop: number, isRange: boolean): ServiceRoute => {
      const key = `${address}/${prefixLength} ${nexthop} ${isRange}`
      const one = known.get(key) ?? { address, prefixLength, nexthop, isRange }
      this.#known.set(key, one)
      return one
    }
    const hosts = (addresses: Iterable<Address>, nexthop: number) =>
      [...addresses].sort(compareText).map((address) => route(address, bitsOf(familyOf(address)), nexthop, false))
    const everywhere: ServiceRoute[] = []
    const isolated = new Map<FqName, readonly ServiceRoute[]>()
    for (const { id, vn, nexthop } of byNetwork.values()) {
      const addresses = [...(this.#addresses.get(id) ?? [])]
      if (vn === this.#defaultNetwork) {
        for (const [at, { length }] of this.#prefixes.entries()) {
          const cidr = this.#ranges[at]!
          everywhere.push(route(cidr.slice(0, cidr.indexOf('/')), length, nexthop, true))
        }
        everywhere.push(
          ...hosts(
            addresses.filter((address) => !this.#isInRange(address)),
            nexthop,
          ),
        )
      } else isolated.set(vn, keepList(before.isolated.get(vn), hosts(addresses, nexthop)))
    }
    if (publicNexthop !== undefined) everywhere.push(...hosts(this.#addresses.get(FABRIC_VRF_ID) ?? [], publicNexthop))
    const [common, allIsolated] = [onePerPrefix(everywhere), onePerPrefix([...isolated.values()].flat())]
    const outside = allIsolated.filter(({ address }) => !this.#isInRange(address))
    this.#routes = {
      everywhere: keepList(before.everywhere, common),
      isolated,
      allIsolated: keepList(before.allIsolated, allIsolated),
      host: keepList(before.host, onePerPrefix([...common, ...outside])),
    }
  }

  #isInRange(address: Address): boolean {
    const parsed = mustParseAddress(address)
    return this.#prefixes.some((prefix) => contains(prefix, parsed))
  }
}

/** The first of each. */
function onePerPrefix(routes: readonly ServiceRoute[]): ServiceRoute[] {
  const found = new Map<string, ServiceRoute>()
  for (const one of routes) {
    const prefix = `${one.address}/${one.prefixLength}`
    if (!found.has(prefix)) found.set(prefix, one)
  }
  return [...found.values()]
}
