/**
 * From whom tunnels are taken: every other node that has a router object, whether we need a tunnel to it or not (it may need us first),
 * and gateways that the configuration names.
 */
import { Inputs, isEqual } from './equal.ts'
import type { Address, VirtualRouter } from './objects.ts'
import type { TunnelPeer } from './tables.ts'
import type { RemoteNode } from './tunnels.ts'

export class TunnelPeerTable {
  readonly #node: string
  readonly #configured: readonly Address[]
  readonly #inputs = new Inputs()
  #peers: readonly TunnelPeer[] = []

  constructor(node: string, configured: readonly Address[]) {
    this.#node = node
    this.#configured = configured
  }

  /** Sorted by address; the same array as before while nothing changed. This node itself is none of its peers. */
  compute(
    routers: ReadonlyMap<string, VirtualRouter>,
    nodes: ReadonlyMap<string, Pick<RemoteNode, 'nexthop'>>,
    own: Address,
  ): readonly TunnelPeer[] {
    if (!this.#inputs.areOther(routers, nodes, own)) return this.#peers
    const peers = new Map<Address, TunnelPeer>(this.#configured.map((address) => [address, { address }]))
    for (const { name, address, address6 } of routers.values()) {
      if (name === this.#node) continue
      const nexthop = nodes.get(name)?.nexthop
      peers.set(address, {
        address,
        ...(address6 !== undefined && { address6 }),
        ...(nexthop !== undefined && { nexthop }),
      })
    }
    peers.delete(own)
    const sorted = [...peers.values()].sort((a, b) => (a.address < b.address ? -1 : 1))
    if (!isEqual(this.#peers, sorted)) this.#peers = sorted
    return this.#peers
  }
}
