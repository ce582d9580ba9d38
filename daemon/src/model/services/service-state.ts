/** One Service as this node serves it: its ports with their numbers and sets, and the fronts that it claims. Made anew when something of it changes. */
import { familyOf } from '../address.ts'
import type { Ids } from '../ids.ts'
import * as keys from '../keys.ts'
import type { EndpointSlice, FqName, Service } from '../objects.ts'
import type { Front, Problem, ServicePortName } from '../tables.ts'
import { BackSets } from './back-sets.ts'
import { backOf, FoundGrounds, NO_GROUNDS, type Surroundings } from './endpoint-places.ts'
import { aliveOf, EndpointsByPort } from './endpoints.ts'
import { type KeyedFront, keyedFront } from './front-list.ts'
import { type Here, selectionOf } from './selection.ts'
import { frontsOf, type Place, type ReadyPort } from './service-fronts.ts'

export interface ServiceInput {
  readonly slices: (family: 4 | 6) => readonly EndpointSlice[]
  /** Its pod network, and the VRF of its service network: absent where that one got no number. */
  readonly network: FqName
  readonly vrf: number | undefined
  readonly here: Here
  readonly place: Omit<Place, 'vrf' | 'isAllowed'>
  readonly around: Surroundings
}

/** A port and family that has its number. */
interface KnownPort {
  readonly key: string
  readonly name: ServicePortName
  readonly sets: BackSets
}

const NONE: readonly never[] = []

/**
 * Endpoints that a Service may have, each counted for each port and family. Its owner says how many there are: more would keep the daemon from all else for
 * seconds, and fill the table for others. A quarter of what a node holds, unless it is configured otherwise (`limits.backends`).
 */
export const MOST_BACKS = 65_536

/** Fronts that a Service may have: ports at each of its addresses. Half of what a node holds as a rule (`limits.services`). */
export const MOST_FRONTS = 32_768
/** External IPs of a Service: each is a route in every network. */
export const MOST_EXTERNAL_IPS = 256

/** What there is left for further ports. */
interface Room {
  backs: number
  fronts: number
  /** The first port that found none. */
  firstLeftOut?: number
}

export class ServiceState {
  service: Service
  fronts: readonly KeyedFront[] = NONE
  problems: readonly Problem[] = NONE
  grounds = NO_GROUNDS
  /** Some port got no number: to be tried again. */
  isUnnumbered = false
  #ports: readonly KnownPort[] = NONE

  constructor(service: Service) {
    this.service = service
  }

  /** @returns what it claims now; `fronts` is for the caller to set */
  make(input: ServiceInput, ids: Ids, now: number): readonly KeyedFront[] {
    const problems: Problem[] = []
    const object = `Service ${this.service.namespace}/${this.service.name}`
    const service = withFewAddresses(this.service, (message) => problems.push({ object, message }))
    const grounds = new FoundGrounds()
    this.isUnnumbered = false
    const before = this.#ports
    const known: KnownPort[] = []
    const fronts: Front[] = []
    const { vrf, around } = input
    if (vrf !== undefined) {
      const told = new Set<string>()
      const isAllowed = (kind: Front['kind'], address: string) => {
        const reason = around.refusals.reasonFor(kind, address)
        if (reason === undefined) return true
        if (!told.has(address)) problems.push({ object, message: `is not served at ${address}: ${reason}` })
        told.add(address)
        return false
      }
      const room: Room = { backs: MOST_BACKS, fronts: MOST_FRONTS }
      for (const family of new Set(service.clusterIps.map(familyOf))) {
        const ports = this.#portsOf(family, input, grounds, room, known, ids, now)
        fronts.push(...frontsOf(service, family, ports, { ...input.place, vrf, isAllowed }))
      }
      if (room.firstLeftOut !== undefined) {
        const message = `has too many ports for its endpoints (${MOST_BACKS} are served, counted for each port) or addresses (${MOST_FRONTS}): port ${room.firstLeftOut} and those behind it are not served; share the ports between several Services`
        problems.push({ object, message })
      }
    }
    if (this.isUnnumbered)
      problems.push({ object, message: `no service number is left (limit ${ids.limits.service})`, table: 'service' })
    this.#ports = known
    const kept = new Set(known.map(({ key }) => key))
    for (const { key } of before) if (!kept.has(key)) ids.release('service', key, now)
    this.grounds = grounds.all
    this.problems = problems
    // An address that was written twice counts as what it was first.
    const claims = new Map<string, KeyedFront>()
    for (const one of fronts.map(keyedFront)) if (!claims.has(one.key)) claims.set(one.key, one)
    return [...claims.values()]
  }

  /** What its numbers are known by. */
  get keys(): Iterable<string> {
    return this.#ports.map(({ key }) => key)
  }

  /** Its numbers are given back. */
  end(ids: Ids, now: number): void {
    for (const { key } of this.#ports) ids.release('service', key, now)
    this.#ports = NONE
  }

  #portsOf(
    family: 4 | 6,
    { slices, network, here, place, around }: ServiceInput,
    grounds: FoundGrounds,
    room: Room,
    made: KnownPort[],
    ids: Ids,
    now: number,
  ): ReadyPort[] {
    const { namespace, name, ports, clusterIps, loadBalancerIps, externalIps } = this.service
    const all = [...clusterIps, ...loadBalancerIps, ...externalIps.slice(0, MOST_EXTERNAL_IPS), ...place.nodeAddresses]
    const addresses = all.filter((one) => familyOf(one) === family).length
    const own = new EndpointsByPort(slices(family))
    const before = new Map(this.#ports.map((one) => [one.key, one]))
    return ports.flatMap((port) => {
      room.backs -= own.countOf(port)
      room.fronts -= addresses
      if (room.backs < 0 || room.fronts < 0) {
        room.firstLeftOut ??= port.port
        return []
      }
      const key = keys.servicePort({ namespace, name, port: port.name, family }, port.protocol)
      const id = ids.allocate('service', key, now)
      if (id === undefined) {
        this.isUnnumbered = true
        return []
      }
      const known = before.get(key) ?? { key, name: { namespace, name, port: port.name, family }, sets: new BackSets() }
      made.push(known)
      const endpoints = own.of(port)
      const sets = known.sets.update(selectionOf(endpoints, here), aliveOf(endpoints, port.protocol), (one) =>
        backOf(one, namespace, network, around, grounds),
      )
      return [{ port, name: known.name, id, sets }]
    })
  }
}

function withFewAddresses(service: Service, tell: (message: string) => void): Service {
  const { externalIps } = service
  if (externalIps.length <= MOST_EXTERNAL_IPS) return service
  tell(
    `has ${externalIps.length} external IPs and is served at the first ${MOST_EXTERNAL_IPS} of them: share them between several Services`,
  )
  return { ...service, externalIps: externalIps.slice(0, MOST_EXTERNAL_IPS) }
}
