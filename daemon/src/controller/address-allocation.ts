/**
 * Which Service has which load balancer address: what was given stays given, then come those who ask for one, then all others, each time the oldest first. So the
 * answer follows from what is there, never from the order in which it came, and a controller that starts finds its answers in the Services. Pure.
 */
import { type Family, familyOf, formatAddress, mustParseAddress } from '../model/address.ts'
import { type ParsedRange, rangeHolds } from '../model/load-balancer/address-ranges.ts'
import type { Address } from '../model/objects.ts'

export interface AllocationPool {
  readonly name: string
  readonly ranges: readonly ParsedRange[]
  /** No: what was given of it stays given. */
  readonly givesNew: boolean
  readonly autoAssign: boolean
  readonly isDefault: boolean
  /** It is for chosen namespaces. */
  readonly isForNamespaces: boolean
  serves(namespace: string): boolean
}

/** A Service that wants addresses. */
export interface Claim {
  readonly namespace: string
  readonly name: string
  /** Sorts the oldest first; no two have the same. */
  readonly age: string
  readonly families: readonly Family[]
  /** One family is enough. */
  readonly isOneEnough: boolean
  /** It names our class: pools that aren't the default serve it, too. */
  readonly hasClass: boolean
  /** Addresses that it asks for, canonical. */
  readonly asked: readonly Address[]
  /** Addresses that it has. */
  readonly held: readonly Address[]
  readonly sharingKey?: string
  /** `TCP/80`. */
  readonly ports: readonly string[]
  /** Traffic is for endpoints of the announcing node alone; the text says which pods those are. */
  readonly localTo?: string
}

export type Refusal = 'AddressWithdrawn' | 'AddressTaken' | 'AddressNotInPool' | 'AddressNotAllowed' | 'PoolExhausted'

export interface Grant {
  readonly claim: Claim
  /** One of each family at most, in the order of the Service's families. */
  readonly addresses: readonly Address[]
  readonly problems: readonly { readonly reason: Refusal; readonly message: string }[]
}

export interface AllocationOptions {
  /** Addresses that nobody may have: those of nodes. */
  readonly taken: ReadonlySet<Address>
  /** Whether an address that no pool has any more stays for now: whoever replaces a pool takes nothing away. */
  readonly stays: (claim: Claim, address: Address) => boolean
}

export function allocate(
  pools: readonly AllocationPool[],
  claims: readonly Claim[],
  options: AllocationOptions,
): Grant[] {
  const allocation = new Allocation(pools, options)
  const inOrder = [...claims].sort((a, b) => (a.age < b.age ? -1 : 1)).map((claim) => new Settlement(claim))
  for (const one of inOrder) allocation.keep(one)
  for (const one of inOrder) allocation.giveAsked(one)
  for (const one of inOrder) allocation.giveAny(one)
  return inOrder.map((one) => one.grant)
}

/** What becomes of one claim. */
class Settlement {
  readonly claim: Claim
  readonly has = new Map<Family, Address>()
  readonly problems: { reason: Refusal; message: string }[] = []

  constructor(claim: Claim) {
    this.claim = claim
  }

  refuse(reason: Refusal, message: string): void {
    this.problems.push({ reason, message })
  }

  get grant(): Grant {
    const { claim, problems } = this
    return { claim, addresses: claim.families.flatMap((family) => this.has.get(family) ?? []), problems }
  }
}

class Allocation {
  readonly #pools: readonly AllocationPool[]
  readonly #options: AllocationOptions
  readonly #users = new Map<Address, Claim[]>()
  /** Addresses of those who give a key, by namespace and key. */
  readonly #shared = new Map<string, Set<Address>>()
  /** Of each pool and family: everything before is in use. */
  readonly #cursors = new Map<string, { range: number; next: bigint }>()

  constructor(pools: readonly AllocationPool[], options: AllocationOptions) {
    this.#pools = pools
    this.#options = options
  }

  keep(one: Settlement): void {
    const { claim } = one
    for (const address of claim.held) {
      const family = familyOf(address)
      if (!claim.families.includes(family) || one.has.has(family)) continue
      if (this.#poolOf(address) === undefined && !this.#options.stays(claim, address)) {
        one.refuse('AddressWithdrawn', `${address} is in no LoadBalancerPool any more: the Service lost it`)
        continue
      }
      const rival = this.#rivalOf(claim, address)
      if (rival === undefined) this.#give(one, address)
      else one.refuse('AddressTaken', `${address} belongs to Service ${rival}: this one lost it`)
    }
  }

  giveAsked(one: Settlement): void {
    const { claim } = one
    for (const address of claim.asked) {
      const family = familyOf(address)
      if (one.has.get(family) === address) continue
      const refusal = this.#refusalOf(claim, address, family)
      if (refusal === undefined) this.#give(one, address)
      else {
        const [reason, message] = refusal
        const kept = one.has.get(family)
        one.refuse(reason, kept === undefined ? message : `${message}; the Service keeps ${kept}`)
      }
    }
  }

