/**
 * Text and bytes of IP and MAC addresses: the one reader and writer of both. Text is strict on the way in (dotted quads without leading zeros, no zone)
 * and as RFC 5952 §4 wants it on the way out. Pure.
 */

/** 4 or 16 bytes of an address in its usual text form. Throws a TypeError for anything else. */
export function parseAddress(text: string): Uint8Array {
  const bytes = text.includes(':') ? ipv6ToBytes(text) : ipv4ToBytes(text)
  if (bytes === undefined) throw new TypeError(`not an IP address: '${text}'`)
  return bytes
}

/** What kind of address `text` is; undefined: none. Node's own isIP takes IPv6 with a zone as well, which has no bytes. */
export function addressFamily(text: string): 4 | 6 | undefined {
  if (text.includes(':')) return ipv6ToWords(text) === undefined ? undefined : 6
  return ipv4ToNumber(text) === undefined ? undefined : 4
}

/** An IPv4 address as a number, its first octet in the highest byte; undefined: `text` is no dotted quad. For tens of thousands of them. */
export function ipv4ToNumber(text: string): number | undefined {
  let value = 0
  let octet = -1
  let dots = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code === 46) {
      if (octet < 0) return undefined
      value = value * 256 + octet
      octet = -1
      dots++
    } else if (code >= 48 && code <= 57) {
      if (octet === 0) return undefined
      octet = octet < 0 ? code - 48 : octet * 10 + code - 48
      if (octet > 255) return undefined
    } else return undefined
  }
  return dots === 3 && octet >= 0 ? value * 256 + octet : undefined
}

export function ipv4FromNumber(value: number): string {
  return `${value >>> 24}.${(value >>> 16) & 0xff}.${(value >>> 8) & 0xff}.${value & 0xff}`
}

/** The eight words of an IPv6 address; undefined: `text` is none. */
export function ipv6ToWords(text: string): number[] | undefined {
  const halves = text.split('::')
  if (halves.length > 2) return undefined
  const [head = [], tail = []] = halves.map((half) => (half === '' ? [] : half.split(':')))
  // A dotted quad may stand for the last two words.
  const last = halves.length === 2 ? tail : head
  if (last.at(-1)?.includes('.')) {
    const quad = ipv4ToNumber(last.at(-1)!)
    if (quad === undefined) return undefined
    last.splice(-1, 1, (quad >>> 16).toString(16), (quad & 0xffff).toString(16))
  }
  const missing = 8 - head.length - tail.length
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined
  const words: number[] = []
  for (const word of head) words.push(wordOf(word))
  for (let i = 0; i < missing; i++) words.push(0)
  for (const word of tail) words.push(wordOf(word))
  return words.includes(-1) ? undefined : words
}

/** The text of eight words. */
export function ipv6FromWords(words: readonly number[]): string {
  if (words[5] === 0xffff && words.slice(0, 5).every((word) => word === 0)) {
    return `::ffff:${ipv4FromNumber(((words[6]! << 16) | words[7]!) >>> 0)}`
  }
  const { start, length } = longestZeroRun(words)
  const text = words.map((word) => word.toString(16))
  if (length < 2) return text.join(':')
  return `${text.slice(0, start).join(':')}::${text.slice(start + length).join(':')}`
}

/** The text of 4 or 16 bytes. */
export function formatAddress(bytes: Uint8Array): string {
  switch (bytes.length) {
    case 4:
      return bytes.join('.')
    case 16:
      return ipv6FromWords(Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! << 8) | bytes[2 * i + 1]!))
    default:
      throw new TypeError(`an address has 4 or 16 bytes, not ${bytes.length}`)
  }
}

/** 6 bytes of 'xx:xx:xx:xx:xx:xx'. */
export function parseMac(text: string): Uint8Array {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) throw new TypeError(`not a MAC address: '${text}'`)
  return Uint8Array.from(text.split(':'), (part) => Number.parseInt(part, 16))
}

/** Lower-case, colon-separated. Link-layer addresses of other lengths (tunnels) are written the same way. */
export function formatMac(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(':')
}

function ipv4ToBytes(text: string): Uint8Array | undefined {
  const value = ipv4ToNumber(text)
  return value === undefined ? undefined : Uint8Array.of(value >>> 24, value >>> 16, value >>> 8, value)
}

function ipv6ToBytes(text: string): Uint8Array | undefined {
  return ipv6ToWords(text)?.reduce((bytes, word, i) => {
    bytes[2 * i] = word >> 8
    bytes[2 * i + 1] = word
    return bytes
  }, new Uint8Array(16))
}

/** -1: not one to four hexadecimal digits. */
function wordOf(text: string): number {
  return /^[0-9a-f]{1,4}$/i.test(text) ? Number.parseInt(text, 16) : -1
}

function longestZeroRun(words: readonly number[]): { start: number; length: number } {
  let best = { start: 0, length: 0 }
  let start = 0
  for (let i = 0; i <= words.length; i++) {
    if (words[i] === 0) continue
    if (i - start > best.length) best = { start, length: i - start }
    start = i + 1
  }
  return best
}
