/** What becomes of good frames in the fuzz tests: cut, falsified, changed at random. The same everywhere for a seed. */

import { isErrno } from '@kube-vrouter/linux/errors'

/** The shortest frame that a TAP takes. */
export const SHORTEST = 14
export const RANDOM_FRAMES = Number(process.env['FUZZ_FRAMES'] ?? 6000)

/** mulberry32: small, and the same everywhere for a seed. */
export function randomFrom(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Test runs refuse frames that are shorter than their IP header; a device takes them. */
export function isRefusedAsShort(error: unknown, frame: Uint8Array): boolean {
  return isErrno(error, 'EINVAL') && frame.length < 54
}

/** A frame, and what was done to it. */
export type Mutation = readonly [what: string, frame: Buffer]

export function* cutAtEveryByte(frame: Buffer): Generator<Mutation> {
  for (let length = SHORTEST; length <= frame.length; length++)
    yield [`cut at ${length}`, frame.subarray(0, length)] as const
}

export function* withExtremeWords(frame: Buffer): Generator<Mutation> {
  for (let at = 12; at < Math.min(frame.length - 1, 110); at += 2) {
    for (const value of [0, 1, 0x7fff, 0xffff]) {
      const copy = Buffer.from(frame)
      copy.writeUInt16BE(value, at)
      yield [`word ${at} = ${value}`, copy] as const
    }
  }
}

export function changedAtRandom(frame: Buffer, random: () => number): Buffer {
  const copy = Buffer.from(frame.subarray(0, SHORTEST + Math.floor(random() * (frame.length - SHORTEST + 1))))
  const changes = 1 + Math.floor(random() * 6)
  for (let change = 0; change < changes; change++) copy[Math.floor(random() * copy.length)] = Math.floor(random() * 256)
  return copy
}

/** Noise behind the beginning of a frame. */
export function noiseAfter(frame: Buffer, random: () => number): Buffer {
  const noise = Buffer.from(Array.from({ length: Math.floor(random() * 120) }, () => Math.floor(random() * 256)))
  return Buffer.concat([frame.subarray(0, SHORTEST + Math.floor(random() * 20)), noise])
}
