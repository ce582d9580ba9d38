/** Where pods are: interfaces of this node and of others by their pod, and by address where that is asked for. What changed is told by the pods' own tables. */
import type { LocalPod } from '../interfaces.ts'
import type { Address, FqName, VirtualMachineInterface } from '../objects.ts'
import { compareText } from '../order.ts'
import type { RemoteChange, RemotePods } from '../remote-pods.ts'

/** An interface, of this node or of another, with the text that its pod is known by. */
export type PodPlace = { readonly key: string } & (
  | { readonly local: LocalPod }
  | { readonly remote: VirtualMachineInterface }
)

export interface PodsInput {
  /** Those whose tap is there. */
  readonly local: readonly LocalPod[]
  /** Interfaces of all other nodes, and what the last update changed of them. */
  readonly remote: {
    readonly all: () => Iterable<VirtualMachineInterface>
    readonly changes: () => Iterable<RemoteChange>
    readonly of: (vn: FqName) => RemotePods
  }
}

type Places = PodPlace | readonly PodPlace[]

export const podKey = (namespace: string, pod: string) => `${namespace}/${pod}`
export const addressKey = (vn: FqName, address: Address) => `${vn} ${address}`

export class PodPlaces {
  readonly #byPod = new Map<string, Places>()
  /** Of networks in which an address was looked for. */
  readonly #byAddress = new Map<FqName, Map<Address, Places>>()
  #local = new Map<LocalPod, PodPlace>()
  #remote: PodsInput['remote'] | undefined

  /** To be called once after each update of the other nodes' pods. `touched`: what is found under that key may be another one now. */
  update(input: PodsInput, touched: (key: string) => void): void {
    const isFirst = this.#remote === undefined
    this.#remote = input.remote
    const local = new Map<LocalPod, PodPlace>()
    for (const pod of input.local) local.set(pod, this.#local.get(pod) ?? localPlace(pod))
    for (const [pod, place] of this.#local) if (!local.has(pod)) this.#remove(place, touched)
    for (const [pod, place] of local) if (!this.#local.has(pod)) this.#add(place, touched)
    this.#local = local
    if (isFirst) for (const remote of input.remote.all()) this.#add(remotePlace(remote), touched)
    else {
      for (const { before, after } of input.remote.changes()) {
        if (before !== undefined) this.#remove(remotePlace(before), touched)
        if (after !== undefined) this.#add(remotePlace(after), touched)
      }
    }
  }

  /** The pod's interface that has the address. */
  find(key: string, address: Address): PodPlace | undefined {
    const places = this.#byPod.get(key)
    if (places === undefined) return undefined
    if (!isList(places)) return addressesOf(places).includes(address) ? places : undefined
    return best(places.filter((one) => addressesOf(one).includes(address)))
  }

  findAddress(vn: FqName, address: Address): PodPlace | undefined {
    let index = this.#byAddress.get(vn)
    if (index === undefined) {
      index = new Map()
      this.#byAddress.set(vn, index)
      const remote = [...(this.#remote?.of(vn) ?? [])].map(remotePlace)
      const local = [...this.#local.values()].filter((one) => networkOf(one) === vn)
      for (const place of [...local, ...remote]) for (const own of addressesOf(place)) add(index, own, place)
    }
    return best(listOf(index.get(address)))
  }

  #add(place: PodPlace, touched: (key: string) => void): void {
    this.#change(place, touched, add)
  }

  #remove(place: PodPlace, touched: (key: string) => void): void {
    this.#change(place, touched, remove)
  }

  #change(place: PodPlace, touched: (key: string) => void, act: typeof add): void {
    act(this.#byPod, place.key, place)
    touched(place.key)
    const vn = networkOf(place)
    const index = this.#byAddress.get(vn)
    if (index === undefined) return
    for (const address of addressesOf(place)) {
      act(index, address, place)
      touched(addressKey(vn, address))
    }
  }
}

function localPlace(local: LocalPod): PodPlace {
  return { key: podKey(local.port.namespace, local.port.pod.name), local }
}

function remotePlace(remote: VirtualMachineInterface): PodPlace {
  return { key: podKey(remote.namespace, remote.pod.name), remote }
}

export function networkOf(place: PodPlace): FqName {
  return 'local' in place ? place.local.port.vn : place.remote.vn
}

function addressesOf(place: PodPlace): readonly Address[] {
  return 'local' in place ? place.local.port.addresses : place.remote.addresses
}

/** This node's own; of others' that whose uuid comes first. */
function best(places: readonly PodPlace[]): PodPlace | undefined {
  const own = places.find((one) => 'local' in one)
  if (own !== undefined || places.length < 2) return own ?? places[0]
  return [...places].sort((a, b) => ('remote' in a && 'remote' in b ? compareText(a.remote.uuid, b.remote.uuid) : 0))[0]
}

function listOf(places: Places | undefined): readonly PodPlace[] {
  return places === undefined ? [] : isList(places) ? places : [places]
}

function isList(places: Places): places is readonly PodPlace[] {
  return Array.isArray(places)
}

function add(index: Map<string, Places>, key: string, place: PodPlace): void {
  const known = listOf(index.get(key))
  index.set(key, known.length === 0 ? place : [...known, place])
}

function remove(index: Map<string, Places>, key: string, place: PodPlace): void {
  const left = listOf(index.get(key)).filter((one) => !isSame(one, place))
  if (left.length === 0) index.delete(key)
  else index.set(key, left.length === 1 ? left[0]! : left)
}

function isSame(a: PodPlace, b: PodPlace): boolean {
  return 'local' in a ? 'local' in b && a.local === b.local : 'remote' in b && a.remote === b.remote
}
