/** How an entry of one layout becomes one of another: each field goes where the field of its name is. Pure. */
import type { Field } from '@kube-vrouter/linux/bpf/layout'

export interface Carrier {
  /** Into zeros: a field that the entry didn't have is 0. */
  copy(from: Uint8Array, into: Uint8Array): void
  /** Fields of the old layout that the new one doesn't have, and new ones. */
  readonly dropped: readonly string[]
  readonly added: readonly string[]
}

/** `renamed`: new name -> old name. A number that grew is filled up with zeros, an array that shrank loses its end. */
export function carrier(
  from: readonly Field[],
  to: readonly Field[],
  renamed: Readonly<Record<string, string>> = {},
): Carrier {
  const old = new Map(from.map((field) => [field.name, field]))
  const moves: { source: number; target: number; size: number }[] = []
  const added: string[] = []
  for (const field of to) {
    const source = old.get(field.name) ?? old.get(renamed[field.name] ?? field.name)
    if (source === undefined) {
      added.push(field.name)
      continue
    }
    old.delete(source.name)
    const move = { source: source.offset, target: field.offset, size: Math.min(source.size, field.size) }
    const last = moves.at(-1)
    const isNext = last && last.source + last.size === move.source && last.target + last.size === move.target
    if (isNext) last.size += move.size
    else moves.push(move)
  }
  return {
    copy: (bytes, into) => {
      for (const { source, target, size } of moves) for (let i = 0; i < size; i++) into[target + i] = bytes[source + i]!
    },
    dropped: [...old.keys()],
    added,
  }
}

/** The field of that name; undefined: the layout has none. */
export function fieldOf(fields: readonly Field[], name: string): Field | undefined {
  return fields.find((field) => field.name === name)
}
