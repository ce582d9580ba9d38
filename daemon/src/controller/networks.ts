/** VirtualNetworks: VNIs, status, and the finalizer that keeps a network until nobody uses it. Pure. */

import { blockCount, contains, familyOf, mustParseAddress, type ParsedAddress, type Prefix } from '../model/address.ts'
import { blockLength, poolOf } from '../model/ipam.ts'
import { leaksOf } from '../model/leaks.ts'
import type { Cidr, VirtualMachineInterface, VirtualNetwork } from '../model/objects.ts'
import { prefixOf } from '../model/prefix-of.ts'
import { type Action, count, listed, statusPatch, type WantedCondition, withConditions } from './actions.ts'
import type { Durations } from './durations.ts'
import { Overlaps } from './network-overlaps.ts'
import type { Resourceful } from './resources.ts'
import { type Entry, isBuiltIn, isInForce, type View } from './view.ts'
import { assignVnis, type VniGrant } from './vni.ts'

/** Keeps a network that is deleted until no pod and no block uses it. */
export const FINALIZER = 'vrouter.dev/in-use'

const MOST_BLOCKS = 2_147_483_647n

export interface NetworkOptions {
  readonly now: number
  readonly durations: Durations
  /** How long a network that is deleted must have been without pods before its blocks are taken away, milliseconds. */
  readonly goneMs: number
  /** Numbers of use are written at most this often, milliseconds: every daemon gets each change of a VirtualNetwork. */
  readonly usageMs: number
}

export function reconcileNetworks(view: View, options: NetworkOptions): Action[] {
  const vnis = vnisOf(view)
  const overlaps = new Overlaps(view, leaksOf(view.state))
  const census = new Census(view)
  const actions: Action[] = []
  for (const entry of view.networks) {
    const { object } = entry
    const isLeaving = (object.metadata.deletionTimestamp ?? null) !== null
    const has = object.metadata.finalizers?.includes(FINALIZER) === true
    if (isLeaving) actions.push(...letGo(view, entry, has, options))
    else if (!has && !isBuiltIn(object))
      actions.push(finalizersPatch(object, [...(object.metadata.finalizers ?? []), FINALIZER]))
    actions.push(...report(view, entry, { vnis, overlaps, census }, options))
  }
  return actions
}

function finalizersPatch(object: Resourceful, finalizers: readonly string[]): Action {
  return { type: 'patch', of: 'networks', object, form: 'merge', patch: { metadata: { finalizers } }, isExact: true }
}

function vnisOf(view: View): Map<string, VniGrant> {
  const claims = view.networks.flatMap((entry) => {
    // What isn't in force needs none, and must not take one away from what is.
    if (!isInForce(view, entry)) return []
    const { object } = entry
    const wish = (object.spec as { readonly virtualNetworkNetworkID?: number }).virtualNetworkNetworkID
    const held = object.status?.['virtualNetworkNetworkID'] as number | undefined
    return [{ network: keyOf(object), wish, held }]
  })
  return assignVnis(claims)
}

function keyOf({ metadata: { namespace, name } }: Resourceful): string {
  return `${namespace}/${name}`
}

interface Users {
  readonly interfaces: readonly VirtualMachineInterface[]
  readonly blocks: readonly Entry<'IPAMBlock'>[]
}

/** Who uses the network of an object; a network that isn't in force isn't used by anybody. */
function usersOf(view: View, entry: Entry<'VirtualNetwork'>): Users {
  if (!isInForce(view, entry)) return { interfaces: [], blocks: [] }
  const { fqName } = entry.item!
  return {
    interfaces: (view.interfacesOf.get(fqName) ?? []).flatMap(({ item }) => item ?? []),
    blocks: view.blocksOf.get(fqName) ?? [],
  }
}

