/**
 * The bytes of netlink: message headers and attributes (RFC 3549 §2.3.2; netlink(7)). Pure: no socket, no message type known here.
 * Numbers are in the byte order of the machine, which is little-endian on every machine that this project supports.
 */

/** One message as received: `payload` starts with the fixed structure of its type, attributes follow. */
export interface Message {
  readonly type: number
  readonly flags: number
  readonly sequence: number
  readonly port: number
  readonly payload: Uint8Array
}

/** One attribute to send. A list of attributes as value makes it a nested one. */
export interface Attribute {
  readonly type: number
  readonly value: Uint8Array | readonly Attribute[]
}

export const NLMSG_HEADER_SIZE = 16
const ATTRIBUTE_HEADER_SIZE = 4
const NLA_F_NESTED = 0x8000
const NLA_TYPE_MASK = 0x3fff

const align = (length: number): number => (length + 3) & ~3

// ---- writing --------------------------------------------------------------------------------------------------------------

export const bytes = (type: number, value: Uint8Array): Attribute => ({ type, value })
export const nested = (type: number, value: readonly Attribute[]): Attribute => ({ type, value })
export const u8 = (type: number, value: number): Attribute => ({ type, value: Uint8Array.of(value) })
export const u16 = (type: number, value: number): Attribute => ({
  type,
  value: new Uint8Array(Uint16Array.of(value).buffer),
})
export const u32 = (type: number, value: number): Attribute => ({
  type,
  value: new Uint8Array(Uint32Array.of(value).buffer),
})
export const u64 = (type: number, value: bigint): Attribute => ({
  type,
  value: new Uint8Array(BigUint64Array.of(value).buffer),
})

/** A NUL-terminated string. */
export const text = (type: number, value: string): Attribute => ({ type, value: Buffer.from(`${value}\0`) })

/** The attributes that are there: lets callers list optional ones in place. */
export function present(...attributes: readonly (Attribute | undefined | false)[]): Attribute[] {
  return attributes.filter((attribute) => typeof attribute === 'object')
}

export function encodedLength(attributes: readonly Attribute[]): number {
  return attributes.reduce((sum, { value }) => sum + ATTRIBUTE_HEADER_SIZE + align(valueLength(value)), 0)
}

export function encodeAttributes(attributes: readonly Attribute[]): Uint8Array {
  const out = new Uint8Array(encodedLength(attributes))
  writeAttributes(out, new DataView(out.buffer), 0, attributes)
  return out
}

/** A whole message: header, fixed structure, attributes. */
export function encodeMessage(
  header: { readonly type: number; readonly flags: number; readonly sequence: number },
  fixed: Uint8Array,
  attributes: readonly Attribute[] = [],
): Uint8Array {
  const start = NLMSG_HEADER_SIZE + align(fixed.length)
  const out = new Uint8Array(start + encodedLength(attributes))
  const view = new DataView(out.buffer)
  view.setUint32(0, out.length, true)
  view.setUint16(4, header.type, true)
  view.setUint16(6, header.flags, true)
  view.setUint32(8, header.sequence, true)
  out.set(fixed, NLMSG_HEADER_SIZE)
  writeAttributes(out, view, start, attributes)
  return out
}

function valueLength(value: Attribute['value']): number {
  return value instanceof Uint8Array ? value.length : encodedLength(value)
}

function writeAttributes(out: Uint8Array, view: DataView, start: number, attributes: readonly Attribute[]): void {
  let offset = start
  for (const { type, value } of attributes) {
    const length = valueLength(value)
    if (ATTRIBUTE_HEADER_SIZE + length > 0xffff)
      throw new RangeError(`attribute ${type} has ${length} bytes, too many for netlink`)
    view.setUint16(offset, ATTRIBUTE_HEADER_SIZE + length, true)
    if (value instanceof Uint8Array) {
      view.setUint16(offset + 2, type, true)
      out.set(value, offset + ATTRIBUTE_HEADER_SIZE)
    } else {
      view.setUint16(offset + 2, type | NLA_F_NESTED, true)
      writeAttributes(out, view, offset + ATTRIBUTE_HEADER_SIZE, value)
    }
    offset += ATTRIBUTE_HEADER_SIZE + align(length)
  }
}

// ---- reading --------------------------------------------------------------------------------------------------------------

/** What the kernel sends is well-formed; bytes that are not (a truncated datagram, a wrong file) end the decoding with this. */
export class MalformedMessage extends Error {
  override readonly name = 'MalformedMessage'
}

/** The messages of one datagram. Payloads are views into `datagram`, not copies. */
export function* decodeMessages(datagram: Uint8Array): Generator<Message> {
  const view = viewOf(datagram)
  let offset = 0
  while (offset + NLMSG_HEADER_SIZE <= datagram.length) {
    const length = view.getUint32(offset, true)
    if (length < NLMSG_HEADER_SIZE || offset + length > datagram.length) {
      throw new MalformedMessage(`a message at byte ${offset} claims ${length} of ${datagram.length - offset} bytes`)
    }
    yield {
      type: view.getUint16(offset + 4, true),
      flags: view.getUint16(offset + 6, true),
      sequence: view.getUint32(offset + 8, true),
      port: view.getUint32(offset + 12, true),
      payload: datagram.subarray(offset + NLMSG_HEADER_SIZE, offset + length),
    }
    offset += align(length)
  }
}

/** A decoded attribute; its value may hold attributes again. */
export interface DecodedAttribute {
  readonly type: number
  readonly value: Uint8Array
}

/** The attributes in order, repeats kept. Values are views into `data`. */
export function* listAttributes(data: Uint8Array): Generator<DecodedAttribute> {
  const view = viewOf(data)
  let offset = 0
  while (offset + ATTRIBUTE_HEADER_SIZE <= data.length) {
    const length = view.getUint16(offset, true)
    if (length < ATTRIBUTE_HEADER_SIZE || offset + length > data.length) {
      throw new MalformedMessage(`an attribute at byte ${offset} claims ${length} of ${data.length - offset} bytes`)
    }
    const type = view.getUint16(offset + 2, true) & NLA_TYPE_MASK
    yield { type, value: data.subarray(offset + ATTRIBUTE_HEADER_SIZE, offset + length) }
    offset += align(length)
  }
}

/** The attributes by type; of repeated ones the last counts, as in the kernel. */
export function decodeAttributes(data: Uint8Array): Map<number, Uint8Array> {
  const attributes = new Map<number, Uint8Array>()
  for (const { type, value } of listAttributes(data)) attributes.set(type, value)
  return attributes
}

export const viewOf = (data: Uint8Array): DataView => new DataView(data.buffer, data.byteOffset, data.byteLength)

export const readU8 = (value: Uint8Array): number => viewOf(value).getUint8(0)
export const readU16 = (value: Uint8Array): number => viewOf(value).getUint16(0, true)
export const readU32 = (value: Uint8Array): number => viewOf(value).getUint32(0, true)
export const readI32 = (value: Uint8Array): number => viewOf(value).getInt32(0, true)
export const readU64 = (value: Uint8Array): bigint => viewOf(value).getBigUint64(0, true)

/** Text up to the first NUL. */
export function readText(value: Uint8Array): string {
  const end = value.indexOf(0)
  return Buffer.from(value.buffer, value.byteOffset, end < 0 ? value.length : end).toString('utf8')
}

/** `read(value)` of an attribute that may be missing. */
export function optional<T>(value: Uint8Array | undefined, read: (value: Uint8Array) => T): T | undefined {
  return value === undefined ? undefined : read(value)
}
