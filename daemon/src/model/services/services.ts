/**
 * Services as this node serves them: fronts, VRFs of service networks, and the routes that lead there. A Service is looked at again only when something that it rests on
 * is another one: itself, its slices, the pods behind them, its namespace, this node.
 */
import { addressesOf, contains, mustParseCidr } from '../address.ts'
import { keepEqual, keepList } from '../equal.ts'
import type { NodeFacts } from '../facts.ts'
import type { Ids } from '../ids.ts'
import type { LocalPod } from '../interfaces.ts'
import { isHostPort, vrfKey } from '../keys.ts'
import { defaultPodNetwork, defaultServiceNetwork, serviceNetworkOf, vrfOfNetwork } from '../names.ts'
import type { Address, Cidr, FqName, Service, SourceState, VirtualNetwork } from '../objects.ts'
import { compareText } from '../order.ts'
import type { RemotePodTable } from '../remote-pods.ts'
import type { Front, Problem } from '../tables.ts'
import { connectedSubnet, type RemoteNode } from '../tunnels.ts'
import type { NetworkVrf } from '../vrfs.ts'
import { Dependents } from './dependents.ts'
import { FollowedMap } from './followed-map.ts'
import { FrontList } from './front-list.ts'
import { HostPorts } from './host-ports.ts'
import { PodPlaces } from './pod-places.ts'
import { type Refusals, RefusalTable } from './refusals.ts'
import { ServiceNamespaces } from './service-namespaces.ts'
import { NO_ROUTES, type ServiceRoute, type ServiceRoutes, ServiceRouteTable } from './service-routes.ts'
import { ServiceState } from './service-state.ts'
import type { ServiceVrfs, ServiceVrfTable } from './service-vrfs.ts'
import { SliceIndex } from './slice-index.ts'

export interface ServicesOptions {
  readonly node: string
  readonly cluster: string
  /** Ranges of cluster IPs, by the configuration. */
  readonly ranges: readonly Cidr[]
  readonly externalIps: boolean
}

export interface ServicesInput {
  readonly source: SourceState
  readonly facts: NodeFacts
  readonly hostPeers: readonly Address[]
  readonly vrfs: ReadonlyMap<FqName, NetworkVrf>
  /** Those whose tap is there. */
  readonly pods: readonly LocalPod[]
  readonly remote: RemotePodTable
  readonly nodes: ReadonlyMap<string, RemoteNode>
}

const NONE: readonly ServiceRoute[] = []

/** Services that are made anew between two turns of the event loop. */
const SLICE = 64

export class Services {
  readonly #options: ServicesOptions
  readonly #ids: Ids
  readonly #vrfTable: ServiceVrfTable
  readonly #services = new FollowedMap<Service>()
  readonly #slices = new SliceIndex()
  readonly #states = new Map<string, ServiceState>()
  readonly #namespaces: ServiceNamespaces<ServiceState>
  readonly #places = new PodPlaces()
  readonly #dependents = new Dependents<ServiceState>()
  readonly #refusalTable = new RefusalTable()
  readonly #list = new FrontList()
  readonly #hostPorts = new HostPorts()
  readonly #routeTable: ServiceRouteTable
  /** With problems, or without a number. */
  readonly #troubled = new Set<ServiceState>()
  #known: Known | undefined
  #before: Around | undefined
  /** Host ports are served while no Service is known, nor was in an earlier life. */
  #isAlone = false
  #routes = NO_ROUTES
  /** By network. */
  readonly #seen = new Map<FqName, readonly ServiceRoute[]>()

  constructor(options: ServicesOptions, ids: Ids, vrfTable: ServiceVrfTable) {
    this.#options = options
    this.#ids = ids
    this.#vrfTable = vrfTable
    this.#namespaces = new ServiceNamespaces(options.cluster)
    this.#routeTable = new ServiceRouteTable(defaultServiceNetwork(options.cluster))
  }

  /** Absent: what Services there are isn't known, and those of an earlier daemon may be in the kernel, or there are no host ports either. */
  get fronts(): readonly Front[] | undefined {
    return this.#known === undefined && !this.#isAlone ? undefined : this.#list.list
  }

  /** Whether any Service is reached here. */
  get areThere(): boolean {
    return this.#states.values().some(({ fronts }) => fronts.length > 0)
  }

  get routes(): ServiceRoutes {
    return this.#routes
  }

