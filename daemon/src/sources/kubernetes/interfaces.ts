/** Interface objects by uuid, changed one by one: there are tens of thousands of them. Of several with one uuid, that whose key comes first counts. */
import type { Rejection, VirtualMachineInterface } from '../../model/objects.ts'
import { MapView } from './map-view.ts'

export class InterfaceIndex {
  readonly #byUuid = new Map<string, VirtualMachineInterface>()
  /** Only of uuids that several objects have: all of them by key. */
  readonly #rivals = new Map<string, Map<string, VirtualMachineInterface>>()

  #view = MapView.of<string, VirtualMachineInterface>(this.#byUuid)
  #changed = new Set<string>()

  get map(): ReadonlyMap<string, VirtualMachineInterface> {
    return this.#byUuid
  }

  /** What there is, under an identity that is a new one whenever something changed. */
  view(): MapView<string, VirtualMachineInterface> {
    if (this.#changed.size > 0) {
      this.#view = this.#view.next(this.#changed)
      this.#changed = new Set()
    }
    return this.#view
  }

  set(key: string, value: VirtualMachineInterface | undefined, before: VirtualMachineInterface | undefined): void {
    if (before !== undefined && before.uuid !== value?.uuid) this.#remove(key, before)
    if (value === undefined) return
    const present = this.#byUuid.get(value.uuid)
    const rivals = this.#rivals.get(value.uuid)
    if (rivals !== undefined) {
      rivals.set(key, value)
      this.#elect(value.uuid, rivals)
    } else if (present !== undefined && keyOf(present) !== key) {
      const all = new Map([
        [keyOf(present), present],
        [key, value],
      ])
      this.#rivals.set(value.uuid, all)
      this.#elect(value.uuid, all)
    } else this.#put(value.uuid, value)
  }

  rejections(): Rejection[] {
    return [...this.#rivals].flatMap(([uuid, rivals]) => {
      const [first, ...others] = [...rivals.keys()].sort()
      return others.map((key) => ({
        object: `VirtualMachineInterface ${key}`,
        field: 'spec.uuid',
        value: uuid,
        message: `is the uuid of VirtualMachineInterface ${first} too, which counts: remove one of them`,
      }))
    })
  }

  #remove(key: string, { uuid }: VirtualMachineInterface): void {
    const rivals = this.#rivals.get(uuid)
    if (rivals === undefined) {
      this.#put(uuid, undefined)
      return
    }
    rivals.delete(key)
    this.#elect(uuid, rivals)
    if (rivals.size < 2) this.#rivals.delete(uuid)
  }

  #elect(uuid: string, rivals: ReadonlyMap<string, VirtualMachineInterface>): void {
    this.#put(uuid, rivals.get([...rivals.keys()].sort()[0]!))
  }

  #put(uuid: string, value: VirtualMachineInterface | undefined): void {
    if (value === undefined) this.#byUuid.delete(uuid)
    else this.#byUuid.set(uuid, value)
    // What changed last stands last.
    this.#changed.delete(uuid)
    this.#changed.add(uuid)
  }
}

function keyOf({ namespace, name }: VirtualMachineInterface): string {
  return `${namespace}/${name}`
}
