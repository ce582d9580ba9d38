/**
 * Hands out the addresses of this node's blocks: asks the model which are next, claims blocks through the source where the model wants one,
 * and remembers what was given back a short while ago. Within one pool of addresses requests run one after the other.
 */

import { allocate, blocksOfPool, idleBlocks, isSingle, type PodAddress, poolOf, singleBlocksOf } from '../model/ipam.ts'
import type { Address, FqName, IpamBlock, Source, VirtualNetwork } from '../model/objects.ts'
import { PortError } from './errors.ts'
import type { Log } from './options.ts'
import { Serial } from './serial.ts'

export interface AddressesOptions {
  readonly source: Source
  readonly node: string
  /** An address that was given back is left alone this long, while there are others. */
  readonly quarantineMs: number
  /** A block without an address in use is given back after this long. */
  readonly idleBlockMs: number
  readonly now: () => number
  /** Who holds addresses; `isFixed`: for a pod that asks for a certain one. */
  readonly holders: (isFixed: boolean) => Iterable<Holder>
  readonly log: Log
}

/** A pod needs a block for each of its addresses at the most (sixteen); a few more may be lost to others meanwhile. */
const MAX_CLAIMS = 32

/** What a pod must get, where it asks. */
export interface Wanted {
  /** At most one of a family; for the others there is a free one. */
  readonly fixed: readonly Address[]
  /** Besides. */
  readonly more: readonly Address[]
}

/** Addresses held by this node's ports. */
export type Holder = { readonly vn: FqName; readonly addresses: readonly Address[] }

export class Addresses {
  readonly #options: AddressesOptions
  readonly #serial = new Serial()
  /** Blocks that this daemon claimed and that the source doesn't show yet. */
  readonly #claimed = new Map<string, IpamBlock>()
  /** By `<pool> <address>`: when it was given back. */
  readonly #released = new Map<string, number>()
  /** Blocks that this daemon gave back and that the source still shows. */
  readonly #given = new Set<string>()
  /** Since when a block of ours has had no address in use, by name. */
  readonly #idleSince = new Map<string, number>()

  constructor(options: AddressesOptions) {
    this.#options = options
  }

