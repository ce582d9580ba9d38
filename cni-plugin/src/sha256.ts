/** SHA-256 (FIPS 180-4) of a short text. node:crypto knows it too, but takes 4 ms to load: longer than all else that DEL does by itself. Pure. */

/** Fractional parts of the cube roots of the first 64 primes. */
const K = new Uint32Array(64)
/** Fractional parts of the square roots of the first 8 primes. */
const START = new Uint32Array(8)
for (let candidate = 2, found = 0; found < 64; candidate++) {
  let isPrime = true
  for (let divisor = 2; divisor * divisor <= candidate; divisor++) if (candidate % divisor === 0) isPrime = false
  if (!isPrime) continue
  if (found < 8) START[found] = fractionBits(candidate ** (1 / 2))
  K[found++] = fractionBits(candidate ** (1 / 3))
}

function fractionBits(value: number): number {
  return Math.floor((value - Math.floor(value)) * 2 ** 32)
}

export function sha256Hex(text: string): string {
  const message = Buffer.from(text)
  // The message, a one bit, zeros, and its length in bits: whole blocks of 64 bytes.
  const padded = Buffer.alloc((((message.length + 8) >> 6) + 1) << 6)
  message.copy(padded)
  padded[message.length] = 0x80
  padded.writeUInt32BE(message.length * 8, padded.length - 4)
  const hash = START.slice()
  const schedule = new Uint32Array(64)
  for (let at = 0; at < padded.length; at += 64) {
    for (let i = 0; i < 16; i++) schedule[i] = padded.readUInt32BE(at + i * 4)
    for (let i = 16; i < 64; i++) {
      const [old, recent] = [schedule[i - 15]!, schedule[i - 2]!]
      const s0 = rotate(old, 7) ^ rotate(old, 18) ^ (old >>> 3)
      const s1 = rotate(recent, 17) ^ rotate(recent, 19) ^ (recent >>> 10)
      schedule[i] = schedule[i - 16]! + s0 + schedule[i - 7]! + s1
    }
    mix(hash, schedule)
  }
  return [...hash].map((word) => word.toString(16).padStart(8, '0')).join('')
}

/** One block into the hash. */
function mix(hash: Uint32Array, schedule: Uint32Array): void {
  let [a, b, c, d, e, f, g, h] = hash as unknown as [number, number, number, number, number, number, number, number]
  for (let i = 0; i < 64; i++) {
    const s1 = rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)
    const s0 = rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)
    const first = (h + s1 + ((e & f) ^ (~e & g)) + K[i]! + schedule[i]!) >>> 0
    const second = (s0 + ((a & b) ^ (a & c) ^ (b & c))) >>> 0
    ;[h, g, f, e, d, c, b, a] = [g, f, e, (d + first) >>> 0, c, b, a, (first + second) >>> 0]
  }
  for (const [i, word] of [a, b, c, d, e, f, g, h].entries()) hash[i] = hash[i]! + word
}

function rotate(word: number, bits: number): number {
  return (word >>> bits) | (word << (32 - bits))
}
