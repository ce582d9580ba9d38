/**
 * The world as the daemons see it: the same decoding and the same cross-checks, so that what the controller reports is what the daemons
 * do, in the same words. Pure; what didn't change isn't decoded again.
 */

import { resourceName } from '../kubernetes/objects.ts'
import type { Cidr, FqName, Rejection, SourceState } from '../model/objects.ts'
import { decodeObject } from '../sources/kubernetes/newer.ts'
import { assemble, EMPTY_STATE } from '../sources/objects/assemble.ts'
import type { LoadedFile } from '../sources/objects/collected.ts'
import { BUILT_IN_LABEL, type Decoded, type Item, type Kind } from '../sources/objects/decode.ts'
import { KINDS, type Resourceful, WATCHED, type Watched, type World } from './resources.ts'

export interface Cluster {
  readonly name: string
  /** Subnets of the default pod network; empty: there is none. */
  readonly defaultSubnets: readonly Cidr[]
}

/** An object that daemons read, with what it says. */
export interface Entry<K extends Kind> {
  readonly object: Resourceful
  /** Absent: it can't be used, see `problemsOf`. */
  readonly item?: Extract<Item, { kind: K }>['object']
}

export interface View {
  readonly world: World
  readonly cluster: Cluster
  readonly state: SourceState
  readonly networks: readonly Entry<'VirtualNetwork'>[]
  readonly networkRouters: readonly Entry<'VirtualNetworkRouter'>[]
  readonly blocks: readonly Entry<'IPAMBlock'>[]
  readonly interfaces: readonly Entry<'VirtualMachineInterface'>[]
  readonly routers: readonly Entry<'VirtualRouter'>[]
  /** The oldest first. */
  readonly loadBalancerPools: readonly Entry<'LoadBalancerPool'>[]
  /** Interfaces and blocks of each network. */
  readonly interfacesOf: ReadonlyMap<FqName, readonly Entry<'VirtualMachineInterface'>[]>
  readonly blocksOf: ReadonlyMap<FqName, readonly Entry<'IPAMBlock'>[]>
  /** What is wrong with an object, as daemons say it. */
  problemsOf(of: Watched, object: Resourceful): readonly string[]
}

/** The network that an object defines or shows is in force as the object says. */
export function isInForce(view: View, { item }: Entry<'VirtualNetwork'>): boolean {
  if (item === undefined) return false
  const known = view.state.virtualNetworks.get(item.fqName)
  return known !== undefined && known.namespace === item.namespace && known.name === item.name
}

export function isBuiltIn(object: Resourceful): boolean {
  return object.metadata.labels?.[BUILT_IN_LABEL] === 'true'
}

/** `before`: an earlier view of the same cluster; parts of `state` that say the same are the same. */
export function viewOf(world: World, cluster: Cluster, before?: View): View {
  const rejections: Rejection[] = []
  const files: LoadedFile[] = []
  function read<K extends Kind>(of: Watched, kind: K): Entry<K>[] {
    const items: Item[] = []
    // Of two objects that say they are the same the older one counts: the first of a file does.
    const entries = inOrderOfAge(world[of].values()).map((object): Entry<K> => {
      const decoded = decodeOnce(kind, object, cluster.name)
      if (decoded.ok) {
        items.push(decoded.item)
        return { object, item: decoded.item.object as Entry<K>['item'] }
      }
      rejections.push(...decoded.issues.map((issue) => ({ object: decoded.id, ...issue })))
      return { object }
    })
    files.push({ path: resourceName(WATCHED[of]), items, rejections: [] })
    return entries
  }
  read('namespaces', 'Namespace')
  const networks = read('networks', 'VirtualNetwork')
  const networkRouters = read('networkRouters', 'VirtualNetworkRouter')
  const blocks = read('blocks', 'IPAMBlock')
  const interfaces = read('interfaces', 'VirtualMachineInterface')
  const routers = read('routers', 'VirtualRouter')
  const loadBalancerPools = read('loadBalancerPools', 'LoadBalancerPool')
  const options = { cluster: cluster.name, defaultSubnets: cluster.defaultSubnets }
  // What was accepted once doesn't count here: the API server lets nobody change what pods rest on.
  const state = assemble(files, options, before?.state ?? EMPTY_STATE, EMPTY_STATE.virtualNetworks)
  const problems = Map.groupBy([...rejections, ...state.rejected], ({ object }) => object)
  return {
    world,
    cluster,
    state,
    networks,
    networkRouters,
    blocks,
    interfaces,
    routers,
    loadBalancerPools,
    interfacesOf: Map.groupBy(interfaces, ({ item }) => item?.vn ?? ''),
    blocksOf: Map.groupBy(blocks, ({ item }) => item?.vn ?? ''),
    problemsOf: (of, { metadata: { namespace, name } }) => {
      const id = namespace === undefined ? `${KINDS[of]} ${name}` : `${KINDS[of]} ${namespace}/${name}`
      return (problems.get(id) ?? []).map(problemText)
    },
  }
}

function problemText({ field = '', value, message }: Rejection): string {
  if (field === '') return message
  return value === undefined ? `${field} ${message}` : `${field} (${value}) ${message}`
}

function inOrderOfAge(objects: Iterable<Resourceful>): Resourceful[] {
  const age = ({ metadata: { creationTimestamp, namespace, name } }: Resourceful) =>
    `${creationTimestamp ?? '9'} ${namespace} ${name}`
  return [...objects]
    .map((object) => ({ object, age: age(object) }))
    .sort((a, b) => (a.age < b.age ? -1 : 1))
    .map(({ object }) => object)
}

const decodedOf = new WeakMap<Resourceful, Decoded>()

function decodeOnce(kind: Kind, object: Resourceful, cluster: string): Decoded {
  let decoded = decodedOf.get(object)
  if (decoded === undefined) {
    decoded = decodeObject(kind, object, cluster)
    decodedOf.set(object, decoded)
  }
  return decoded
}
