/** Other nodes' blocks: a pod is reached before anybody has heard of it, with the label of its node's VRF. */

import type { Prefix } from '../address.ts'
import type { FqName, IpamBlock, VirtualNetwork } from '../objects.ts'
import { path } from '../paths.ts'
import { prefixOf } from '../prefix-of.ts'
import { type Contributor, type Offer, offerOfTunnel } from '../rib/offer.ts'
import { OfferSet } from '../rib/offer-set.ts'
import type { VrfRib } from '../rib/rib.ts'
import type { RemoteNode } from '../tunnels.ts'
import { prefixesOf, withinOf } from './admission.ts'

export interface BlocksInput {
  readonly vn: FqName
  readonly blocks: readonly IpamBlock[]
  readonly nodes: ReadonlyMap<string, RemoteNode>
  /** Absent: all. The same function as long as it says the same. */
  readonly isWanted?: ((block: Prefix) => boolean) | undefined
}

export class Blocks {
  readonly #offers: OfferSet
  readonly #by: Contributor
  /** Of the last update, by block. */
  #known: ReadonlyMap<IpamBlock, { readonly vn: FqName; readonly node: RemoteNode; readonly offer: Offer }> = new Map()

  constructor(rib: VrfRib, by: Contributor) {
    this.#offers = new OfferSet(rib)
    this.#by = by
  }

  update(input: BlocksInput): void {
    const { vn, blocks, nodes, isWanted } = input
    this.#offers.setFrom([vn, blocks, nodes, isWanted], () => {
      const offers = this.#list(input)
      this.#known = new Map(offers.map(({ block, node, offer }) => [block, { vn, node, offer }]))
      return offers.map(({ offer }) => offer)
    })
  }

  /** For good. */
  withdraw(): void {
    this.#offers.set([])
  }

  /** Left out are those of nodes that don't have the VRF yet, or to which no tunnel leads. Of several for one prefix the first by name counts. */
  #list({ vn, blocks, nodes, isWanted }: BlocksInput) {
    return blocks.flatMap((block) => {
      const node = nodes.get(block.node)
      const label = node?.router.vrfLabels[vn]
      if (node === undefined || label === undefined || isWanted?.(prefixOf(block)) === false) return []
      const known = this.#known.get(block)
      const isSame = known?.vn === vn && known.node === node
      return [{ block, node, offer: isSame ? known.offer : this.#offer(vn, block, node, label) }]
    })
  }

  #offer(vn: FqName, block: IpamBlock, { peer, nexthop }: RemoteNode, label: number): Offer {
    const address = block.cidr.slice(0, block.cidr.indexOf('/'))
    const only = path(peer, nexthop, vn, label)
    const key = { by: this.#by, source: block.name }
    return offerOfTunnel(key, address, prefixOf(block).length, only, label, 'remote-block')
  }
}

/** Blocks that were cut from a subnet which the network no longer has. */
export function strayBlocks(network: VirtualNetwork | undefined, blocks: readonly IpamBlock[]): IpamBlock[] {
  if (network === undefined) return []
  const isWithin = withinOf(prefixesOf(network))
  return blocks.filter((block) => !isWithin(prefixOf(block)))
}