  /**
   * One free address for each family of the VN (or those in `fixed`), and those in `more`, none of which anybody holds. `hold` is called with
   * them before anybody else's turn in this pool; what it returns is returned. Throws PortError.
   */
  take<T>(
    vn: VirtualNetwork,
    { fixed, more }: Wanted,
    hold: (addresses: readonly PodAddress[], more: readonly Address[]) => T,
  ): Promise<T> {
    const isFixed = fixed.length > 0 || more.length > 0
    return this.#serial.run(poolOf(vn), async () => {
      const taken = new Map<string, IpamBlock>()
      for (let claims = 0; ; claims++) {
        const allocation = allocate({
          vn,
          node: this.#options.node,
          blocks: this.#blocks(vn, taken),
          used: this.#inUse(vn.fqName, this.#options.holders(isFixed)),
          recent: this.#recent(vn),
          fixed,
          more,
        })
        switch (allocation.kind) {
          case 'addresses':
            return hold(allocation.addresses, allocation.more)
          case 'failed':
            throw PortError.ofModel(allocation.error)
          case 'claim':
            if (claims === MAX_CLAIMS) {
              throw PortError.of(
                'BLOCK_CLAIM_FAILED',
                `claimed ${claims} blocks of ${vn.fqName}, none of which the source shows as ours`,
              )
            }
            await this.#claimOne(vn, allocation.candidates, taken)
            break
          default:
            throw allocation satisfies never
        }
      }
    })
  }

  /** The addresses may be handed out again, after a while. */
  release({ vn, addresses }: Holder): void {
    const pool = this.#poolOf(vn)
    for (const address of addresses) this.#released.set(`${pool} ${address}`, this.#options.now())
  }

  /** Whether one of the addresses is a block of its own of this node: the next pod that asks for it may be on another one. */
  holdsSingle({ vn, addresses }: Holder): boolean {
    const { blocks, virtualNetworks } = this.#options.source.state()
    const network = virtualNetworks.get(vn)
    if (network === undefined) return false
    return singleBlocksOf(network, addresses, blocks).some(({ node }) => node === this.#options.node)
  }

  /**
   * Gives blocks back that nobody has used for long, so that other nodes can have them; at once those of a network that is deleted, and those of one
   * address. For a slow timer, and when a pod with such an address is gone. What the source doesn't take is tried again next time.
   */
  async giveBack(): Promise<void> {
    const { source, node, now, holders, log } = this.#options
    const given: IpamBlock[] = []
    const own = [...source.state().blocks.values()].filter(
      (block) => block.node === node && !this.#given.has(block.name),
    )
    for (const [vn, blocks] of Map.groupBy(own, (block) => block.vn)) {
      const isDeleted = source.state().virtualNetworks.get(vn)?.isDeleted === true
      await this.#serial.run(this.#poolOf(vn), async () => {
        const idle = new Set(idleBlocks(node, blocks, this.#inUse(vn, holders(false))))
        for (const block of blocks) {
          if (!idle.has(block)) {
            this.#idleSince.delete(block.name)
            continue
          }
          const since = this.#idleSince.get(block.name) ?? now()
          this.#idleSince.set(block.name, since)
          const idleBlockMs = isDeleted || isSingle(block) ? 0 : this.#options.idleBlockMs
          // Another turn of this may have done it.
          if (now() - since >= idleBlockMs && !this.#given.has(block.name)) {
            try {
              await source.withdraw('IPAMBlock', block.name)
            } catch (error) {
              log.warn(
                { block: block.name, vn, error: (error as Error).message },
                'a block of addresses could not be given back; trying again',
              )
              continue
            }
            this.#idleSince.delete(block.name)
            this.#given.add(block.name)
            given.push(block)
          }
        }
      })
    }
    const names = new Set(own.map(({ name }) => name))
    for (const name of this.#idleSince.keys()) if (!names.has(name)) this.#idleSince.delete(name)
    for (const { name, vn } of given) log.info({ block: name, vn }, 'gave a block of addresses back that no pod uses')
  }

  /** Claims the first candidate that nobody has. Those that others have go to `taken`: the source may not show them yet. */
  async #claimOne(vn: VirtualNetwork, candidates: Iterable<IpamBlock>, taken: Map<string, IpamBlock>): Promise<void> {
    for (const block of candidates) {
      try {
        await this.#options.source.publish({ kind: 'IPAMBlock', object: block }, { create: true })
        this.#claimed.set(block.name, block)
        this.#given.delete(block.name)
        return
      } catch (error) {
        if ((error as { code?: unknown }).code !== 'BLOCK_TAKEN') {
          const message = `cannot claim block ${block.cidr} of ${vn.fqName}: ${(error as Error).message}`
          throw PortError.of('BLOCK_CLAIM_FAILED', message, { cause: error })
        }
        taken.set(block.name, { ...block, node: '' })
      }
    }
  }

  /** What the source shows, and before it does: what others turned out to have, and what this daemon claimed. */
  #blocks(vn: VirtualNetwork, taken: ReadonlyMap<string, IpamBlock>): IpamBlock[] {
    const { blocks, virtualNetworks } = this.#options.source.state()
    // From now on what the source shows counts: a block that was taken away must not come back.
    for (const name of this.#claimed.keys()) if (blocks.has(name)) this.#claimed.delete(name)
    // What was given back may be shown for a moment, and may be another node's already.
    for (const name of this.#given) if (blocks.get(name)?.node !== this.#options.node) this.#given.delete(name)
    const shown = [...blocks].filter(([name]) => !this.#given.has(name))
    const all = new Map([...taken, ...this.#claimed, ...shown])
    return blocksOfPool(vn, all.values(), virtualNetworks)
  }

  #inUse(vn: FqName, holders: Iterable<Holder>): Set<Address> {
    const pool = this.#poolOf(vn)
    const used = new Set<Address>()
    for (const holder of holders) {
      if (holder.vn === vn || this.#poolOf(holder.vn) === pool)
        for (const address of holder.addresses) used.add(address)
    }
    return used
  }

  #recent(vn: VirtualNetwork): Set<Address> {
    const pool = poolOf(vn)
    const since = this.#options.now() - this.#options.quarantineMs
    const recent = new Set<Address>()
    for (const [key, at] of this.#released) {
      if (at <= since) this.#released.delete(key)
      else if (key.startsWith(`${pool} `)) recent.add(key.slice(pool.length + 1))
    }
    return recent
  }

  #poolOf(vn: FqName): string {
    const network = this.#options.source.state().virtualNetworks.get(vn)
    return network === undefined ? vn : poolOf(network)
  }
}