  giveAny(one: Settlement): void {
    const { claim } = one
    const missing: [Family, string][] = []
    for (const family of claim.families) {
      if (one.has.has(family) || claim.asked.some((address) => familyOf(address) === family)) continue
      const pools = this.#poolsFor(claim, family)
      const address = this.#sharedAddress(claim, pools, family) ?? this.#freeAddress(pools, family)
      if (address !== undefined) this.#give(one, address)
      else missing.push([family, this.#whyNone(claim, pools, family)])
    }
    if (claim.isOneEnough && one.has.size > 0) return
    for (const [, message] of missing) one.refuse('PoolExhausted', message)
  }

  #poolOf(address: Address): AllocationPool | undefined {
    const parsed = mustParseAddress(address)
    const having = this.#pools.filter(({ ranges }) => ranges.some((range) => rangeHolds(range, parsed)))
    return having.find(({ givesNew }) => givesNew) ?? having[0]
  }

  #refusalOf(claim: Claim, address: Address, family: Family): [Refusal, string] | undefined {
    if (!claim.families.includes(family))
      return ['AddressNotAllowed', `asks for ${address}, but spec.ipFamilies has no IPv${family}`]
    const pool = this.#poolOf(address)
    if (pool === undefined) return ['AddressNotInPool', `asks for ${address}, which is in no LoadBalancerPool`]
    const { name } = pool
    if (!pool.givesNew)
      return ['AddressNotAllowed', `asks for ${address} of LoadBalancerPool ${name}, which isn't ready: see its status`]
    if (!pool.serves(claim.namespace))
      return [
        'AddressNotAllowed',
        `asks for ${address} of LoadBalancerPool ${name}, which isn't for namespace ${claim.namespace}`,
      ]
    if (!claim.hasClass && !pool.isDefault)
      return [
        'AddressNotAllowed',
        `asks for ${address} of LoadBalancerPool ${name}, which isn't the default: set spec.loadBalancerClass`,
      ]
    if (this.#options.taken.has(address)) return ['AddressTaken', `asks for ${address}, which is a node's`]
    const rival = this.#rivalOf(claim, address)
    return rival === undefined ? undefined : ['AddressTaken', `asks for ${address}, which Service ${rival} has`]
  }

  /** Who has the address, and doesn't share it with this one. */
  #rivalOf(claim: Claim, address: Address): string | undefined {
    const rival = this.#users.get(address)?.find((other) => other !== claim && !areSharing(claim, other))
    return rival && `${rival.namespace}/${rival.name}`
  }

  #give(one: Settlement, address: Address): void {
    const { claim } = one
    const family = familyOf(address)
    const before = one.has.get(family)
    if (before !== undefined) this.#takeBack(claim, before)
    one.has.set(family, address)
    this.#users.set(address, [...(this.#users.get(address) ?? []), claim])
    const key = keyOf(claim)
    if (key === undefined) return
    const shared = this.#shared.get(key) ?? new Set()
    this.#shared.set(key, shared.add(address))
  }

  #takeBack(claim: Claim, address: Address): void {
    const left = this.#users.get(address)!.filter((other) => other !== claim)
    if (left.length > 0) this.#users.set(address, left)
    else this.#users.delete(address)
  }

  /** Those for chosen namespaces first, then the default ones. */
  #poolsFor(claim: Claim, family: Family): AllocationPool[] {
    const rank = ({ isForNamespaces, isDefault }: AllocationPool) => (isForNamespaces ? 0 : isDefault ? 1 : 2)
    return this.#pools
      .filter(
        (pool) =>
          pool.givesNew &&
          pool.autoAssign &&
          (claim.hasClass || pool.isDefault) &&
          pool.ranges.some((range) => range.family === family) &&
          pool.serves(claim.namespace),
      )
      .sort((a, b) => rank(a) - rank(b) || (a.name < b.name ? -1 : 1))
  }

  #sharedAddress(claim: Claim, pools: readonly AllocationPool[], family: Family): Address | undefined {
    const key = keyOf(claim)
    const addresses = key === undefined ? [] : [...(this.#shared.get(key) ?? [])].sort()
    return addresses.find((address) => {
      const parsed = mustParseAddress(address)
      return (
        parsed.family === family &&
        pools.some(({ ranges }) => ranges.some((range) => rangeHolds(range, parsed))) &&
        this.#users.has(address) &&
        this.#rivalOf(claim, address) === undefined
      )
    })
  }

  #freeAddress(pools: readonly AllocationPool[], family: Family): Address | undefined {
    for (const { name, ranges } of pools) {
      const cursor = this.#cursors.get(`${name} ${family}`) ?? { range: 0, next: 0n }
      this.#cursors.set(`${name} ${family}`, cursor)
      for (; cursor.range < ranges.length; cursor.range++, cursor.next = 0n) {
        const range = ranges[cursor.range]!
        if (range.family !== family) continue
        if (cursor.next < range.first) cursor.next = range.first
        for (; cursor.next <= range.last; cursor.next++) {
          const address = formatAddress({ family, value: cursor.next })
          if (!this.#users.has(address) && !this.#options.taken.has(address)) return address
        }
      }
    }
    return undefined
  }

  #whyNone(claim: Claim, pools: readonly AllocationPool[], family: Family): string {
    const names = pools.map(({ name }) => name)
    if (names.length > 0) return `no IPv${family} address is free in LoadBalancerPool ${names.join(', ')}`
    const whose = claim.hasClass ? '' : ' and is the default'
    return `no LoadBalancerPool that is ready${whose} has IPv${family} addresses for namespace ${claim.namespace}`
  }
}

/** Keys are a namespace's own: nobody comes to the address of another one's Service. */
function keyOf({ namespace, sharingKey }: Claim): string | undefined {
  return sharingKey === undefined ? undefined : `${namespace} ${sharingKey}`
}

/** Where one of them is for endpoints of the announcing node alone, the other must have the same endpoints: one node announces the address for both. */
function areSharing(a: Claim, b: Claim): boolean {
  const key = keyOf(a)
  return (
    key !== undefined && key === keyOf(b) && a.localTo === b.localTo && a.ports.every((port) => !b.ports.includes(port))
  )
}
