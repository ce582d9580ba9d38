/**
 * The CNI binary as what makes it differ from the node binary that lies beside it: a single executable is a copy of node with a script in it, so
 * an image that held both would be twice the size. Only places are recorded: whatever isn't a literal is the base's byte at the same offset.
 *
 * A patch is one line of JSON (PatchHeader), then the literals one after the other.
 */
import { createHash } from 'node:crypto'

export interface PatchHeader {
  readonly format: 'vrouter-patch-1'
  readonly base: Fingerprint
  readonly result: Fingerprint
  /** Offset and length, ascending, apart from each other. */
  readonly literals: readonly (readonly [offset: number, length: number])[]
}

export interface Fingerprint {
  readonly size: number
  /** Hexadecimal. */
  readonly sha256: string
}

/** Literals are found in steps of so many bytes. */
const STEP = 64

export function makePatch(base: Uint8Array, result: Uint8Array): Uint8Array {
  const literals: [number, number][] = []
  for (let offset = 0; offset < result.length; offset += STEP) {
    const end = Math.min(offset + STEP, result.length)
    if (end <= base.length && Buffer.compare(base.subarray(offset, end), result.subarray(offset, end)) === 0) continue
    const last = literals.at(-1)
    if (last !== undefined && last[0] + last[1] === offset) last[1] += end - offset
    else literals.push([offset, end - offset])
  }
  const header: PatchHeader = {
    format: 'vrouter-patch-1',
    base: fingerprint(base),
    result: fingerprint(result),
    literals,
  }
  const parts = literals.map(([offset, length]) => result.subarray(offset, offset + length))
  return Buffer.concat([Buffer.from(`${JSON.stringify(header)}\n`), ...parts])
}

/** Throws when this is no patch. */
export function patchHeader(patch: Uint8Array): PatchHeader {
  const end = patch.indexOf(0x0a)
  try {
    const header = JSON.parse(Buffer.from(patch.subarray(0, end)).toString()) as PatchHeader
    if (header.format === 'vrouter-patch-1') return header
  } catch {
    // said below
  }
  throw new Error('this is no patch of kube-vrouter')
}

/** Throws when `base` isn't the one that the patch was made from, or the outcome isn't what was patched. */
export function applyPatch(base: Uint8Array, patch: Uint8Array): Uint8Array {
  const header = patchHeader(patch)
  if (!isSame(fingerprint(base), header.base)) throw new Error('the patch was made for another node binary')
  const result = Buffer.alloc(header.result.size)
  result.set(base.subarray(0, header.result.size))
  let at = patch.indexOf(0x0a) + 1
  for (const [offset, length] of header.literals) {
    result.set(patch.subarray(at, at + length), offset)
    at += length
  }
  if (!isSame(fingerprint(result), header.result)) throw new Error('the patch is damaged')
  return result
}

export function fingerprint(bytes: Uint8Array): Fingerprint {
  return { size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }
}

export function isSame(one: Fingerprint, other: Fingerprint): boolean {
  return one.size === other.size && one.sha256 === other.sha256
}
