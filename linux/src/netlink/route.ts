/**
 * Links, addresses, routes and neighbours of one network namespace, over one rtnetlink socket. Everything is synchronous: a change takes
 * some 15 µs. Each method is also available as a request (`newAddress`, `delRoute`…), so that several go out together with `batch`.
 */

import { isErrno, SystemError } from '../errors.ts'
import { NetworkNamespace } from '../namespace.ts'
import type { Message } from './codec.ts'
import type { Family } from './family.ts'
import {
  decodeRoute,
  delRoute,
  getRoutes,
  lookupRoute,
  type NewRoute,
  newRoute,
  type RouteFilter,
  type RouteInfo,
  type RouteKey,
} from './fib.ts'
import {
  type AddressInfo,
  type AddressKey,
  decodeAddress,
  delAddress,
  getAddresses,
  type NewAddress,
  newAddress,
} from './ifaddr.ts'
import {
  decodeLink,
  delLink,
  getLink,
  type LinkChange,
  type LinkInfo,
  newVeth,
  setLink,
  type VethSpec,
} from './link.ts'
import {
  decodeNeighbour,
  delNeighbour,
  getNeighbours,
  type NeighbourInfo,
  type NeighbourKey,
  type NewNeighbour,
  newNeighbour,
} from './neighbour.ts'
import { type BatchResult, NETLINK_ROUTE, NetlinkSocket, type NetlinkSocketOptions, type Request } from './socket.ts'

export * from './family.ts'
export * from './fib.ts'
export * from './ifaddr.ts'
export * from './link.ts'
export * from './neighbour.ts'

export interface VethPair {
  readonly index: number
  /** Valid in the peer's namespace. */
  readonly peerIndex: number
}

export class RouteSocket implements Disposable {
  readonly socket: NetlinkSocket

  private constructor(socket: NetlinkSocket) {
    this.socket = socket
  }

  static open(options: NetlinkSocketOptions = {}): RouteSocket {
    return new RouteSocket(NetlinkSocket.open(NETLINK_ROUTE, options))
  }

  [Symbol.dispose](): void {
    this.socket[Symbol.dispose]()
  }

  /** Several requests in one system call. Each has its own result: a refused one doesn't stop the next. */
  batch(requests: readonly Request[]): BatchResult[] {
    return this.socket.batch(requests)
  }

  /** Like `batch`, but throws the first refusal, after all were tried. */
  applyAll(requests: readonly Request[]): void {
    for (const result of this.batch(requests)) if (!result.ok) throw result.error
  }

  // ---- links

  links(): LinkInfo[] {
    return this.socket.dump(getLink()).map(decodeLink)
  }

  /** The device of that index or name, or undefined when there is none. */
  link(which: number | string): LinkInfo | undefined {
    try {
      const [message] = this.socket.request(getLink(which))
      return message && decodeLink(message)
    } catch (error) {
      if (isErrno(error, 'ENODEV')) return undefined
      throw error
    }
  }

  /** Makes a veth pair; the peer is born in its namespace under its final name, MAC and MTU. Both ends are down. */
  createVeth(spec: VethSpec): VethPair {
    const { alias, netnsFd } = spec
    if (netnsFd !== undefined) return this.#createVethElsewhere(spec, netnsFd)
    const [echo] = this.socket.request(newVeth(spec))
    const link = echo ? decodeLink(echo) : this.link(spec.name)
    if (link?.peerIndex === undefined)
      throw new SystemError('netlink', 19, `cannot find the veth pair ${spec.name} just made`)
    if (alias !== undefined) this.#nameOrDelete(link.index, alias)
    return { index: link.index, peerIndex: link.peerIndex }
  }

  /** The kernel takes no alias while it makes a device. */
  #nameOrDelete(index: number, alias: string): void {
    try {
      this.setLink(index, { alias })
    } catch (error) {
      this.deleteLink(index)
      throw error
    }
  }

  #createVethElsewhere({ netnsFd: _, ...spec }: VethSpec, netnsFd: number): VethPair {
    using here = NetworkNamespace.current()
    using there = RouteSocket.open({ netns: netnsFd })
    return there.createVeth({ ...spec, peer: { ...spec.peer, netnsFd: spec.peer.netnsFd ?? here.fd } })
  }

  setLink(index: number, change: LinkChange): void {
    this.socket.request(setLink(index, change))
  }

  /** Throws ENODEV when there is none. */
  deleteLink(which: number | string): void {
    this.socket.request(delLink(which))
  }

  // ---- addresses

  addresses(filter: { readonly index?: number; readonly family?: Family } = {}): AddressInfo[] {
    return decodeAll(this.socket.dump(getAddresses(filter)), decodeAddress)
  }

  addAddress(spec: NewAddress): void {
    this.socket.request(newAddress(spec))
  }

  /** Throws EADDRNOTAVAIL when it isn't there. */
  deleteAddress(key: AddressKey): void {
    this.socket.request(delAddress(key))
  }

  // ---- routes

  /** Routes of all tables unless one is given; cached (cloned) ones are left out. */
  routes(filter: RouteFilter = {}): RouteInfo[] {
    const families: readonly Family[] = filter.family === undefined ? [4, 6] : [filter.family]
    return families.flatMap((family) => this.#routesOf(family, filter)).filter((route) => usesLink(route, filter.oif))
  }

  #routesOf(family: Family, filter: RouteFilter): RouteInfo[] {
    try {
      return decodeAll(this.socket.dump(getRoutes(family, filter)), decodeRoute)
    } catch (error) {
      // The kernel refuses to filter by a table that has no routes yet.
      if (filter.table !== undefined && isErrno(error, 'ENOENT')) return []
      throw error
    }
  }

  /** The route that the kernel would take to `destination`; throws ENETUNREACH and its like. */
  lookupRoute(
    destination: string,
    options: { readonly source?: string; readonly oif?: number; readonly iif?: number } = {},
  ): RouteInfo {
    const [message] = this.socket.request(lookupRoute(destination, options))
    const route = message && decodeRoute(message)
    if (!route) throw new SystemError('netlink', 101, `cannot find the route to ${destination}`)
    return route
  }

  addRoute(spec: NewRoute): void {
    this.socket.request(newRoute(spec))
  }

  /** Throws ESRCH when none matches. */
  deleteRoute(key: RouteKey): void {
    this.socket.request(delRoute(key))
  }

  // ---- neighbours

  neighbours(filter: { readonly index?: number; readonly family?: Family } = {}): NeighbourInfo[] {
    return decodeAll(this.socket.dump(getNeighbours(filter)), decodeNeighbour)
  }

  setNeighbour(spec: NewNeighbour): void {
    this.socket.request(newNeighbour(spec))
  }

  /** Throws ENOENT when there is none. */
  deleteNeighbour(key: NeighbourKey): void {
    this.socket.request(delNeighbour(key))
  }
}

function decodeAll<T>(messages: readonly Message[], decode: (message: Message) => T | undefined): T[] {
  return messages.map(decode).filter((item) => item !== undefined)
}

function usesLink(route: RouteInfo, oif: number | undefined): boolean {
  return oif === undefined || route.oif === oif || (route.multipath?.some((nexthop) => nexthop.oif === oif) ?? false)
}
