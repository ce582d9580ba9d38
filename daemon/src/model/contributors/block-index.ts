/** Which node's block route an address would take: the longest that holds it. IPv4 without big integers: it is asked for every pod. */

import { ipv4ToNumber } from '@kube-vrouter/linux/address'
import { type Family, mustParseAddress } from '../address.ts'
import type { Address, FqName, IpamBlock } from '../objects.ts'
import { prefixOf } from '../prefix-of.ts'
import type { RemoteNode } from '../tunnels.ts'

export class BlockIndex {
  /** By prefix length, longest first; then by the network's number. */
  readonly #lengths: (readonly [family: Family, length: number, blocks: Map<number | bigint, IpamBlock>])[] = []

  constructor(blocks: readonly IpamBlock[], nodes: ReadonlyMap<string, RemoteNode>, vn: FqName) {
    for (const block of blocks) {
      if (nodes.get(block.node)?.router.vrfLabels[vn] === undefined) continue
      const { family, value, length } = prefixOf(block)
      let entry = this.#lengths.find(([f, l]) => f === family && l === length)
      if (entry === undefined) {
        entry = [family, length, new Map()]
        this.#lengths.push(entry)
      }
      const key = family === 4 ? Number(value) : value
      const rival = entry[2].get(key)
      if (rival === undefined || block.name < rival.name) entry[2].set(key, block)
    }
    this.#lengths.sort((a, b) => b[1] - a[1])
  }

  nodeOf(address: Address): string | undefined {
    const number = ipv4ToNumber(address)
    const parsed = number === undefined ? mustParseAddress(address) : undefined
    for (const [family, length, blocks] of this.#lengths) {
      if (family !== (number === undefined ? 6 : 4)) continue
      const block = blocks.get(number === undefined ? networkOf6(parsed!.value, length) : networkOf4(number, length))
      if (block !== undefined) return block.node
    }
    return undefined
  }
}

function networkOf4(address: number, length: number): number {
  const size = 2 ** (32 - length)
  return address - (address % size)
}

function networkOf6(address: bigint, length: number): bigint {
  const host = BigInt(128 - length)
  return (address >> host) << host
}
