/**
 * Which addresses of a network's pods a VRF takes. Whatever a node publishes, it draws no traffic to itself that isn't its pods': not the gateway's, nor, by
 * a leak, that of addresses outside the network.
 */

import { ipv4ToNumber } from '@kube-vrouter/linux/address'
import { contains, lastOf, mustParseAddress, type Prefix } from '../address.ts'
import type { Address, VirtualNetwork } from '../objects.ts'
import { prefixOf } from '../prefix-of.ts'
import type { BlockIndex } from './block-index.ts'

export type Refusal =
  /** It is the network's gateway or service address. */
  | 'reserved'
  /** Not of the network's subnets. */
  | 'outside'
  /** The route of the node's block leads there, and that does. */
  | 'covered'

/** Why a pod's address isn't taken; undefined: it is. `node`: of a pod on another node. The same function as long as the answers are the same. */
export type Admission = (address: Address, node: string | undefined) => Refusal | undefined

export function admissionOf(rules: {
  readonly reserved?: VirtualNetwork | undefined
  readonly isInside?: (address: Address) => boolean
  readonly covers?: BlockIndex | undefined
}): Admission {
  const reserved = new Set(rules.reserved?.subnets.flatMap(({ gateway, service }) => [gateway, service]))
  const { isInside, covers } = rules
  return (address, node) => {
    if (reserved.has(address)) return 'reserved'
    if (isInside !== undefined && !isInside(address)) return 'outside'
    return node !== undefined && covers?.nodeOf(address) === node ? 'covered' : undefined
  }
}

export function prefixesOf({ subnets }: VirtualNetwork): Prefix[] {
  return subnets.map(prefixOf)
}

/** Whether a prefix lies in one of these as a whole. */
export function withinOf(prefixes: readonly Prefix[]): (prefix: Prefix) => boolean {
  return (inner) => prefixes.some((prefix) => contains(prefix, inner))
}

/** Whether an address lies in one of the prefixes. For thousands of addresses: IPv4 without big integers. */
export function insideOf(prefixes: readonly Prefix[]): (address: Address) => boolean {
  const ranges = prefixes
    .filter(({ family }) => family === 4)
    .map((prefix) => [Number(prefix.value), Number(lastOf(prefix).value)] as const)
  return (address) => {
    const number = ipv4ToNumber(address)
    if (number !== undefined) return ranges.some(([first, last]) => first <= number && number <= last)
    const parsed = mustParseAddress(address)
    return prefixes.some((prefix) => contains(prefix, parsed))
  }
}
