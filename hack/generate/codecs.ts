/** The structs of the datapath as TypeScript: interfaces and codecs. */

import { type Btf, type BtfStruct, type BtfType, findStruct, layoutOf, resolve } from '@kube-vrouter/linux/bpf/btf'
import type { Header } from './header.ts'

export const NOTICE =
  '// Generated from daemon/datapath/lib by `npm run generate`. Do not edit: change the C, and generate again.\n'

type Field =
  | { readonly kind: 'number'; readonly bytes: 1 | 2 | 4; readonly isBigEndian: boolean }
  | { readonly kind: 'bigint' }
  | { readonly kind: 'bytes'; readonly count: number }
  | { readonly kind: 'text'; readonly count: number }
  | { readonly kind: 'numbers'; readonly count: number; readonly bytes: 1 | 2 | 4 | 8 }
  | { readonly kind: 'struct'; readonly struct: string }
  | { readonly kind: 'structs'; readonly struct: string; readonly size: number; readonly count: number }

export function structsSource(btf: Btf, header: Header): string {
  const parts = [
    NOTICE,
    `/**
 * The datapath's structs, as the maps hold them. Network-order numbers (IPv4 addresses, ports) are decoded to what they
 * mean: 10.0.0.1 is 0x0a000001 (addresses.ts turns them into text). MACs and IPv6 addresses are bytes; 64-bit counters are
 * bigints. Decoded values own their memory. Padding is written as zeroes, so that encoded keys compare as bytes.
 */
`,
    `export interface Decoder<T> {
  /** Bytes. */
  readonly size: number
  decode(view: DataView, offset?: number): T
}

export interface Codec<T> extends Decoder<T> {
  encode(value: T, into: DataView, offset?: number): void
}

function bytesAt(view: DataView, offset: number, length: number): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset + offset, length).slice()
}

function textAt(view: DataView, offset: number, length: number): string {
  const bytes = Buffer.from(view.buffer, view.byteOffset + offset, length)
  const end = bytes.indexOf(0)
  return bytes.toString('latin1', 0, end < 0 ? length : end)
}

/** Zeroes the \`length\` bytes at \`offset\` and copies as much of \`bytes\` as fits. */
function putBytes(view: DataView, offset: number, length: number, bytes: Uint8Array): void {
  const target = new Uint8Array(view.buffer, view.byteOffset + offset, length)
  target.fill(0)
  target.set(bytes.subarray(0, length))
}

/** A C string: cut so that its end mark fits. */
function putText(view: DataView, offset: number, length: number, text: string): void {
  putBytes(view, offset, length, Buffer.from(text, 'latin1').subarray(0, length - 1))
}

function zero(view: DataView, offset: number, length: number): void {
  new Uint8Array(view.buffer, view.byteOffset + offset, length).fill(0)
}
`,
  ]
  for (const name of header.structs) parts.push(structSource(btf, header, name))
  return parts.join('\n')
}

function structSource(btf: Btf, header: Header, name: string): string {
  const struct = findStruct(btf, name)
  if (!struct) throw new Error(`struct ${name} isn't in the BTF`)
  const hasUnion = struct.members.some(({ name, type }) => name === '' && resolve(btf, type).kind === 'union')
  const fields = layoutOf(btf, struct)
    .filter(({ name }) => !isPadding(name))
    .map(({ name, type, typeName, offset }) => ({
      offset,
      c: name,
      name: camelCase(name.replace(/_be$/, '')),
      field: fieldOf(btf, type, typeName),
    }))
  const typeName = structTypeName(name)
  const codec = hasUnion ? 'Decoder' : 'Codec'
  const docs = (key: string, indent: string) => {
    const comment = header.comments.get(key)
    return comment ? `${indent}/** ${comment} */\n` : ''
  }
  const out: string[] = []
  out.push(`${docs(name, '')}export interface ${typeName} {`)
  for (const f of fields) out.push(`${docs(`${name}.${f.c}`, '  ')}  readonly ${f.name}: ${typeOf(f.field)}`)
  out.push('}\n')
  out.push(`export const ${codecName(name)}: ${codec}<${typeName}> = {\n  size: ${struct.size},`)
  out.push('  decode: (view, offset = 0) => ({')
  for (const f of fields) out.push(`    ${f.name}: ${decodeOf(f.field, f.offset)},`)
  out.push('  }),')
  if (!hasUnion) {
    out.push('  encode: (value, into, offset = 0) => {')
    if (hasPadding(btf, struct)) out.push(`    zero(into, offset, ${struct.size})`)
    for (const f of fields) out.push(`    ${encodeOf(f.field, f.offset, `value.${f.name}`)}`)
    out.push('  },')
  }
  out.push('}\n')
  return out.join('\n')
}

function isPadding(member: string): boolean {
  return /^pad\d*$/.test(member)
}

/** True when bytes of the struct belong to no field of the generated interface. */
function hasPadding(btf: Btf, struct: BtfStruct): boolean {
  const used = layoutOf(btf, struct).filter(({ name }) => !isPadding(name))
  return used.reduce((sum, { size }) => sum + size, 0) < struct.size
}

