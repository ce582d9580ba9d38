/** One Service as this node serves it: its ports with their numbers and sets, and the fronts that it claims. Made anew when something of it changes. */
import { familyOf } from '../address.ts'
import type { Ids } from '../ids.ts'
import * as keys from '../keys.ts'
import type { EndpointSlice, FqName, Service } from '../objects.ts'
import type { Front, Problem, ServicePortName } from '../tables.ts'
import { BackSets } from './back-sets.ts'
import { backOf, FoundGrounds, NO_GROUNDS, type Surroundings } from './endpoint-places.ts'
import { aliveOf, endpointsOf } from './endpoints.ts'
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
    const { service } = this
    const problems: Problem[] = []
    const object = `Service ${service.namespace}/${service.name}`
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
      for (const family of new Set(service.clusterIps.map(familyOf))) {
        const ports = this.#portsOf(family, input, grounds, known, ids, now)
        fronts.push(...frontsOf(service, family, ports, { ...input.place, vrf, isAllowed }))
      }
    }
    if (this.isUnnumbered)
      problems.push({ object, message: `no service number is left (limit ${ids.limits.service})`, table: 'service' })
    this.#ports = known
    for (const { key } of before) if (!known.some((one) => one.key === key)) ids.release('service', key, now)
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
    { slices, network, here, around }: ServiceInput,
    grounds: FoundGrounds,
    made: KnownPort[],
    ids: Ids,
    now: number,
  ): ReadyPort[] {
    const { namespace, name, ports } = this.service
    const own = slices(family)
    return ports.flatMap((port) => {
      const key = keys.servicePort({ namespace, name, port: port.name, family }, port.protocol)
      const id = ids.allocate('service', key, now)
      if (id === undefined) {
        this.isUnnumbered = true
        return []
      }
      const before = this.#ports.find((one) => one.key === key)
      const known = before ?? { key, name: { namespace, name, port: port.name, family }, sets: new BackSets() }
      made.push(known)
      const endpoints = endpointsOf(port, own)
      const sets = known.sets.update(selectionOf(endpoints, here), aliveOf(endpoints, port.protocol), (one) =>
        backOf(one, namespace, network, around, grounds),
      )
      return [{ port, name: known.name, id, sets }]
    })
  }
}
