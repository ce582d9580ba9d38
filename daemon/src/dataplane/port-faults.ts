/**
 * Which attachments a failure of the dataplane concerns: those that would not work, or not wholly, until it is mended. An attachment needs its vif and
 * the program on it, its nexthops, label, routes and bridge entries wherever they stand, its host ports, its VRF, and of that VRF what all its pods need (gateway,
 * subnet, way out). Pure.
 */
import type { BridgeRoute, Front, Nexthop, Route, Subject, Tables } from '../model/tables.ts'
import { PROTOCOL_NUMBERS } from './services/encode-front.ts'
import { describeService } from './services/names.ts'

function isFront(front: Front, subject: Extract<Subject, { readonly kind: 'front' }>): boolean {
  const { vrf, address, listener } = front
  const protocol = listener === undefined ? 0 : PROTOCOL_NUMBERS[listener.protocol]
  return (
    vrf === subject.vrf &&
    address === subject.address &&
    protocol === subject.protocol &&
    (listener?.port ?? 0) === subject.port
  )
}

/** Routes that every pod of a VRF needs. */
const SHARED: ReadonlySet<Route['kind']> = new Set(['subnet', 'gateway', 'service', 'snat'])

interface Failure {
  readonly subject: Subject
}

/** The first failure that concerns each vif, by vif id. With no failure it costs nothing. */
export function faultsByVif<F extends Failure>(tables: Tables, failures: readonly F[]): ReadonlyMap<number, F> {
  const faults = new Map<number, F>()
  if (failures.length === 0) return faults
  const concerned = new Concerned(tables)
  for (const failure of failures) {
    for (const vif of concerned.by(failure.subject)) if (!faults.has(vif)) faults.set(vif, failure)
  }
  return faults
}

class Concerned {
  readonly #tables: Tables
  readonly #nexthops: ReadonlyMap<number, Nexthop>
  /** Made when a failure asks for them: there may be tens of thousands. */
  readonly #routes = new Map<number, ReadonlyMap<string, Route>>()
  readonly #bridge = new Map<number, ReadonlyMap<string, BridgeRoute>>()

  constructor(tables: Tables) {
    this.#tables = tables
    this.#nexthops = new Map(tables.nexthops.map(({ id, nexthop }) => [id, nexthop]))
  }

  by(subject: Subject): readonly number[] {
    const { vifs, labels } = this.#tables
    switch (subject.kind) {
      case 'vif':
        return [subject.id]
      case 'device':
        return vifs.filter(({ ifindex }) => ifindex === subject.ifindex).map(({ id }) => id)
      case 'port':
        return vifs.filter(({ port }) => port === subject.uuid).map(({ id }) => id)
      case 'vrf':
        return this.#inVrf(subject.id)
      case 'nexthop':
        return [
          ...this.#behind(subject.id),
          ...vifs.filter(({ flowNexthop }) => flowNexthop === subject.id).map(({ id }) => id),
        ]
      case 'label':
        return labels.filter(({ label }) => label === subject.label).flatMap(({ nexthop }) => this.#behind(nexthop))
      case 'route': {
        const route = this.#route(subject.vrf, `${subject.address}/${subject.prefixLength}`)
        if (route === undefined) return []
        return [...this.#behind(route.nexthop), ...(SHARED.has(route.kind) ? this.#inVrf(subject.vrf) : [])]
      }
      case 'bridge': {
        const route = this.#bridgeRoute(subject.vrf, subject.mac)
        if (route === undefined) return []
        const isRouter = this.#nexthops.get(route.nexthop)?.type === 'l2-receive'
        return isRouter ? this.#inVrf(subject.vrf) : this.#behind(route.nexthop)
      }
      case 'service':
        return subject.isPod
          ? this.#behindHostPorts(({ service }) => describeService(service) === describeService(subject))
          : []
      case 'front':
        return this.#behindHostPorts((front) => isFront(front, subject))
      case 'network':
      case 'peer':
      case 'back':
      case 'node-ports':
      case 'range':
      case 'node':
        return []
      default:
        return subject satisfies never
    }
  }

  /** Pods of a VRF; the node's own vifs are in VRF 0, and no attachment. */
  #inVrf(vrf: number): number[] {
    return this.#tables.vifs.filter((vif) => vif.vrf === vrf && vif.port !== undefined).map(({ id }) => id)
  }

  #behindHostPorts(isMeant: (front: Front) => boolean): number[] {
    const fronts = this.#tables.fronts ?? []
    return fronts
      .filter((front) => front.kind === 'host-port' && isMeant(front))
      .flatMap(({ inside }) =>
        inside.backs.flatMap(({ nexthop }) => (nexthop === undefined ? [] : this.#behind(nexthop))),
      )
  }

  /** The vifs to which a nexthop leads. */
  #behind(id: number): number[] {
    const nexthop = this.#nexthops.get(id)
    switch (nexthop?.type) {
      case 'encap':
        return [nexthop.vif]
      case 'composite':
        return nexthop.members.flatMap((member) => this.#behind(member.nexthop))
      case 'vrf-translate':
        return nexthop.snat ? [] : this.#inVrf(nexthop.vrf)
      default:
        return []
    }
  }

  #route(vrf: number, prefix: string): Route | undefined {
    let routes = this.#routes.get(vrf)
    if (routes === undefined) {
      const { inet, inet6 } = this.#tables
      const all = [...(inet.get(vrf) ?? []), ...(inet6.get(vrf) ?? [])]
      routes = new Map(all.map((route) => [`${route.address}/${route.prefixLength}`, route]))
      this.#routes.set(vrf, routes)
    }
    return routes.get(prefix)
  }

  #bridgeRoute(vrf: number, mac: string): BridgeRoute | undefined {
    let routes = this.#bridge.get(vrf)
    if (routes === undefined) {
      routes = new Map((this.#tables.bridge.get(vrf) ?? []).map((route) => [route.mac, route]))
      this.#bridge.set(vrf, routes)
    }
    return routes.get(mac)
  }
}
