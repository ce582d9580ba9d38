/** Text and bytes of IP and MAC addresses, as the kernel's messages carry them. Pure. */

/** 4 or 16 bytes of an address in its usual text form. Throws a TypeError for anything else. */
export function parseAddress(text: string): Uint8Array {
  return text.includes(':') ? parseAddress6(text) : parseAddress4(text)
}

/** The text of 4 or 16 bytes; IPv6 as RFC 5952 §4 wants it. */
export function formatAddress(bytes: Uint8Array): string {
  switch (bytes.length) {
    case 4:
      return bytes.join('.')
    case 16:
      return formatAddress6(bytes)
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

function parseAddress4(text: string): Uint8Array {
  const parts = text.split('.')
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255)) {
    throw new TypeError(`not an IP address: '${text}'`)
  }
  return Uint8Array.from(parts, Number)
}

function parseAddress6(text: string): Uint8Array {
  const fail = () => new TypeError(`not an IP address: '${text}'`)
  const halves = text.split('::')
  if (halves.length > 2) throw fail()
  const [head = [], tail = []] = halves.map((half) => (half === '' ? [] : half.split(':')))
  const last = tail.at(-1) ?? head.at(-1)
  if (last?.includes('.')) {
    const [a = 0, b = 0, c = 0, d = 0] = parseAddress4(last)
    const words = [((a << 8) | b).toString(16), ((c << 8) | d).toString(16)]
    ;(tail.length > 0 ? tail : head).splice(-1, 1, ...words)
  }
  const missing = 8 - head.length - tail.length
  if (halves.length === 2 ? missing < 1 : missing !== 0) throw fail()
  const words = [...head, ...new Array<string>(missing).fill('0'), ...tail]
  const bytes = new Uint8Array(16)
  words.forEach((word, i) => {
    if (!/^[0-9a-f]{1,4}$/i.test(word)) throw fail()
    const value = Number.parseInt(word, 16)
    bytes[2 * i] = value >> 8
    bytes[2 * i + 1] = value & 0xff
  })
  return bytes
}

function formatAddress6(bytes: Uint8Array): string {
  if (bytes.subarray(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff && bytes[11] === 0xff) {
    return `::ffff:${bytes.subarray(12).join('.')}`
  }
  const words = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! << 8) | bytes[2 * i + 1]!)
  const { start, length } = longestZeroRun(words)
  const text = words.map((word) => word.toString(16))
  if (length < 2) return text.join(':')
  return `${text.slice(0, start).join(':')}::${text.slice(start + length).join(':')}`
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
