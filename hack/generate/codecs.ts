/** Turns the C types of the datapath into TypeScript: interfaces with codecs, constants, and the definitions of the maps. */

import type { BtfType, Member, StructType } from './btf.ts'
import type { Header } from './header.ts'

const NOTICE =
  '// Generated from daemon/datapath/lib by `npm run generate`. Do not edit: change the C, and generate again.\n'

type Field =
  | { readonly kind: 'number'; readonly bytes: 1 | 2 | 4; readonly isBigEndian: boolean }
  | { readonly kind: 'bigint' }
  | { readonly kind: 'bytes'; readonly count: number }
  | { readonly kind: 'text'; readonly count: number }
  | { readonly kind: 'numbers'; readonly count: number; readonly bytes: 1 | 2 | 4 | 8 }
  | { readonly kind: 'struct'; readonly struct: string }
  | { readonly kind: 'structs'; readonly struct: string; readonly size: number; readonly count: number }

export function structsSource(types: readonly BtfType[], header: Header): string {
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
  for (const name of header.structs) parts.push(structSource(types, header, name))
  return parts.join('\n')
}

function structSource(types: readonly BtfType[], header: Header, name: string): string {
  const struct = types.find((type) => type.kind === 'struct' && type.name === name) as StructType | undefined
  if (!struct) throw new Error(`struct ${name} isn't in the BTF`)
  const { members, hasUnion } = flatten(types, struct)
  const fields = members
    .filter(({ name }) => !/^pad\d*$/.test(name))
    .map((member) => ({
      ...member,
      c: member.name,
      name: camelCase(member.name.replace(/_be$/, '')),
      field: fieldOf(types, member.type),
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
    if (hasPadding(types, struct)) out.push(`    zero(into, offset, ${struct.size})`)
    for (const f of fields) out.push(`    ${encodeOf(f.field, f.offset, `value.${f.name}`)}`)
    out.push('  },')
  }
  out.push('}\n')
  return out.join('\n')
}

/** Members with anonymous unions opened. A struct with one can be read, but not written: nobody could say which member counts. */
function flatten(types: readonly BtfType[], struct: StructType): { members: readonly Member[]; hasUnion: boolean } {
  let hasUnion = false
  const members = struct.members.flatMap((member) => {
    const type = resolve(types, member.type)
    if (member.name !== '' || (type.kind !== 'union' && type.kind !== 'struct')) return [member]
    hasUnion ||= type.kind === 'union'
    return type.members.map((inner) => ({ ...inner, offset: member.offset + inner.offset }))
  })
  return { members, hasUnion }
}

/** True when bytes of the struct belong to no field of the generated interface. */
function hasPadding(types: readonly BtfType[], struct: StructType): boolean {
  const used = struct.members
    .filter(({ name }) => !/^pad\d*$/.test(name))
    .reduce((sum, { type }) => sum + sizeOf(types, type), 0)
  return used < struct.size
}

function fieldOf(types: readonly BtfType[], id: number): Field {
  const type = resolve(types, id)
  switch (type.kind) {
    case 'int':
      if (type.size === 8) return { kind: 'bigint' }
      return { kind: 'number', bytes: type.size as 1 | 2 | 4, isBigEndian: isNetworkOrder(types, id) }
    case 'struct':
      return { kind: 'struct', struct: type.name }
    case 'array': {
      const element = resolve(types, type.type)
      if (element.kind === 'struct')
        return { kind: 'structs', struct: element.name, size: element.size, count: type.count }
      if (element.kind !== 'int') throw new Error(`no codec for an array of ${element.kind}`)
      if (element.isChar) return { kind: 'text', count: type.count }
      if (element.size === 1) return { kind: 'bytes', count: type.count }
      return { kind: 'numbers', bytes: element.size as 2 | 4 | 8, count: type.count }
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

// ---- constants -------------------------------------------------------------------------------------------------------

/** `defines` are the enumerators of an enum that the generator compiled beside the header, named `define_<macro>`. */
export function constantsSource(types: readonly BtfType[], header: Header): string {
  const out = [
    NOTICE,
    "/** The datapath's numbers and flags, under their C names; each enum is an object too, for printing and iterating. */\n",
  ]
  const defines = types.find((type) => type.kind === 'enum' && type.name === 'defines')
  if (defines?.kind === 'enum') {
    for (const { name, value } of defines.values)
      out.push(`export const ${name.replace(/^define_/, '')} = ${numberText(value)}`)
  }
  for (const name of header.enums) {
    const type = types.find((type) => type.kind === 'enum' && type.name === name)
    if (type?.kind !== 'enum') throw new Error(`enum ${name} isn't in the BTF`)
    out.push('')
    for (const { name: enumerator, value } of type.values) {
      const comment = header.comments.get(`${name}.${enumerator}`)
      if (comment) out.push(`/** ${comment} */`)
      out.push(`export const ${enumerator} = ${/_flags$/.test(name) ? `0x${value.toString(16)}` : numberText(value)}`)
    }
    out.push(`\n/** enum ${name} */`)
    out.push(`export const ${name.toUpperCase()} = { ${type.values.map(({ name }) => name).join(', ')} } as const`)
  }
  return `${out.join('\n')}\n`
}

function numberText(value: number): string {
  return value > 0xffff ? `0x${value.toString(16)}` : String(value)
}

// ---- maps ------------------------------------------------------------------------------------------------------------

export function definitionsSource(types: readonly BtfType[]): string {
  const section = types.find((type) => type.kind === 'section' && type.name === '.maps')
  if (section?.kind !== 'section') throw new Error('the object has no .maps section')
  const out = [
    NOTICE,
    `/** The maps as the datapath defines them; the loader replaces max_entries by the configured limits. */

export interface MapDefinition {
  /** enum bpf_map_type. */
  readonly type: number
  /** Bytes. */
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  /** BPF_F_… */
  readonly flags: number
}
`,
    'export const mapDefinitions = {',
  ]
  const lines = section.vars.map((id) => {
    const variable = types[id]!
    if (variable.kind !== 'var') throw new Error('.maps holds something that is no variable')
    const map = resolve(types, variable.type)
    if (map.kind !== 'struct') throw new Error(`map ${variable.name} is no struct`)
    const uint = (name: string): number | undefined => {
      const member = map.members.find((member) => member.name === name)
      const pointer = member && resolve(types, member.type)
      const array = pointer?.kind === 'pointer' ? resolve(types, pointer.type) : undefined
      return array?.kind === 'array' ? array.count : undefined
    }
    const size = (name: string): number => {
      const member = map.members.find((member) => member.name === name)
      const pointer = member && resolve(types, member.type)
      return pointer?.kind === 'pointer' ? sizeOf(types, pointer.type) : (uint(`${name}_size`) ?? 0)
    }
    const text = `  ${variable.name}: { type: ${uint('type')}, keySize: ${size('key')}, valueSize: ${size('value')}, maxEntries: ${uint('max_entries')}, flags: ${uint('map_flags') ?? 0} },`
    return [variable.name, text] as const
  })
  lines.sort(([a], [b]) => (a < b ? -1 : 1))
  out.push(...lines.map(([, text]) => text))
  out.push('} as const satisfies Record<string, MapDefinition>\n')
  out.push('export type MapName = keyof typeof mapDefinitions\n')
  return out.join('\n')
}

// ---- types -----------------------------------------------------------------------------------------------------------

/** The type behind typedefs and qualifiers. */
function resolve(types: readonly BtfType[], id: number): BtfType {
  const type = types[id]
  if (!type) throw new Error(`BTF has no type ${id}`)
  return type.kind === 'typedef' || type.kind === 'const' || type.kind === 'volatile' ? resolve(types, type.type) : type
}

function isNetworkOrder(types: readonly BtfType[], id: number): boolean {
  const type = types[id]!
  if (type.kind !== 'typedef' && type.kind !== 'const' && type.kind !== 'volatile') return false
  return /^__be(16|32)$/.test(type.name) || isNetworkOrder(types, type.type)
}

function sizeOf(types: readonly BtfType[], id: number): number {
  const type = resolve(types, id)
  switch (type.kind) {
    case 'int':
    case 'struct':
    case 'union':
      return type.size
    case 'array':
      return type.count * sizeOf(types, type.type)
    case 'enum':
      return 4
    case 'pointer':
      return 8
    default:
      throw new Error(`no size of a ${type.kind}`)
  }
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
