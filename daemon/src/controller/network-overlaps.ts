/**
 * What has addresses of a network besides its pods: nodes, Services, the default pod network, networks that it should be joined with. Networks are apart, so
 * each may have any addresses; but a pod reaches nothing outside that has an address of its own network. Pure.
 */

import {
  contains,
  formatAddress,
  formatCidr,
  lastOf,
  mustParseAddress,
  mustParseCidr,
  overlaps,
  type ParsedAddress,
  type Prefix,
  parseAddress,
  parseCidrLoosely,
} from '../model/address.ts'
import type { Leaks } from '../model/leaks.ts'
import { defaultPodNetwork } from '../model/names.ts'
import type { VirtualNetwork } from '../model/objects.ts'
import { prefixOf } from '../model/prefix-of.ts'
import { listed } from './actions.ts'
import type { Resourceful } from './resources.ts'
import type { View } from './view.ts'

/** No addresses for pods, in any network. */
const SPECIAL = (
  [
    ['0.0.0.0/8', 'no addresses of hosts'],
    ['127.0.0.0/8', 'loopback'],
    ['169.254.0.0/16', 'link-local'],
    ['224.0.0.0/3', 'multicast or reserved'],
    ['::/127', 'loopback'],
    ['fe80::/10', 'link-local'],
    ['ff00::/8', 'multicast'],
  ] as const
).map(([cidr, what]) => ({ cidr, what, prefix: mustParseCidr(cidr) }))

export interface NodeAddress extends ParsedAddress {
  readonly address: string
  /** `n1 (10.0.0.1)`. */
  readonly text: string
}

export class Overlaps {
  readonly #view: View
  readonly #leaks: Leaks
  /** By value. */
  #nodes: readonly NodeAddress[] | undefined

  constructor(view: View, leaks: Leaks) {
    this.#view = view
    this.#leaks = leaks
  }

  /** In words, each with what follows from it. */
  of(network: VirtualNetwork): string[] {
    const { state, cluster } = this.#view
    const standard = state.virtualNetworks.get(defaultPodNetwork(cluster.name))
    const isOfDefaultPool = network.ipam !== undefined
    return [
      ...this.#refusedLeaks(network),
      ...network.subnets.flatMap((one) => {
        const { cidr } = one
        const subnet = prefixOf(one)
        return [
          ...special(subnet, cidr),
          ...this.#nodesInside(subnet, cidr, isOfDefaultPool),
          ...this.#services(subnet, cidr),
          ...(isOfDefaultPool || standard === undefined ? [] : inDefault(subnet, cidr, standard)),
        ]
      }),
    ]
  }

  /** Leaks that would make an address of the network ambiguous, and were left out. */
  #refusedLeaks({ fqName }: VirtualNetwork): string[] {
    return this.#leaks.refused.flatMap(({ pair: [a, b], clash }) => {
      if (a !== fqName && b !== fqName) return []
      return [`its routes are not leaked to ${a === fqName ? b : a}: ${clash}; give one of them another subnet`]
    })
  }

  #nodesInside(subnet: Prefix, cidr: string, isOfDefaultPool: boolean): string[] {
    this.#nodes ??= nodeAddresses(this.#view)
    const inside = within(this.#nodes, subnet)
    if (inside.length === 0) return []
    const holds = `subnet ${cidr} holds addresses of nodes: ${listed(inside.map(({ text }) => text).sort())}`
    // The node's own way to pods of the default network is by their addresses.
    if (isOfDefaultPool) return [`${holds}; choose another (defaultNetwork.subnets)`]
    return [`${holds}; its pods don't reach them, nor do nodes reach pods with such addresses; choose another`]
  }

  #services(subnet: Prefix, cidr: string): string[] {
    const ranges = serviceRanges(this.#view).filter((range) => overlaps(range, subnet))
    if (ranges.length === 0) return []
    const shown = listed(ranges.map(formatCidr))
    return [
      `subnet ${cidr} overlaps the addresses of Services (${shown}): its pods reach no Service there; choose another`,
    ]
  }
}

