/** Underlay neighbours whose MAC is wanted: next hops of the tunnels, and gateways that the kernel's routes name. */
import { mustParseAddress } from './address.ts'
import { keepList, Memo } from './equal.ts'
import type { NodeFacts } from './facts.ts'
import type { Address } from './objects.ts'
import { underlayRoutes } from './tunnels.ts'

export class NeighbourTable {
  readonly #sorted = new Memo<readonly Address[]>()
  #neighbours: readonly Address[] = []

  /** Sorted; the same array as before while nothing changed. `nextHops`: the same set as long as they are the same. */
  compute(nextHops: ReadonlySet<Address>, facts: NodeFacts): readonly Address[] {
    const sorted = this.#sorted.get([nextHops, facts], () =>
      [...nextHops.union(gatewaysOf(facts))].sort(compareAddresses),
    )
    this.#neighbours = keepList(this.#neighbours, sorted)
    return this.#neighbours
  }
}

function gatewaysOf(facts: NodeFacts): ReadonlySet<Address> {
  return new Set(underlayRoutes(facts).flatMap(({ gateway }) => gateway ?? []))
}

function compareAddresses(a: Address, b: Address): number {
  return Number(mustParseAddress(a).value - mustParseAddress(b).value)
}
