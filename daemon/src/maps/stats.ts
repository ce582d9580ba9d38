/**
 * Per-CPU counters: vif_stats, vrf_stats, drop_stats, vif_drop_stats, underlay_stats. Sums are made here; the parts of each CPU are there for
 * the tools' `--core`. Clearing writes zeroes: what the datapath counts in that moment may be lost.
 */
import type { BpfMap } from '@kube-vrouter/linux/bpf/map'
import type { Codec, UnderlayStatsStruct, VifStatsStruct, VrfStatsStruct } from './structs.ts'
import { underlayStatsCodec, vifStatsCodec, vrfStatsCodec } from './structs.ts'
import { decode, encode, u32Codec } from './table.ts'

/** A per-CPU array of structs that hold nothing but 64-bit counters. */
export class CounterTable<V extends object> {
  readonly map: BpfMap
  readonly value: Codec<V>

  constructor(map: BpfMap, value: Codec<V>) {
    this.map = map
    this.value = value
  }

  get maxEntries(): number {
    return this.map.maxEntries
  }

  /** The sum over all CPUs; undefined when the map has no such element. */
  get(index: number): V | undefined {
    const parts = this.#read(index)
    return parts && decode(this.value, sum(parts, this.value.size))
  }

  /** One value per possible CPU. */
  perCpu(index: number): readonly V[] | undefined {
    return this.#read(index)?.map((part) => decode(this.value, part))
  }

  /** The sums of elements 0 … `count` − 1 (default: all). */
  *entries(count = this.maxEntries): Generator<readonly [index: number, value: V]> {
    for (let index = 0; index < Math.min(count, this.maxEntries); index++) {
      const value = this.get(index)
      if (value) yield [index, value]
    }
  }

  /** Zeroes the counters of all CPUs, or of `cpu` alone. */
  clear(index: number, cpu?: number): void {
    if (index >= this.maxEntries) return
    const key = encode(u32Codec, index)
    const element = cpu === undefined ? undefined : this.map.lookup(key)
    if (cpu === undefined || !element) {
      this.map.update(key, new Uint8Array(this.map.elementSize))
    } else {
      this.map.splitPerCpu(element)[cpu]?.fill(0)
      this.map.update(key, element)
    }
  }

  #read(index: number): readonly Uint8Array[] | undefined {
    return index < this.maxEntries ? this.map.lookupPerCpu(encode(u32Codec, index)) : undefined
  }
}

/** Adds up the structs of all CPUs. Counters wrap at 2^64, as they do in the kernel. */
function sum(parts: readonly Uint8Array[], size: number): Uint8Array {
  const views = parts.map((part) => new DataView(part.buffer, part.byteOffset, part.byteLength))
  const total = new DataView(new ArrayBuffer(size))
  for (let at = 0; at < size; at += 8) {
    total.setBigUint64(
      at,
      views.reduce((counter, view) => counter + view.getBigUint64(at, true), 0n),
      true,
    )
  }
  return new Uint8Array(total.buffer)
}

export type VifStatsTable = CounterTable<VifStatsStruct>

export function vifStatsTable(map: BpfMap): VifStatsTable {
  return new CounterTable(map, vifStatsCodec)
}

export type VrfStatsTable = CounterTable<VrfStatsStruct>

export function vrfStatsTable(map: BpfMap): VrfStatsTable {
  return new CounterTable(map, vrfStatsCodec)
}

export type UnderlayStatsTable = CounterTable<UnderlayStatsStruct>

export function underlayStatsTable(map: BpfMap): UnderlayStatsTable {
  return new CounterTable(map, underlayStatsCodec)
}

/** Where vrf_stats counts packets whose VRF is out of range: the tools' VRF −1. */
export function unknownVrfIndex(table: VrfStatsTable): number {
  return table.maxEntries - 1
}