/** `typeName`: as the source has it, which tells network order (__be16, __be32) from host order. */
function fieldOf(btf: Btf, type: BtfType, typeName: string): Field {
  switch (type.kind) {
    case 'int':
      if (type.size === 8) return { kind: 'bigint' }
      return { kind: 'number', bytes: type.size as 1 | 2 | 4, isBigEndian: /^__be(16|32)$/.test(typeName) }
    case 'struct':
      return { kind: 'struct', struct: type.name }
    case 'array': {
      const element = resolve(btf, type.element)
      if (element.kind === 'struct')
        return { kind: 'structs', struct: element.name, size: element.size, count: type.length }
      if (element.kind !== 'int') throw new Error(`no codec for an array of ${element.kind}`)
      if (element.isChar || element.name === 'char') return { kind: 'text', count: type.length }
      if (element.size === 1) return { kind: 'bytes', count: type.length }
      return { kind: 'numbers', bytes: element.size as 2 | 4 | 8, count: type.length }
    }
    default:
      throw new Error(`no codec for a ${type.kind}`)
  }
}

function typeOf(field: Field): string {
  switch (field.kind) {
    case 'number':
      return 'number'
    case 'bigint':
      return 'bigint'
    case 'bytes':
      return 'Uint8Array'
    case 'text':
      return 'string'
    case 'numbers':
      return field.bytes === 8 ? 'readonly bigint[]' : 'readonly number[]'
    case 'struct':
      return structTypeName(field.struct)
    case 'structs':
      return `readonly ${structTypeName(field.struct)}[]`
  }
}

function at(offset: number | string): string {
  return offset === 0 ? 'offset' : `offset + ${offset}`
}

function decodeOf(field: Field, offset: number): string {
  switch (field.kind) {
    case 'number':
      return readNumber(field.bytes, field.isBigEndian, at(offset))
    case 'bigint':
      return `view.getBigUint64(${at(offset)}, true)`
    case 'bytes':
      return `bytesAt(view, ${at(offset)}, ${field.count})`
    case 'text':
      return `textAt(view, ${at(offset)}, ${field.count})`
    case 'numbers': {
      const place = at(offset === 0 ? `i * ${field.bytes}` : `${offset} + i * ${field.bytes}`)
      const read = field.bytes === 8 ? `view.getBigUint64(${place}, true)` : readNumber(field.bytes, false, place)
      return `Array.from({ length: ${field.count} }, (_, i) => ${read})`
    }
    case 'struct':
      return `${codecName(field.struct)}.decode(view, ${at(offset)})`
    case 'structs':
      return `Array.from({ length: ${field.count} }, (_, i) => ${codecName(field.struct)}.decode(view, ${at(`${offset} + i * ${field.size}`)}))`
  }
}

function encodeOf(field: Field, offset: number, value: string): string {
  switch (field.kind) {
    case 'number':
      if (field.bytes === 1) return `into.setUint8(${at(offset)}, ${value})`
      return `into.setUint${field.bytes * 8}(${at(offset)}, ${value}, ${!field.isBigEndian})`
    case 'bigint':
      return `into.setBigUint64(${at(offset)}, ${value}, true)`
    case 'bytes':
      return `putBytes(into, ${at(offset)}, ${field.count}, ${value})`
    case 'text':
      return `putText(into, ${at(offset)}, ${field.count}, ${value})`
    case 'numbers': {
      const place = at(offset === 0 ? `i * ${field.bytes}` : `${offset} + i * ${field.bytes}`)
      if (field.bytes === 8)
        return `for (let i = 0; i < ${field.count}; i++) into.setBigUint64(${place}, ${value}[i] ?? 0n, true)`
      return `for (let i = 0; i < ${field.count}; i++) into.setUint${field.bytes * 8}(${place}, ${value}[i] ?? 0, true)`
    }
    case 'struct':
      return `${codecName(field.struct)}.encode(${value}, into, ${at(offset)})`
    case 'structs':
      return `zero(into, ${at(offset)}, ${field.size * field.count})
    for (let i = 0; i < Math.min(${value}.length, ${field.count}); i++) ${codecName(field.struct)}.encode(${value}[i]!, into, ${at(`${offset} + i * ${field.size}`)})`
  }
}

function readNumber(bytes: 1 | 2 | 4, isBigEndian: boolean, place: string): string {
  return bytes === 1 ? `view.getUint8(${place})` : `view.getUint${bytes * 8}(${place}, ${!isBigEndian})`
}

function camelCase(name: string): string {
  return name.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase())
}

/** `vif_stats` -> `VifStatsStruct`. The suffix keeps them apart from the model's Vif, Route, Nexthop. */
function structTypeName(name: string): string {
  const camel = camelCase(name)
  return `${camel[0]!.toUpperCase()}${camel.slice(1)}Struct`
}

function codecName(name: string): string {
  return `${camelCase(name)}Codec`
}
