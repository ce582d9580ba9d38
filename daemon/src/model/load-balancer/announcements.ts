/**
 * Which node answers for which load balancer address on the underlay: by rendezvous hashing (Thaler, Ravishankar: HRW) over the nodes that may, so that all
 * nodes come to the same answer without talking, and a node that comes or goes moves only the addresses that are its own. Pure.
 */
import { familyOf, mustParseAddress } from '../address.ts'
import type { Address, Service, SourceState } from '../objects.ts'
import { isDraining } from '../services/endpoints.ts'
import { parsedRange, rangeHolds } from './address-ranges.ts'
import { LOAD_BALANCER_CLASS } from './class.ts'

/** The elected node, and those that stand next in line. More nodes that die at one time than stand here leave an address to nobody until Kubernetes forgets one. */
export const MOST_IN_LINE = 3

/** By address: the names of the elected node and of those next in line. Addresses that no node may answer for have none. */
export type InLine = ReadonlyMap<Address, readonly string[]>

type State = Pick<SourceState, 'services' | 'slices' | 'pools' | 'routers'>

/** Undefined: the source doesn't know all Services or pools (yet). */
export function inLineOf({ services, slices, pools, routers }: State): InLine | undefined {
  if (services === undefined || slices === undefined || pools === undefined) return undefined
  const users = usersOf(services, pools, routers)
  if (users.size === 0) return new Map()
  const { nodes, lines } = knownOf(routers)
  const local = new Set([...users.values()].flat().filter(isLocal))
  const endpoints = local.size === 0 ? undefined : nodesOfEndpoints(local, slices)
  const found = new Map<Address, readonly string[]>()
  for (const [address, all] of users) {
    const wanted = all.filter(isLocal).map((service) => endpoints!.get(service)?.get(familyOf(address)) ?? NOBODY)
    if (wanted.length > 0) {
      const candidates = nodes.filter(({ name }) => wanted.every((those) => those.has(name)))
      found.set(address, firstOf(candidates, hashOf(address)))
      continue
    }
    const line = lines.get(address) ?? firstOf(nodes, hashOf(address))
    lines.set(address, line)
    found.set(address, line)
  }
  for (const address of lines.keys()) if (!users.has(address)) lines.delete(address)
  return found
}

/** The nodes in order, and lines in which all of them may stand: a thousand addresses among a thousand nodes take a while. */
interface Known {
  readonly nodes: readonly Candidate[]
  readonly lines: Map<Address, readonly string[]>
}

const known = new WeakMap<State['routers'], Known>()

function knownOf(routers: State['routers']): Known {
  let found = known.get(routers)
  if (found === undefined) {
    const nodes = [...routers.keys()].sort().map((name) => ({ name, hash: hashOf(name) }))
    found = { nodes, lines: new Map() }
    known.set(routers, found)
  }
  return found
}

const NOBODY: ReadonlySet<string> = new Set()

function isLocal({ externalTrafficPolicy }: Service): boolean {
  return externalTrafficPolicy === 'Local'
}

/** Addresses of pools that Services have, but for those that belong to a node. */
function usersOf(
  services: NonNullable<State['services']>,
  pools: NonNullable<State['pools']>,
  routers: State['routers'],
): Map<Address, Service[]> {
  const users = new Map<Address, Service[]>()
  const ranges = [...pools.values()].flatMap((pool) => pool.ranges.map(parsedRange))
  if (ranges.length === 0) return users
  const own = new Set([...routers.values()].flatMap(({ address, address6 }) => [address, address6]))
  for (const service of services.values()) {
    const { type, loadBalancerIps, loadBalancerClass = LOAD_BALANCER_CLASS } = service
    if (type !== 'LoadBalancer' || loadBalancerClass !== LOAD_BALANCER_CLASS) continue
    for (const address of loadBalancerIps) {
      const parsed = mustParseAddress(address)
      if (own.has(address) || !ranges.some((range) => rangeHolds(range, parsed))) continue
      const known = users.get(address)
      if (known === undefined) users.set(address, [service])
      else known.push(service)
    }
  }
  return users
}

type Nodes = ReadonlySet<string>

/** Of each Service and family the nodes with an endpoint that is ready; where none is ready, those whose endpoints still serve on their way out. */
function nodesOfEndpoints(
  services: ReadonlySet<Service>,
  slices: NonNullable<State['slices']>,
): Map<Service, Map<4 | 6, Nodes>> {
  const named = new Map([...services].map((service) => [`${service.namespace}/${service.name}`, service]))
  const ready = new Map<Service, Map<4 | 6, Set<string>>>()
  const leaving = new Map<Service, Map<4 | 6, Set<string>>>()
  for (const { namespace, service: name, family, endpoints } of slices.values()) {
    const service = named.get(`${namespace}/${name}`)
    if (service === undefined) continue
    for (const endpoint of endpoints) {
      if (endpoint.node === undefined) continue
      if (endpoint.isReady) add(ready, service, family, endpoint.node)
      else if (isDraining(endpoint)) add(leaving, service, family, endpoint.node)
    }
  }
  return new Map(
    [...services].map((service) => {
      const nodes = ([4, 6] as const).map((family): [4 | 6, Nodes] => [
        family,
        ready.get(service)?.get(family) ?? leaving.get(service)?.get(family) ?? NOBODY,
      ])
      return [service, new Map(nodes)]
    }),
  )
}

function add(to: Map<Service, Map<4 | 6, Set<string>>>, service: Service, family: 4 | 6, node: string): void {
  const families = to.get(service) ?? new Map<4 | 6, Set<string>>()
  families.set(family, (families.get(family) ?? new Set()).add(node))
  to.set(service, families)
}

interface Candidate {
  readonly name: string
  readonly hash: number
}

/** Names of the nodes with the highest scores for the address, the highest first. */
function firstOf(candidates: readonly Candidate[], address: number): string[] {
  const best: { readonly name: string; readonly score: number }[] = []
  for (const { name, hash } of candidates) {
    const score = mixed(hash ^ address)
    if (best.length === MOST_IN_LINE && score <= best[MOST_IN_LINE - 1]!.score) continue
    // Of equal scores the name that comes first counts: candidates are in that order.
    const place = best.findIndex((other) => other.score < score)
    best.splice(place < 0 ? best.length : place, 0, { name, score })
    if (best.length > MOST_IN_LINE) best.pop()
  }
  return best.map(({ name }) => name)
}

/** FNV-1a. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return mixed(hash)
}

/** The finalizer of MurmurHash3: every bit of the answer depends on every bit. */
function mixed(hash: number): number {
  let h = hash
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b)
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35)
  return (h ^ (h >>> 16)) >>> 0
}
