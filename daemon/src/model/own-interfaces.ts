/**
 * Interface objects that have this node's name, among tens of thousands of others. Where the source's map tells what changed, that is all that is looked at.
 */
import type { VirtualMachineInterface } from './objects.ts'
import type { ChangeTold } from './remote-pods.ts'

type Interfaces = ReadonlyMap<string, VirtualMachineInterface>

export class OwnInterfaces {
  readonly #node: string
  #source: Interfaces | undefined
  #own = new Map<string, VirtualMachineInterface>()

  constructor(node: string) {
    this.#node = node
  }

  of(source: Interfaces): Iterable<VirtualMachineInterface> {
    if (source !== this.#source)
      this.#follow(source, (source as Partial<ChangeTold<string>>).changedSince?.(this.#source))
    this.#source = source
    return this.#own.values()
  }

  #follow(source: Interfaces, changed: Iterable<string> | undefined): void {
    if (changed === undefined) {
      this.#own = new Map()
      for (const [uuid, one] of source) if (one.node === this.#node) this.#own.set(uuid, one)
      return
    }
    for (const uuid of changed) {
      const one = source.get(uuid)
      if (one?.node === this.#node) this.#own.set(uuid, one)
      else this.#own.delete(uuid)
    }
  }
}
