/** The prefix of a block, parsed once in the object's life: there are thousands, and they are compared at each change. */
import { mustParseCidr, type Prefix } from './address.ts'
import type { IpamBlock } from './objects.ts'

const prefixes = new WeakMap<IpamBlock, Prefix>()

export function prefixOfBlock(block: IpamBlock): Prefix {
  let prefix = prefixes.get(block)
  if (prefix === undefined) {
    prefix = mustParseCidr(block.cidr)
    prefixes.set(block, prefix)
  }
  return prefix
}
