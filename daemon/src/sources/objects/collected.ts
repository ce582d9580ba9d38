/**
 * What all files say, object by object. Of several objects with one identity that of the file whose name comes first counts. Kinds of which no file is another one than
 * at the last call aren't gone through again: a folder of four thousand networks is read once, whatever a daemon publishes into it.
 */
import { isSameList } from '../../model/equal.ts'
import type { Rejection } from '../../model/objects.ts'
import { type Item, idOf, KINDS, type Kind } from './decode.ts'

/** What was read from one place (a file, or the API server's list of a kind). */
export interface LoadedFile {
  /** Where: a file relative to the source's folder; told with what is wrong with its items. */
  readonly path: string
  readonly items: readonly Item[]
  readonly rejections: readonly Rejection[]
}

type ObjectOf<K extends Kind> = Extract<Item, { kind: K }>['object']

/** Objects of one kind. */
interface OfKind {
  readonly files: readonly LoadedFile[]
  readonly objects: ReadonlyMap<string, Item['object']>
  /** Where each was read. */
  readonly places: ReadonlyMap<string, string>
  /** Objects that others are in the place of. */
  readonly doubles: readonly Rejection[]
}

export class Collected {
  readonly #kinds = new Map<Kind, OfKind>(KINDS.map((kind) => [kind, collect(kind, [])]))

  read(files: readonly LoadedFile[]): void {
    const filesOf = new Map<Kind, LoadedFile[]>(KINDS.map((kind) => [kind, []]))
    for (const file of files) for (const kind of itemsOf(file).keys()) filesOf.get(kind)!.push(file)
    for (const [kind, those] of filesOf)
      if (!isSameList(this.#kinds.get(kind)!.files, those)) this.#kinds.set(kind, collect(kind, those))
  }

  /** By identity; the same map as long as no file with objects of that kind is another one. */
  map<K extends Kind>(kind: K): ReadonlyMap<string, ObjectOf<K>> {
    return this.#kinds.get(kind)!.objects as ReadonlyMap<string, ObjectOf<K>>
  }

  fileOf(kind: Kind, key: string): string | undefined {
    return this.#kinds.get(kind)!.places.get(key)
  }

  get doubles(): readonly Rejection[] {
    return [...this.#kinds.values()].flatMap(({ doubles }) => doubles)
  }
}

function collect(kind: Kind, files: readonly LoadedFile[]): OfKind {
  const objects = new Map<string, Item['object']>()
  const places = new Map<string, string>()
  const doubles: Rejection[] = []
  for (const file of files) {
    for (const item of itemsOf(file).get(kind)!) {
      const key = identityOf(item)
      const known = objects.get(key)
      if (known === undefined) {
        objects.set(key, item.object)
        places.set(key, file.path)
        continue
      }
      const rival = { item: { kind, object: known } as Item, path: places.get(key)! }
      const own = { item, path: file.path }
      const [winner, loser] = rival.path <= own.path ? [rival, own] : [own, rival]
      objects.set(key, winner.item.object)
      places.set(key, winner.path)
      doubles.push({
        object: idOf(loser.item),
        file: loser.path,
        value: key,
        message: `is defined in ${winner.path} already (${idOf(winner.item)}), which counts: remove one of them`,
      })
    }
  }
  return { files, objects, places, doubles }
}

const known = new WeakMap<LoadedFile, ReadonlyMap<Kind, readonly Item[]>>()

/** Of each kind that the file has. */
function itemsOf(file: LoadedFile): ReadonlyMap<Kind, readonly Item[]> {
  let items = known.get(file)
  if (items === undefined) {
    items = Map.groupBy(file.items, ({ kind }) => kind)
    known.set(file, items)
  }
  return items
}

function identityOf(item: Item): string {
  switch (item.kind) {
    case 'VirtualNetwork':
      return item.object.fqName
    case 'VirtualNetworkRouter':
    case 'Service':
    case 'EndpointSlice':
      return `${item.object.namespace}/${item.object.name}`
    case 'VirtualMachineInterface':
      return item.object.uuid
    case 'Namespace':
    case 'IPAMBlock':
    case 'VirtualRouter':
    case 'ServiceCIDR':
    case 'LoadBalancerPool':
      return item.object.name
    default:
      return item satisfies never
  }
}
