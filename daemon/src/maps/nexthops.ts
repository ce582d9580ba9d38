/** The nexthops, by id, and the members of the composite ones. */
import type { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { NH_FLAG_VALID } from './constants.ts'
import {
  type CompositeMemberStruct,
  type CompositeStruct,
  compositeCodec,
  type NexthopStruct,
  nexthopCodec,
} from './structs.ts'
import { Table, u32Codec } from './table.ts'

export type NexthopTable = Table<number, NexthopStruct>

export function nexthopTable(map: BpfMap): NexthopTable {
  return new Table(map, u32Codec, nexthopCodec)
}

export type CompositeTable = Table<number, CompositeStruct>

export function compositeTable(map: BpfMap): CompositeTable {
  return new Table(map, u32Codec, compositeCodec)
}

/** An array element that was never written, or was cleared: all zero. Such an id is free. */
export function isFree(nexthop: NexthopStruct): boolean {
  return nexthop.type === 0 && nexthop.flags === 0 && nexthop.family === 0
}

export function isValid(nexthop: NexthopStruct): boolean {
  return (nexthop.flags & NH_FLAG_VALID) !== 0
}

/** The nexthops in use, by id, in slices. */
export async function* listNexthops(
  nexthops: NexthopTable,
): AsyncGenerator<readonly (readonly [id: number, nexthop: NexthopStruct])[]> {
  for await (const slice of nexthops.slices({ used: true })) {
    const used = slice.filter(([, nexthop]) => !isFree(nexthop))
    if (used.length > 0) yield used
  }
}

/** Undefined: no such id, or free. */
export function nexthopById(nexthops: NexthopTable, id: number): NexthopStruct | undefined {
  const nexthop = id < nexthops.maxEntries ? nexthops.get(id) : undefined
  return nexthop && !isFree(nexthop) ? nexthop : undefined
}

/** Members of a composite nexthop; empty when it is none. */
export function membersOf(composites: CompositeTable, id: number): readonly CompositeMemberStruct[] {
  const composite = composites.get(id)
  return composite ? composite.members.slice(0, composite.count) : []
}
