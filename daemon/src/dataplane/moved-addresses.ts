/**
 * Which addresses got a new owner, told by what is written into the maps of host routes: the neighbours on this node have the old owner's
 * MAC until they are told. An address may be without an owner for any length of time between two of them; what neighbours may still have of
 * it is remembered, with a limit. Addresses that the router's MAC stood for need no memory: what goes to it is routed, whoever has them.
 */
import { ip4Text, ip6Text, macText } from '../maps/addresses.ts'
import { ROUTE_ARP_FLOOD, ROUTE_ARP_PROXY, ROUTE_HAS_MAC } from '../maps/constants.ts'
import { route4KeyCodec, route6KeyCodec, routeCodec } from '../maps/structs.ts'
import { decode } from '../maps/table.ts'
import type { MovedAddress } from '../model/tables.ts'
import type { TableMap } from './encode-tables.ts'

/** Withdrawn addresses that are remembered; the oldest is forgotten first. */
const MEMORY = 16_384
/** Of a change that concerns more addresses than this at once, the first ones are told. */
const MOST = 1024

/** The answer: a MAC, "router", or undefined where nobody answers. */
type Answer = string | undefined
const ROUTER = 'router'

export class MovedAddresses {
  readonly #withdrawn = new Map<string, string>()
  #moved: MovedAddress[] = []

  /** An entry was written over, made or removed. Keys and values as in delta.ts. */
  note(map: TableMap, key: string, before: string | undefined, after: string | undefined): void {
    if (map !== 'route4_host' && map !== 'route6_host') return
    const old = before === undefined ? undefined : answerOf(before)
    const now = after === undefined ? undefined : answerOf(after)
    if (old === now) return
    const name = `${map} ${key}`
    const known = old ?? this.#withdrawn.get(name)
    this.#withdrawn.delete(name)
    if (now === undefined) {
      if (known !== undefined && known !== ROUTER) this.#remember(name, known)
    } else if (known !== undefined && known !== now && this.#moved.length < MOST) {
      this.#moved.push({ ...addressOf(map, key), ...(now !== ROUTER && { mac: now }) })
    }
  }

  /** Those since the last call. */
  take(): readonly MovedAddress[] {
    const moved = this.#moved
    this.#moved = []
    return moved
  }

  #remember(name: string, mac: string): void {
    this.#withdrawn.set(name, mac)
    if (this.#withdrawn.size > MEMORY) this.#withdrawn.delete(this.#withdrawn.keys().next().value!)
  }
}

/** As the datapath decides it (proxy.h). */
function answerOf(value: string): Answer {
  const { flags, mac } = decode(routeCodec, Buffer.from(value, 'latin1'))
  if ((flags & ROUTE_ARP_PROXY) === 0) return undefined
  if ((flags & ROUTE_HAS_MAC) !== 0) return macText(mac)
  return (flags & ROUTE_ARP_FLOOD) === 0 ? ROUTER : undefined
}

function addressOf(map: 'route4_host' | 'route6_host', key: string): MovedAddress {
  const bytes = Buffer.from(key, 'latin1')
  if (map === 'route4_host') {
    const { vrf, ip } = decode(route4KeyCodec, bytes)
    return { vrf, address: ip4Text(ip) }
  }
  const { vrf, ip } = decode(route6KeyCodec, bytes)
  return { vrf, address: ip6Text(ip) }
}
