/**
 * Tunnels to the other nodes: which underlay next hop leads there, and whether its MAC is known. The nexthop's number depends on
 * the destination alone, so a router that changes its MAC changes one nexthop and no route.
 */
import { contains, formatAddress, longestMatch, mustParseAddress, type Prefix } from './address.ts'
import { agreedWith, SPOKEN, type SpokenEncapsulation, tunnelMtu } from './encapsulations.ts'
import { Inputs, isEqual, isSameMap } from './equal.ts'
import type { FabricRoute, NodeFacts } from './facts.ts'
import type { Ids } from './ids.ts'
import * as keys from './keys.ts'
import { ZERO_MAC } from './names.ts'
import type { NexthopTable } from './nexthops.ts'
import type { Address, VirtualRouter } from './objects.ts'
import type { Nexthop, Peer, Problem } from './tables.ts'

/** Another node, as routes need it. */
export interface RemoteNode {
  readonly router: VirtualRouter
  /** Its TUNNEL nexthop. */
  readonly nexthop: number
  readonly peer: Peer
}

type TunnelNexthop = Extract<Nexthop, { type: 'tunnel' }>

/** What the kernel's routes say about the underlay. */
export class Underlay {
  readonly facts: NodeFacts
  readonly #connected: Prefix
  readonly #routes: readonly (FabricRoute & { readonly prefix: Prefix })[]

  constructor(facts: NodeFacts) {
    this.facts = facts
    this.#connected = connectedSubnet(facts)
    this.#routes = underlayRoutes(facts).map((route) => ({
      ...route,
      prefix: { ...mustParseAddress(route.destination), length: route.prefixLength },
    }))
  }

  /** Neighbour to which packets for `destination` are handed: itself where it is on link. */
  via(destination: Address): Address {
    const parsed = mustParseAddress(destination)
    const route = longestMatch(this.#routes, parsed)
    if (route !== undefined) return route.gateway ?? destination
    return contains(this.#connected, parsed) ? destination : (this.facts.underlay.gateway ?? destination)
  }

  tunnel(
    destination: Address,
    encapsulation: SpokenEncapsulation,
  ): { readonly nexthop: TunnelNexthop; readonly isValid: boolean } {
    const { underlay, neighbours } = this.facts
    const via = this.via(destination)
    const dstMac = neighbours.get(via)
    const nexthop: TunnelNexthop = {
      type: 'tunnel',
      encapsulation,
      source: underlay.address,
      destination,
      via,
      dstMac,
      srcMac: underlay.mac,
      mtu: tunnelMtu(encapsulation, underlay.mtu),
    }
    return { nexthop, isValid: dstMac !== undefined }
  }

  /** ENCAP to an underlay neighbour; not valid while its MAC is unknown. */
  neighbour(address: Address): { readonly nexthop: Nexthop; readonly isValid: boolean } {
    const dstMac = this.facts.neighbours.get(address)
    const nexthop: Nexthop = {
      type: 'encap',
      family: 'inet',
      vif: 0,
      vrf: 0,
      dstMac: dstMac ?? ZERO_MAC,
      srcMac: this.facts.underlay.mac,
      policy: false,
      role: 'arp',
      address,
    }
    return { nexthop, isValid: dstMac !== undefined }
  }
}

export function connectedSubnet({ underlay }: NodeFacts): Prefix {
  const own = mustParseAddress(underlay.address)
  const host = BigInt(32 - underlay.prefixLength)
  return { family: own.family, value: (own.value >> host) << host, length: underlay.prefixLength }
}

/** The kernel's routes; before the first of them is known, those that the node's address and gateway imply. */
export function underlayRoutes(facts: NodeFacts): readonly FabricRoute[] {
  if (facts.fabricRoutes.length > 0) return facts.fabricRoutes
  const subnet = connectedSubnet(facts)
  const connected: FabricRoute = { destination: formatAddress(subnet), prefixLength: subnet.length }
  const { gateway } = facts.underlay
  return gateway === undefined ? [connected] : [{ destination: '0.0.0.0', prefixLength: 0, gateway }, connected]
}

export interface TunnelInput {
  /** This node. */
  readonly node: string
  readonly underlay: Underlay
  readonly routers: ReadonlyMap<string, VirtualRouter>
  /** Nodes to which a tunnel is needed. */
  readonly needed: ReadonlySet<string>
  readonly ids: Ids
  readonly nexthops: NexthopTable
  readonly now: number
}

export class TunnelTable {
  #nodes: ReadonlyMap<string, RemoteNode> = new Map()
  #wanted: ReadonlySet<Address> = new Set()
  readonly #inputs = new Inputs()
  /** Of the last pass; undefined: not all of it could be done. */
  #last: { readonly needed: ReadonlySet<string>; readonly problems: readonly Problem[] } | undefined

  /** Underlay next hops of the tunnels: their MAC is wanted. The same set as long as nothing is different. */
  get wanted(): ReadonlySet<Address> {
    return this.#wanted
  }

  /** The nodes of `needed` that have a router object and a tunnel; for the others a problem says so. */
  compute(input: TunnelInput, problems: Problem[]): ReadonlyMap<string, RemoteNode> {
    const { underlay, routers, needed } = input
    const isOther = this.#inputs.areOther(underlay.facts, routers)
    if (isOther || this.#last === undefined || this.#last.needed.symmetricDifference(needed).size > 0) {
      this.#last = undefined
      const told: Problem[] = []
      this.#make(input, told)
      problems.push(...told)
      const isWhole = told.every(({ table }) => table === undefined)
      this.#last = isWhole ? { needed, problems: told } : undefined
    } else problems.push(...this.#last.problems)
    return this.#nodes
  }

  #make({ node, underlay, routers, needed, ids, nexthops, now }: TunnelInput, problems: Problem[]): void {
    const own = underlay.facts.underlay.address
    const nodes = new Map<string, RemoteNode>()
    const kept = new Set<string>()
    const wanted = new Set<Address>()
    for (const name of [...needed].sort()) {
      if (name === node) continue
      const router = routers.get(name)
      const object = `VirtualRouter ${name}`
      if (router === undefined) {
        problems.push({
          object,
          message: 'does not exist, but blocks or interfaces of that node do: no route leads there',
        })
        continue
      }
      if (router.address === own) {
        problems.push({ object, message: `has the address of this node (${own}): no route leads there` })
        continue
      }
      const encapsulation = agreedWith(router)
      if (encapsulation === undefined) {
        const theirs = router.encapsulations.join(', ') || 'nothing'
        problems.push({ object, message: `speaks ${theirs}, this node ${SPOKEN.join(', ')}: no route leads there` })
        continue
      }
      const { nexthop, isValid } = underlay.tunnel(router.address, encapsulation)
      wanted.add(nexthop.via)
      const key = keys.tunnelNexthop(router.address)
      kept.add(key)
      const id = nexthops.define(key, nexthop, now, isValid)
      if (id === undefined) {
        problems.push({ object, message: `no nexthop number is left (limit ${ids.limits.nexthop})`, table: 'nexthop' })
        continue
      }
      const known = this.#nodes.get(name)
      nodes.set(
        name,
        known?.nexthop === id && isEqual(known.router, router)
          ? known
          : { router, nexthop: id, peer: { node: name, address: router.address } },
      )
    }
    nexthops.keepGroup('tunnels', kept)
    this.#wanted = wanted
    if (!isSameMap(this.#nodes, nodes)) this.#nodes = nodes
  }
}
