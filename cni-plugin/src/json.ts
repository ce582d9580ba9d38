/** JSON as runtimes write it. Most are written in Go, whose structs without tags give keys such as `HostPort`, and which reads them in any case. Pure. */

export type Json = Record<string, unknown>

export const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** The value of `key` in whatever case it is written; the exact spelling counts first, then the last of the others. Absent: undefined. */
export function fieldOf(object: Json, key: string): unknown {
  if (Object.hasOwn(object, key)) return object[key]
  const spelling = Object.keys(object).findLast((other) => isSameKey(other, key))
  return spelling === undefined ? undefined : object[spelling]
}

/** The values of several keys, each as `fieldOf` gives it. */
export function fieldsOf<K extends string>(object: Json, ...keys: readonly K[]): Readonly<Record<K, unknown>> {
  return Object.fromEntries(keys.map((key) => [key, fieldOf(object, key)])) as Record<K, unknown>
}

function isSameKey(one: string, other: string): boolean {
  return one.length === other.length && one.toLowerCase() === other.toLowerCase()
}