function letGo(
  view: View,
  entry: Entry<'VirtualNetwork'>,
  has: boolean,
  { durations, goneMs }: NetworkOptions,
): Action[] {
  const { object } = entry
  const { interfaces, blocks } = usersOf(view, entry)
  if (interfaces.length > 0) return []
  if (blocks.length > 0) {
    // A node may just have given an address of a block to a pod: its interface comes within seconds.
    if (!durations.haveLasted(`no pods in ${object.metadata.uid}`, goneMs)) return []
    const why = `VirtualNetwork ${keyOf(object)} is being deleted and has no pods`
    return blocks.map((block) => ({ type: 'delete', of: 'blocks', object: block.object, why }))
  }
  if (!has) return []
  return [
    finalizersPatch(
      object,
      object.metadata.finalizers!.filter((finalizer) => finalizer !== FINALIZER),
    ),
  ]
}

function report(
  view: View,
  entry: Entry<'VirtualNetwork'>,
  {
    vnis,
    overlaps,
    census,
  }: { readonly vnis: ReadonlyMap<string, VniGrant>; readonly overlaps: Overlaps; readonly census: Census },
  options: NetworkOptions,
): Action[] {
  const { object, item } = entry
  const { now, durations } = options
  const { metadata } = object
  const isLeaving = (metadata.deletionTimestamp ?? null) !== null
  const inForce = isInForce(view, entry)
  const { vni, problem: vniProblem } = vnis.get(keyOf(object)) ?? {}
  const problems = [...view.problemsOf('networks', object)]
  if (!inForce && problems.length === 0) problems.push(whyNotInForce(object))
  const users = usersOf(view, entry)
  const overlap = inForce ? overlaps.of(view.state.virtualNetworks.get(item!.fqName)!) : []
  const usage = inForce ? usageOf(view.state.virtualNetworks.get(item!.fqName)!, users, census) : undefined
  const exhausted = usage === undefined ? [] : exhaustedFamilies(usage.subnets)
  const failures = vniProblem === undefined ? problems : [...problems, vniProblem]
  const notes = [
    ...overlap,
    ...exhausted.map(
      (family) => `no IPv${family} block is free: a node that needs one starts no more pods; add a subnet`,
    ),
  ]
  const leaving = isLeaving ? `is being deleted: waits for ${describeUsers(users)}` : undefined
  const state = isLeaving ? 'Pending' : failures.length > 0 ? 'Failure' : 'Success'
  const observation = [...(leaving === undefined ? [] : [leaving]), ...failures, ...notes].join('; ')
  const ready = problems.length === 0
  const conditions: WantedCondition[] = [
    {
      type: 'Ready',
      status: ready && vniProblem === undefined,
      reason: !ready ? 'Rejected' : vniProblem !== undefined ? 'VniTaken' : 'Accepted',
      message: failures.join('; '),
    },
    {
      type: 'Overlap',
      status: overlap.length > 0,
      reason: overlap.length > 0 ? 'AddressesOverlap' : 'None',
      message: overlap.join('; '),
    },
    ...(leaving === undefined ? [] : [{ type: 'InUse', status: true, reason: 'Deleting', message: leaving }]),
  ]
  const essential = {
    state,
    observation: observation === '' ? undefined : observation,
    observedGeneration: metadata.generation,
    fqName: item?.fqName,
    ranges: rangesOf(object),
    virtualNetworkNetworkID: vni,
    conditions: withConditions(object, conditions, now),
  }
  const actions: Action[] = []
  const whole = statusPatch('networks', object, { ...essential, ...usage })
  // What an operator must know is written at once; numbers in their own time, or along with it.
  const isUrgent = statusPatch('networks', object, essential) !== undefined
  if (whole !== undefined && (isUrgent || durations.haveLasted(`usage of ${metadata.uid}`, usageMsOf(view, options))))
    actions.push(whole)
  for (const message of failures) actions.push(warn(object, vniProblem === message ? 'VniTaken' : 'Rejected', message))
  for (const message of overlap) actions.push(warn(object, 'Overlap', message))
  if (exhausted.length > 0) actions.push(warn(object, 'SubnetExhausted', notes.at(-1)!))
  // Who they are changes all the time: that is for the status.
  if (leaving !== undefined)
    actions.push(warn(object, 'InUse', 'is being deleted, and waits for who uses it: see its status'))
  return actions
}

/** Words of changes that all daemons together get for mere numbers, a millisecond: 10 000 a second. */
const WORDS_PER_MS = 10

