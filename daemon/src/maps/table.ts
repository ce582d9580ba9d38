/**
 * Typed access to one map. A Table borrows its BpfMap: open.ts owns the descriptors.
 *
 * Whole tables are read with batch lookups. `entries` reads in one go, for small tables and command line tools; `slices` gives
 * the event loop back between batches, for anything that may be large. Neither is a snapshot: entries that change while they are
 * read may be seen in either state, and an entry that is moved may be missed, as with any dump of a live table.
 */
import { setImmediate as turn } from 'node:timers/promises'
import type { BpfMap, MapEntry } from '@kube-vrouter/linux/bpf/map'
import type { Codec, Decoder } from './structs.ts'

/** Entries read by one system call. 1024 flows take less than a millisecond. */
const PAGE = 1024

export const u32Codec: Codec<number> = {
  size: 4,
  decode: (view, offset = 0) => view.getUint32(offset, true),
  encode: (value, into, offset = 0) => into.setUint32(offset, value, true),
}

export function encode<T>(codec: Codec<T>, value: T): Uint8Array {
  const bytes = new Uint8Array(codec.size)
  codec.encode(value, new DataView(bytes.buffer))
  return bytes
}

export function decode<T>(codec: Decoder<T>, bytes: Uint8Array): T {
  return codec.decode(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength))
}

/** A hash or an LPM trie. */
export class Table<K, V> {
  readonly map: BpfMap
  readonly key: Codec<K>
  readonly value: Codec<V>

  constructor(map: BpfMap, key: Codec<K>, value: Codec<V>) {
    this.map = map
    this.key = key
    this.value = value
  }

  get maxEntries(): number {
    return this.map.maxEntries
  }

  /** An LPM trie answers with the longest prefix that covers `key`. */
  get(key: K): V | undefined {
    const bytes = this.map.lookup(encode(this.key, key))
    return bytes && decode(this.value, bytes)
  }

  set(key: K, value: V): void {
    this.map.update(encode(this.key, key), encode(this.value, value))
  }

  /** False when there was no such entry. */
  delete(key: K): boolean {
    return this.map.delete(encode(this.key, key))
  }

  /** `used`: of an array only elements that aren't all zero. */
  *entries({ used = false } = {}): Generator<readonly [K, V]> {
    for (const page of this.map.pages(PAGE, { skipZero: used })) for (const entry of page) yield this.#decode(entry)
  }

  /** Batches of entries, the event loop getting its turn after each. */
  async *slices({ used = false } = {}): AsyncGenerator<readonly (readonly [K, V])[]> {
    for (const page of this.map.pages(PAGE, { skipZero: used })) {
      yield page.map((entry) => this.#decode(entry))
      await turn()
    }
  }

  #decode({ key, value }: MapEntry): readonly [K, V] {
    return [decode(this.key, key), decode(this.value, value)]
  }
}
