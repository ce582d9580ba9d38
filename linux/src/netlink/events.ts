/** Changes of a namespace's links, addresses, routes and neighbours, as the kernel announces them. Pure. */

import type { Message } from './codec.ts'
import { decodeRoute, type RouteInfo, RTM_DELROUTE, RTM_NEWROUTE } from './fib.ts'
import { type AddressInfo, decodeAddress, RTM_DELADDR, RTM_NEWADDR } from './ifaddr.ts'
import { decodeLink, type LinkInfo, RTM_DELLINK, RTM_NEWLINK } from './link.ts'
import { decodeNeighbour, type NeighbourInfo, RTM_DELNEIGH, RTM_NEWNEIGH } from './neighbour.ts'

/** 'new' is also said of changes. */
export type RouteEvent =
  | { readonly kind: 'link'; readonly action: 'new' | 'del'; readonly link: LinkInfo }
  | { readonly kind: 'address'; readonly action: 'new' | 'del'; readonly address: AddressInfo }
  | { readonly kind: 'route'; readonly action: 'new' | 'del'; readonly route: RouteInfo }
  | { readonly kind: 'neighbour'; readonly action: 'new' | 'del'; readonly neighbour: NeighbourInfo }

export type EventKind = RouteEvent['kind']

const RTNLGRP: { readonly [kind in EventKind]: readonly number[] } = {
  link: [1],
  neighbour: [3],
  address: [5, 9],
  route: [7, 11],
}

/** The multicast groups of the kinds, as the bit mask of struct sockaddr_nl. */
export function groupsOf(kinds: readonly EventKind[]): number {
  return kinds.flatMap((kind) => RTNLGRP[kind]).reduce((mask, group) => mask | (1 << (group - 1)), 0)
}

/** Undefined for messages of other kinds or families (bridge forwarding entries, multicast routes). */
export function decodeEvent(message: Message): RouteEvent | undefined {
  switch (message.type) {
    case RTM_NEWLINK:
    case RTM_DELLINK: {
      // The bridge announces its ports' states as links of its own family.
      if (message.payload[0] !== 0) return undefined
      return { kind: 'link', action: message.type === RTM_NEWLINK ? 'new' : 'del', link: decodeLink(message) }
    }
    case RTM_NEWADDR:
    case RTM_DELADDR: {
      const address = decodeAddress(message)
      return address && { kind: 'address', action: message.type === RTM_NEWADDR ? 'new' : 'del', address }
    }
    case RTM_NEWROUTE:
    case RTM_DELROUTE: {
      const route = decodeRoute(message)
      return route && { kind: 'route', action: message.type === RTM_NEWROUTE ? 'new' : 'del', route }
    }
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH: {
      const neighbour = decodeNeighbour(message)
      return neighbour && { kind: 'neighbour', action: message.type === RTM_NEWNEIGH ? 'new' : 'del', neighbour }
    }
    default:
      return undefined
  }
}
