/**
 * The prefix of a block, a subnet, or another object that has one, parsed once in the object's life: there are thousands, and they are compared at each
 * change. The text was checked when the object was read.
 */
import { mustParseCidr, type Prefix } from './address.ts'
import type { Cidr } from './objects.ts'

interface HasPrefix {
  readonly cidr: Cidr
}

const prefixes = new WeakMap<HasPrefix, Prefix>()

export function prefixOf(object: HasPrefix): Prefix {
  let prefix = prefixes.get(object)
  if (prefix === undefined) {
    prefix = mustParseCidr(object.cidr)
    prefixes.set(object, prefix)
  }
  return prefix
}
