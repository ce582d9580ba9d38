/**
 * One number for the contents of a table, whatever the order of its entries: the sum of a hash of each. The daemon keeps it up to date with what it
 * writes; the same number from what the kernel holds says that nobody else has changed anything, at a third of the price of comparing entries. Pure.
 */

const SEED = 0x811c9dc5
const PRIME = 0x01000193

/** Of an entry as strings of bytes (see delta.ts); of the value only the first `valueBytes` count. */
export function hashOfText(key: string, value: string, valueBytes: number): number {
  let hash = SEED
  for (let i = 0; i < key.length; i++) hash = Math.imul(hash ^ key.charCodeAt(i), PRIME)
  const end = Math.min(value.length, valueBytes)
  for (let i = 0; i < end; i++) hash = Math.imul(hash ^ value.charCodeAt(i), PRIME)
  return spread(hash)
}

/** The same of an entry among others. */
export function hashOfBytes(
  keys: Uint8Array,
  keyAt: number,
  keySize: number,
  values: Uint8Array,
  valueAt: number,
  valueBytes: number,
): number {
  let hash = SEED
  for (let i = keyAt; i < keyAt + keySize; i++) hash = Math.imul(hash ^ keys[i]!, PRIME)
  for (let i = valueAt; i < valueAt + valueBytes; i++) hash = Math.imul(hash ^ values[i]!, PRIME)
  return spread(hash)
}

/** The last bytes would change the low bits only. */
function spread(hash: number): number {
  const mixed = Math.imul(hash ^ (hash >>> 15), 0x2c1b3c6d)
  return (mixed ^ (mixed >>> 13)) >>> 0
}