  /**
   * What a virtual network sees: what everybody sees, and the cluster IPs of an isolated namespace whose pod network it is, or is joined with by a
   * VirtualNetworkRouter: for their endpoints are there.
   */
  routesOf(vn: FqName, joined: readonly FqName[]): SeenRoutes {
    const { isolated, everywhere } = this.#routes
    if (isolated.size === 0) return { own: NONE, common: everywhere }
    const lists = [vn, ...joined].flatMap((one) => isolated.get(serviceNetworkOf(one)) ?? [])
    const own = keepList(this.#seen.get(vn), lists)
    this.#seen.set(vn, own)
    return { own, common: everywhere }
  }

  /** To be called once after each update of the other nodes' pods. Yields now and then. */
  *update(input: ServicesInput, now: number, problems: Problem[]): Generator<void> {
    const { source } = input
    const isFirst = this.#known === undefined
    this.#hostPorts.update(input.pods, addressesOf(input.facts.underlay), this.#list, this.#ids, now)
    const { services = this.#known?.services, slices = this.#known?.slices } = source
    // Of what was known before nothing is taken back because it isn't known now.
    if (services === undefined || slices === undefined) {
      this.#keepPlace(input.facts, now, problems)
      this.#serveAlone(problems)
      return
    }
    const ranges = source.serviceRanges ?? this.#known?.ranges ?? []
    this.#known = { services, slices, ranges }
    const dirty = new Set<ServiceState>()
    this.#follow(services, slices, dirty, now)
    for (const state of this.#namespaces.update(source.namespaces)) dirty.add(state)
    const allRanges = rangesOf([...this.#options.ranges, ...ranges], input.facts, problems)
    const vrfs = this.#vrfTable.compute(this.#namespaces.networks(allRanges.length > 0), now, problems)
    const around = this.#around(input, vrfs, allRanges)
    this.#notice(input, around, dirty)
    let count = 0
    for (const state of dirty) {
      this.#make(state, around, now)
      if (++count % SLICE === 0) yield
    }
    if (isFirst) this.#giveBack(now)
    this.#routes = this.#routeTable.update(this.#list.commit(), allRanges, vrfs)
    const told = [...this.#hostPorts.problems, ...[...this.#troubled].flatMap((state) => state.problems)]
    problems.push(
      ...[...told, ...this.#list.problems].sort(
        (a, b) => compareText(a.object, b.object) || compareText(a.message, b.message),
      ),
    )
  }

  /** What an earlier daemon had led into the default service network is led there still, until it is known what there is: its fronts are in the kernel. */
  #keepPlace(facts: NodeFacts, now: number, problems: Problem[]): void {
    const network = defaultServiceNetwork(this.#options.cluster)
    if (this.#ids.get('vrf', vrfKey(vrfOfNetwork(network))) === undefined) return
    const ranges = rangesOf(this.#options.ranges, facts, problems)
    if (ranges.length === 0) return
    this.#routes = this.#routeTable.update([], ranges, this.#vrfTable.compute(new Set([network]), now, problems))
  }

  /** Host ports need no Services: where the kernel holds none of them, nothing is taken back by a list that has none. */
  #serveAlone(problems: Problem[]): void {
    // Routes don't rest on ports.
    const changes = this.#list.commit()
    if (this.#known === undefined && !this.#isAlone && changes.length > 0)
      this.#isAlone = this.#ids.used('service').keys().every(isHostPort)
    problems.push(...this.#hostPorts.problems, ...this.#list.problems)
  }

  /** Services that came, went or changed, or whose slices did. */
  #follow(services: Known['services'], slices: Known['slices'], dirty: Set<ServiceState>, now: number): void {
    const changed = this.#slices.update(slices)
    for (const { key, after } of this.#services.changes(services)) {
      const known = this.#states.get(key)
      if (after === undefined) {
        if (known !== undefined) this.#end(key, known, now)
      } else if (known === undefined) {
        const state = new ServiceState(after)
        this.#states.set(key, state)
        this.#namespaces.add(after.namespace, state)
        dirty.add(state)
      } else {
        known.service = after
        dirty.add(known)
      }
    }
    for (const key of changed) {
      const state = this.#states.get(key)
      if (state !== undefined) dirty.add(state)
    }
    for (const state of this.#troubled) if (state.isUnnumbered) dirty.add(state)
  }

  #around({ source, facts, hostPeers, vrfs, nodes }: ServicesInput, service: ServiceVrfs, ranges: Cidr[]): Around {
    const { virtualNetworks, routers, zone } = source
    const defaultNetwork = defaultPodNetwork(this.#options.cluster)
    const podNetwork = virtualNetworks.get(defaultNetwork)
    const refusals = this.#refusalTable.update({
      facts,
      routers,
      hostPeers,
      serviceRanges: ranges,
      podNetwork,
      allowsExternal: this.#options.externalIps,
    })
    const nodeAddresses = keepEqual(this.#before?.nodeAddresses, addressesOf(facts.underlay))
    return {
      service,
      zone,
      nodeAddresses,
      refusals,
      vrfs,
      nodes,
      virtualNetworks,
      defaultNetwork,
      places: this.#places,
    }
  }

  /** Services that rest on what is another one than before. */
  #notice({ pods, remote }: ServicesInput, around: Around, dirty: Set<ServiceState>): void {
    this.#places.update({ local: pods, remote }, (key) => {
      for (const state of this.#dependents.of(key)) dirty.add(state)
    })
    const before = this.#before
    this.#before = around
    if (before === undefined) return
    const isOther = before.zone !== around.zone || before.nodeAddresses !== around.nodeAddresses
    const isGroundOther = before.refusals !== around.refusals || before.virtualNetworks !== around.virtualNetworks
    const vrfs = differentKeys(before.vrfs, around.vrfs)
    const nodes = differentKeys(
      before.nodes,
      around.nodes,
      ({ nexthop, router }) => `${nexthop} ${router.serviceLabel}`,
    )
    const networks = differentKeys(before.service.byNetwork, around.service.byNetwork)
    if (!isOther && !isGroundOther && vrfs.size + nodes.size + networks.size === 0) return
    for (const state of this.#states.values()) {
      const { grounds, service } = state
      const isConcerned =
        isOther ||
        (isGroundOther && (grounds.isGuessed || isPublic(service) || state.problems.length > 0)) ||
        grounds.networks.some((vn) => vrfs.has(vn)) ||
        grounds.nodes.some((node) => nodes.has(node)) ||
        networks.has(this.#namespaces.of(service.namespace).serviceNetwork)
      if (isConcerned) dirty.add(state)
    }
  }

  #make(state: ServiceState, around: Around, now: number): void {
    const { namespace, name } = state.service
    const { podNetwork, serviceNetwork } = this.#namespaces.of(namespace)
    for (const key of state.grounds.keys) this.#dependents.delete(key, state)
    const input = {
      slices: (family: 4 | 6) => this.#slices.of(`${namespace}/${name}`, family),
      network: podNetwork,
      vrf: around.service.byNetwork.get(serviceNetwork)?.id,
      here: { node: this.#options.node, zone: around.zone },
      place: around,
      around,
    }
    state.fronts = this.#list.replace(state.fronts, state.make(input, this.#ids, now))
    for (const key of state.grounds.keys) this.#dependents.add(key, state)
    if (state.problems.length > 0) this.#troubled.add(state)
    else this.#troubled.delete(state)
  }

  #end(key: string, state: ServiceState, now: number): void {
    this.#states.delete(key)
    this.#namespaces.delete(state.service.namespace, state)
    this.#troubled.delete(state)
    for (const ground of state.grounds.keys) this.#dependents.delete(ground, state)
    this.#list.replace(state.fronts, [])
    state.end(this.#ids, now)
  }

  /** Numbers of Services that went while nobody looked. */
  #giveBack(now: number): void {
    const alive = new Set(this.#hostPorts.keys)
    for (const { keys } of this.#states.values()) for (const key of keys) alive.add(key)
    this.#ids.sweep('service', (key) => alive.has(key), now)
  }
}

export interface SeenRoutes {
  readonly own: readonly ServiceRoute[]
  readonly common: readonly ServiceRoute[]
}

interface Known {
  readonly services: ReadonlyMap<string, Service>
  readonly slices: NonNullable<SourceState['slices']>
  readonly ranges: readonly Cidr[]
}

interface Around {
  readonly service: ServiceVrfs
  readonly zone: string | undefined
  readonly nodeAddresses: readonly Address[]
  readonly refusals: Refusals
  readonly vrfs: ReadonlyMap<FqName, NetworkVrf>
  readonly nodes: ReadonlyMap<string, RemoteNode>
  readonly virtualNetworks: ReadonlyMap<FqName, VirtualNetwork>
  readonly defaultNetwork: FqName
  readonly places: PodPlaces
}

/** A range that is the underlay's own would cut the node off. */
function rangesOf(ranges: readonly Cidr[], facts: NodeFacts, problems: Problem[]): Cidr[] {
  const connected = connectedSubnet(facts)
  return [...new Set(ranges)].filter((cidr) => {
    if (!contains(connected, mustParseCidr(cidr))) return true
    const message = "is a part of this node's own subnet: its Services are not served; choose another range"
    problems.push({ object: `range of cluster IPs ${cidr}`, message })
    return false
  })
}

function isPublic({ externalIps, loadBalancerIps }: Service): boolean {
  return externalIps.length > 0 || loadBalancerIps.length > 0
}

function differentKeys<V>(
  before: ReadonlyMap<string, V>,
  after: ReadonlyMap<string, V>,
  partOf: (value: V) => unknown = (value) => value,
): ReadonlySet<string> {
  const different = new Set<string>()
  if (before === after) return different
  for (const [key, value] of before) {
    const now = after.get(key)
    if (now === undefined || partOf(now) !== partOf(value)) different.add(key)
  }
  for (const key of after.keys()) if (!before.has(key)) different.add(key)
  return different
}