/** In a large cluster more seldom than is asked for: every daemon gets word of every write. */
function usageMsOf({ world, networks }: View, { usageMs }: NetworkOptions): number {
  const leastMs = (world.nodes.size * networks.length) / WORDS_PER_MS
  return leastMs < 1000 ? usageMs : Math.max(usageMs, leastMs)
}

function warn(object: Resourceful, reason: string, message: string): Action {
  return { type: 'event', event: { of: 'networks', object, type: 'Warning', reason, message } }
}

function whyNotInForce(object: Resourceful): string {
  return isBuiltIn(object)
    ? 'has the label vrouter.dev/built-in, but no such network is built in: remove the label, or the object'
    : 'is not in force'
}

function describeUsers({ interfaces, blocks }: Users): string {
  if (interfaces.length > 0) {
    const pods = listed(interfaces.map(({ namespace, pod }) => `${namespace}/${pod.name}`).sort())
    return `${count(interfaces.length, 'pod')} (${pods})`
  }
  if (blocks.length > 0) {
    const nodes = listed([...new Set(blocks.map(({ item }) => item!.node))].sort())
    return `${count(blocks.length, 'block')} of nodes (${nodes}) to be given back`
  }
  return 'the finalizers of others'
}

function rangesOf({ spec }: Resourceful): string | undefined {
  const { subnets } = (spec ?? {}) as { readonly subnets?: readonly { readonly cidr?: string }[] }
  return subnets?.map(({ cidr }) => cidr).join(', ')
}

interface SubnetUsage {
  readonly cidr: string
  readonly gateway: string
  readonly service: string
  readonly blocks: number
  readonly freeBlocks: number
  readonly addresses: number
}

/** Blocks of a length that are taken in a subnet of a pool of addresses; networks of one pool share the answer. */
class Census {
  readonly #view: View
  readonly #taken = new Map<string, number>()

  constructor(view: View) {
    this.#view = view
  }

  takenOf(pool: string, cidr: Cidr, subnet: Prefix, length: number): number {
    const key = `${pool} ${cidr} ${length}`
    let taken = this.#taken.get(key)
    if (taken === undefined) {
      taken = 0
      for (const network of this.#view.state.virtualNetworks.values()) {
        if (poolOf(network) !== pool) continue
        for (const { item } of this.#view.blocksOf.get(network.fqName) ?? []) {
          const prefix = item && prefixOf(item)
          if (prefix?.length === length && contains(subnet, prefix)) taken++
        }
      }
      this.#taken.set(key, taken)
    }
    return taken
  }
}

function usageOf(network: VirtualNetwork, { interfaces, blocks }: Users, census: Census) {
  const addresses = interfaces.flatMap(addressesOf)
  const subnets = network.subnets.map((subnet): SubnetUsage => {
    const { cidr, gateway, service } = subnet
    const prefix = prefixOf(subnet)
    const length = blockLength(network, prefix)
    const free = blockCount(prefix, length) - BigInt(census.takenOf(poolOf(network), cidr, prefix, length))
    return {
      cidr,
      gateway,
      service,
      blocks: blocks.filter(({ item }) => item !== undefined && contains(prefix, prefixOf(item))).length,
      freeBlocks: Number(free < 0n ? 0n : free > MOST_BLOCKS ? MOST_BLOCKS : free),
      addresses: addresses.filter((address) => contains(prefix, address)).length,
    }
  })
  return { pods: interfaces.length, nodes: new Set(blocks.map(({ item }) => item?.node)).size, subnets }
}

/** Families of which every subnet is given out. */
function exhaustedFamilies(subnets: readonly SubnetUsage[]): (4 | 6)[] {
  return ([4, 6] as const).filter((family) => {
    const own = subnets.filter(({ cidr }) => familyOf(cidr) === family)
    return own.length > 0 && own.every(({ freeBlocks }) => freeBlocks === 0)
  })
}

const parsedOf = new WeakMap<VirtualMachineInterface, readonly ParsedAddress[]>()

function addressesOf(item: VirtualMachineInterface): readonly ParsedAddress[] {
  let parsed = parsedOf.get(item)
  if (parsed === undefined) {
    parsed = item.addresses.map(mustParseAddress)
    parsedOf.set(item, parsed)
  }
  return parsed
}