function special(subnet: Prefix, cidr: string): string[] {
  return SPECIAL.flatMap((range) =>
    overlaps(range.prefix, subnet)
      ? [`subnet ${cidr} overlaps ${range.cidr} (${range.what}), which is not for pods; choose another`]
      : [],
  )
}

function inDefault(subnet: Prefix, cidr: string, { subnets }: VirtualNetwork): string[] {
  const clashes = subnets.filter((other) => overlaps(prefixOf(other), subnet)).map((other) => other.cidr)
  if (clashes.length === 0) return []
  return [
    `subnet ${cidr} overlaps the default pod network (${listed(clashes)}): of two pods with one address nodes reach the other one, and probes of this one fail`,
  ]
}

/** Those of nodes with a daemon, and of all others that Kubernetes knows. */
export function nodeAddresses({ state, world }: View): NodeAddress[] {
  const named = new Map<string, string>()
  for (const { metadata, status } of world.nodes.values())
    for (const address of addressesOf(status)) named.set(address, metadata.name)
  for (const { name, address, address6 } of state.routers.values())
    for (const text of [address, address6]) if (text !== undefined) named.set(text, name)
  return [...named]
    .map(([address, name]) => ({
      ...parsed(address),
      address: formatAddress(parsed(address)),
      text: `${name} (${address})`,
    }))
    .sort((a, b) => a.family - b.family || (a.value < b.value ? -1 : 1))
}

const addressesParsed = new Map<string, ParsedAddress>()

/** Thousands of nodes in every pass, and always the same. */
function parsed(text: string): ParsedAddress {
  let address = addressesParsed.get(text)
  if (address === undefined) {
    if (addressesParsed.size > 100_000) addressesParsed.clear()
    address = mustParseAddress(text)
    addressesParsed.set(text, address)
  }
  return address
}

function addressesOf(status: Resourceful['status']): string[] {
  const { addresses = [] } = (status ?? {}) as {
    readonly addresses?: readonly { readonly type?: string; readonly address?: string }[]
  }
  return addresses.flatMap(({ type, address = '' }) =>
    type === 'InternalIP' && parseAddress(address) !== undefined ? [address] : [],
  )
}

/** Of a list in order. */
function within(nodes: readonly NodeAddress[], subnet: Prefix): NodeAddress[] {
  const { family, value } = subnet
  let [from, to] = [0, nodes.length]
  while (from < to) {
    const middle = (from + to) >> 1
    const node = nodes[middle]!
    if (node.family < family || (node.family === family && node.value < value)) from = middle + 1
    else to = middle
  }
  const last = lastOf(subnet).value
  const inside: NodeAddress[] = []
  for (let i = from; i < nodes.length && nodes[i]!.family === family && nodes[i]!.value <= last; i++)
    inside.push(nodes[i]!)
  return inside
}

/** ServiceCIDRs; where the cluster has none to show, the one address that is known to be a Service's: that of the API server. */
export function serviceRanges({ world }: View): Prefix[] {
  const ranges = [...world.serviceRanges.values()].flatMap(({ spec }) => {
    const { cidrs = [] } = (spec ?? {}) as { readonly cidrs?: readonly string[] }
    return cidrs.flatMap((cidr) => parseCidrLoosely(cidr) ?? [])
  })
  const addresses = [...world.apiServices.values()].flatMap(({ spec }) => {
    const { clusterIPs = [] } = (spec ?? {}) as { readonly clusterIPs?: readonly string[] }
    return clusterIPs.flatMap((address) => {
      const found = parseAddress(address)
      return found === undefined ? [] : [{ ...found, length: found.family === 4 ? 32 : 128 }]
    })
  })
  return [...ranges, ...addresses.filter((address) => !ranges.some((range) => contains(range, address)))]
}
