/**
 * Between the numbers and bytes of map entries and the text that the model and people use. IPv4 is a number with the first
 * octet in its highest byte (10.0.0.1 = 0x0a000001), as the codecs decode it; IPv6 and MACs are bytes.
 */
import {
  formatAddress,
  formatMac,
  ipv4FromNumber,
  ipv4ToNumber,
  parseAddress,
  parseMac,
} from '@kube-vrouter/linux/address'

export function ip4Text(ip: number): string {
  return ipv4FromNumber(ip)
}

/** Throws a TypeError when `text` is no IPv4 address. */
export function ip4Number(text: string): number {
  const number = ipv4ToNumber(text)
  if (number === undefined) throw new TypeError(`not an IPv4 address: '${text}'`)
  return number
}

/** RFC 5952 text. */
export function ip6Text(bytes: Uint8Array): string {
  return formatAddress(bytes)
}

/** 16 bytes. Throws a TypeError when `text` is no IPv6 address. */
export function ip6Bytes(text: string): Uint8Array {
  const bytes = parseAddress(text)
  if (bytes.length !== 16) throw new TypeError(`not an IPv6 address: '${text}'`)
  return bytes
}

/** The address with all but its first `length` bits cleared. */
export function mask4(ip: number, length: number): number {
  return length === 0 ? 0 : (ip & (-1 << (32 - length))) >>> 0
}

export function mask6(ip: Uint8Array, length: number): Uint8Array {
  return ip.map((byte, at) => byte & (0xff00 >> Math.max(0, Math.min(8, length - at * 8))))
}

/** Lower case, zero padded, colons. */
export function macText(bytes: Uint8Array): string {
  return formatMac(bytes)
}

export function macBytes(text: string): Uint8Array {
  return parseMac(text)
}

/**
 * The text of a u32 that types.h keeps in host order although it may hold an address in network order, such as `flow.src_info`
 * of a flow from the fabric.
 */
export function ip4TextOfRaw(raw: number): string {
  return `${raw & 255}.${(raw >>> 8) & 255}.${(raw >>> 16) & 255}.${raw >>> 24}`
}
