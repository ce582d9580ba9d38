/**
 * The fronts of all Services, sorted. What one Service changes is worked into the list; a front that nothing happened to isn't looked at. Two Services may claim
 * one front: which of them has it depends on both alone, not on who came first.
 */
import { mustParseAddress } from '../address.ts'
import { isEqual } from '../equal.ts'
import { compareText } from '../order.ts'
import type { Front, Problem } from '../tables.ts'

/** A front with the text that it is known by and sorted by. */
export interface KeyedFront {
  readonly key: string
  readonly front: Front
}

export interface FrontChange {
  readonly before: Front | undefined
  readonly after: Front | undefined
}

const KINDS: readonly Front['kind'][] = ['cluster-ip', 'node-port', 'host-port', 'load-balancer', 'external-ip']

export class FrontList {
  readonly #claims = new Map<string, Front | readonly Front[]>()
  readonly #problems = new Map<string, Problem>()
  #changed = new Map<string, Front | undefined>()
  #keys: readonly string[] = []
  #list: readonly Front[] = []

  get list(): readonly Front[] {
    return this.#list
  }

  get problems(): Iterable<Problem> {
    return this.#problems.values()
  }

  /** What one Service claims instead of what it did. @returns its claims, of which those that say the same are the same objects */
  replace(before: readonly KeyedFront[], after: readonly KeyedFront[]): readonly KeyedFront[] {
    const known = new Map(before.map((one) => [one.key, one]))
    const kept = after.map((one) => {
      const old = known.get(one.key)
      known.delete(one.key)
      if (old !== undefined && isEqual(old.front, one.front)) return old
      this.#claim(one.key, old?.front, one.front)
      return one
    })
    for (const { key, front } of known.values()) this.#claim(key, front, undefined)
    return kept
  }

  #claim(key: string, before: Front | undefined, after: Front | undefined): void {
    const claims = this.#claimsOf(key)
    if (!this.#changed.has(key)) this.#changed.set(key, claims[0])
    const others = before === undefined ? claims : claims.filter((one) => one !== before)
    const now = after === undefined ? others : [...others, after].sort(compareClaims)
    if (now.length === 0) this.#claims.delete(key)
    else this.#claims.set(key, now.length === 1 ? now[0]! : now)
  }

  #claimsOf(key: string): readonly Front[] {
    const claims = this.#claims.get(key)
    return claims === undefined ? [] : Array.isArray(claims) ? claims : [claims as Front]
  }

  /** Brings the list to what is claimed. @returns what that changed */
  commit(): readonly FrontChange[] {
    if (this.#changed.size === 0) return []
    const pending = this.#changed
    this.#changed = new Map()
    const changes: FrontChange[] = []
    const gone = new Set<string>()
    const made: string[] = []
    const list = [...this.#list]
    for (const [key, before] of pending) {
      const [after, ...losers] = this.#claimsOf(key)
      this.#tell(key, after, losers)
      if (after === before) continue
      changes.push({ before, after })
      if (after === undefined) gone.add(key)
      else if (before === undefined) made.push(key)
      else list[this.#placeOf(key)] = after
    }
    if (gone.size > 0 || made.length > 0) this.#merge(list, gone, made.sort())
    else this.#list = list
    return changes
  }

  #placeOf(key: string): number {
    let [low, high] = [0, this.#keys.length]
    while (low < high) {
      const middle = (low + high) >>> 1
      if (this.#keys[middle]! < key) low = middle + 1
      else high = middle
    }
    return low
  }

  #merge(old: readonly Front[], gone: ReadonlySet<string>, made: readonly string[]): void {
    const keys: string[] = []
    const list: Front[] = []
    let next = 0
    const takeMadeBefore = (key: string | undefined) => {
      for (; next < made.length && (key === undefined || made[next]! < key); next++) {
        keys.push(made[next]!)
        list.push(this.#claimsOf(made[next]!)[0]!)
      }
    }
    for (const [at, key] of this.#keys.entries()) {
      takeMadeBefore(key)
      if (gone.has(key)) continue
      keys.push(key)
      list.push(old[at]!)
    }
    takeMadeBefore(undefined)
    this.#keys = keys
    this.#list = list
  }

  /** Services that share an address with different ports are no conflict. */
  #tell(key: string, used: Front | undefined, losers: readonly Front[]): void {
    const loser = losers.find(({ service }) => !isSameService(service, used!.service))
    if (loser?.listener === undefined) {
      this.#problems.delete(key)
      return
    }
    const { protocol, port } = loser.listener
    this.#problems.set(key, {
      object: ownerOf(loser),
      message: `${protocol} port ${port} of ${loser.address} is that of ${ownerOf(used!)}: choose another port or address`,
    })
  }
}

function ownerOf({ service: { namespace, name, isPod } }: Front): string {
  return `${isPod ? 'Pod' : 'Service'} ${namespace}/${name}`
}

function isSameService(a: Front['service'], b: Front['service']): boolean {
  return a.namespace === b.namespace && a.name === b.name && a.isPod === b.isPod
}

/** What the cluster gave before what anybody may write into a Service or a pod. */
function compareClaims(a: Front, b: Front): number {
  return (
    KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind) ||
    compareText(a.service.namespace, b.service.namespace) ||
    compareText(a.service.name, b.service.name) ||
    compareText(a.service.port, b.service.port) ||
    a.id - b.id
  )
}

const PROTOCOLS = ['TCP', 'UDP', 'SCTP'] as const

/** Texts in the order of VRF, address, protocol and port; the address itself comes before its ports. */
export function keyedFront(front: Front): KeyedFront {
  const { vrf, address, listener } = front
  const { family, value } = mustParseAddress(address)
  const place = `${String(vrf).padStart(5, '0')} ${family} ${value.toString(16).padStart(family === 4 ? 8 : 32, '0')}`
  const port = listener && ` ${PROTOCOLS.indexOf(listener.protocol)} ${String(listener.port).padStart(5, '0')}`
  return { key: `${place}${port ?? ''}`, front }
}
