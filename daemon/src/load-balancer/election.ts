/**
 * Which addresses this node announces, from who stands in line for each and who of them is there. The elected node has an address as long as it is there; the
 * next one takes it when all before it are silent. One gives up first: whoever is elected (again) waits until the other has noticed. Pure but for its memory.
 */
import type { InLine } from '../model/load-balancer/announcements.ts'
import type { Address } from '../model/objects.ts'

/** `unknown`: it hasn't been asked for long enough. */
export type Presence = 'there' | 'silent' | 'unknown'

export interface Situation {
  readonly inLine: InLine
  /** What this node announces now. */
  readonly announced: ReadonlySet<Address>
  readonly presenceOf: (node: string) => Presence
  /** Milliseconds of a clock that doesn't jump. */
  readonly now: number
}

export class Election {
  readonly #self: string
  readonly #holdMs: number
  /** Since when this node has been elected for an address that it doesn't announce yet. */
  readonly #since = new Map<Address, number>()
  /** Addresses of this node of which the next in line is silent: it may have them by now, if it is this node that nobody hears. */
  readonly #alone = new Set<Address>()

  /** `holdMs`: by then all others who see this node have noticed it, and given up. */
  constructor(self: string, holdMs: number) {
    this.#self = self
    this.#holdMs = holdMs
  }

  /** What this node has to announce from now on. */
  decide(situation: Situation): Set<Address> {
    const wanted = new Set<Address>()
    for (const [address, nodes] of situation.inLine) {
      const place = nodes.indexOf(this.#self)
      if (place < 0) continue
      const announces =
        place === 0 ? this.#asElected(address, nodes, situation) : this.#asNext(address, nodes, situation)
      if (announces) wanted.add(address)
    }
    for (const address of this.#since.keys())
      if (situation.inLine.get(address)?.[0] !== this.#self) this.#since.delete(address)
    for (const address of this.#alone)
      if (situation.inLine.get(address)?.[0] !== this.#self) this.#alone.delete(address)
    return wanted
  }

  /** Whose presence decides: for addresses that this node stands in line for, those before it, and the one behind the elected. */
  watched(inLine: InLine): Set<string> {
    const nodes = new Set<string>()
    for (const line of inLine.values()) {
      const place = line.indexOf(this.#self)
      if (place === 0 && line[1] !== undefined) nodes.add(line[1])
      for (const node of line.slice(0, Math.max(0, place))) nodes.add(node)
    }
    return nodes
  }

  /** Nobody hears this node: whatever it had is another one's. */
  lost(): void {
    this.#since.clear()
    this.#alone.clear()
  }

  #asElected(address: Address, nodes: readonly string[], { announced, presenceOf, now }: Situation): boolean {
    const next = nodes[1] === undefined ? 'unknown' : presenceOf(nodes[1])
    let has = announced.has(address) && !this.#since.has(address)
    if (next === 'silent') this.#alone.add(address)
    else if (next === 'there' && this.#alone.delete(address)) has = false
    if (has) return true
    const since = this.#since.get(address) ?? now
    this.#since.set(address, since)
    if (now - since < this.#holdMs) return false
    this.#since.delete(address)
    return true
  }

  #asNext(address: Address, nodes: readonly string[], { announced, presenceOf }: Situation): boolean {
    const before = nodes.slice(0, nodes.indexOf(this.#self)).map(presenceOf)
    if (before.includes('there')) return false
    return before.includes('unknown') ? announced.has(address) : true
  }
}
