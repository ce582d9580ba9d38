/**
 * BTF, the type information in a bpf object (section .BTF; the kernel's Documentation/bpf/btf.rst): which structures there are, and where each
 * member lies. Codecs of map keys and values are generated from it. Pure.
 */

import { type ElfFile, findSection, readElf } from './elf.ts'

export type BtfType =
  | { readonly kind: 'void'; readonly id: number }
  | {
      readonly kind: 'int'
      readonly id: number
      readonly name: string
      readonly size: number
      readonly bits: number
      readonly signed: boolean
      readonly isBool: boolean
      readonly isChar: boolean
    }
  | { readonly kind: 'pointer'; readonly id: number; readonly target: number }
  | { readonly kind: 'array'; readonly id: number; readonly element: number; readonly length: number }
  | {
      readonly kind: 'struct' | 'union'
      readonly id: number
      readonly name: string
      readonly size: number
      readonly members: readonly BtfMember[]
    }
  | {
      readonly kind: 'enum'
      readonly id: number
      readonly name: string
      readonly size: number
      readonly signed: boolean
      readonly values: readonly { readonly name: string; readonly value: bigint }[]
    }
  | {
      readonly kind: 'typedef' | 'volatile' | 'const' | 'restrict' | 'typetag' | 'forward' | 'function'
      readonly id: number
      readonly name: string
      readonly target: number
    }
  | { readonly kind: 'float'; readonly id: number; readonly name: string; readonly size: number }
  | { readonly kind: 'variable'; readonly id: number; readonly name: string; readonly target: number }
  | {
      readonly kind: 'datasec'
      readonly id: number
      readonly name: string
      readonly size: number
      readonly variables: readonly { readonly type: number; readonly offset: number; readonly size: number }[]
    }
  | { readonly kind: 'prototype' | 'decltag'; readonly id: number; readonly name: string }

export interface BtfMember {
  /** '' for anonymous structures and unions, whose members belong to the outer one. */
  readonly name: string
  readonly type: number
  /** From the start of the structure. */
  readonly offsetBits: number
  /** Width of a bit field; undefined for whole members. */
  readonly bitfieldBits: number | undefined
}

/** Type 0 is void. */
export interface Btf {
  readonly types: readonly BtfType[]
}

export type BtfStruct = Extract<BtfType, { kind: 'struct' | 'union' }>
export type BtfEnum = Extract<BtfType, { kind: 'enum' }>

/** The BTF of an ELF object, read from its bytes. */
export function readObjectBtf(object: Uint8Array): Btf {
  return objectBtf(readElf(object))
}

export function objectBtf(elf: ElfFile): Btf {
  const section = findSection(elf, '.BTF')
  if (!section) throw new TypeError('the object has no BTF: compile it with -g')
  return decodeBtf(section.data)
}

const MAGIC = 0xeb9f

export function decodeBtf(data: Uint8Array): Btf {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  if (data.length < 24 || view.getUint16(0, true) !== MAGIC) throw new TypeError('not little-endian BTF')
  const headerSize = view.getUint32(4, true)
  const typesStart = headerSize + view.getUint32(8, true)
  const typesEnd = typesStart + view.getUint32(12, true)
  const strings = data.subarray(headerSize + view.getUint32(16, true))
  const types: BtfType[] = [{ kind: 'void', id: 0 }]
  for (let at = typesStart; at < typesEnd; ) {
    const { type, size } = decodeType(view, at, types.length, (offset) => cString(strings, offset))
    types.push(type)
    at += size
  }
  return { types }
}

/** One type and the bytes that it takes. */
function decodeType(
  view: DataView,
  at: number,
  id: number,
  text: (offset: number) => string,
): { type: BtfType; size: number } {
  const name = text(view.getUint32(at, true))
  const info = view.getUint32(at + 4, true)
  const count = info & 0xffff
  const flag = info >>> 31 === 1
  const sizeOrType = view.getUint32(at + 8, true)
  const u32 = (offset: number) => view.getUint32(at + 12 + offset, true)
  const reference = (
    kind: 'typedef' | 'volatile' | 'const' | 'restrict' | 'typetag' | 'forward' | 'function',
  ): { type: BtfType; size: number } => ({ type: { kind, id, name, target: sizeOrType }, size: 12 })
  const kind = (info >>> 24) & 0x1f
  switch (kind) {
    case 1: {
      const encoding = u32(0)
      const type = {
        kind: 'int',
        id,
        name,
        size: sizeOrType,
        bits: encoding & 0xff,
        signed: (encoding & (1 << 24)) !== 0,
        isChar: (encoding & (2 << 24)) !== 0,
        isBool: (encoding & (4 << 24)) !== 0,
      } as const
      return { type, size: 16 }
    }
    case 2:
      return { type: { kind: 'pointer', id, target: sizeOrType }, size: 12 }
    case 3:
      return { type: { kind: 'array', id, element: u32(0), length: u32(8) }, size: 24 }
    case 4:
    case 5: {
      const members = Array.from({ length: count }, (_, i) => {
        const offset = u32(i * 12 + 8)
        const width = flag ? offset >>> 24 : 0
        return {
          name: text(u32(i * 12)),
          type: u32(i * 12 + 4),
          offsetBits: flag ? offset & 0xffffff : offset,
          bitfieldBits: width === 0 ? undefined : width,
        }
      })
      return {
        type: { kind: kind === 4 ? 'struct' : 'union', id, name, size: sizeOrType, members },
        size: 12 + 12 * count,
      }
    }
    case 6: {
      const values = Array.from({ length: count }, (_, i) => ({
        name: text(u32(i * 8)),
        // Signed as in struct btf_enum: compilers before clang 15 don't say which enums are.
        value: BigInt(view.getInt32(at + 16 + i * 8, true)),
      }))
      return { type: { kind: 'enum', id, name, size: sizeOrType, signed: flag, values }, size: 12 + 8 * count }
    }
    case 7:
      return reference('forward')
    case 8:
      return reference('typedef')
    case 9:
      return reference('volatile')
    case 10:
      return reference('const')
    case 11:
      return reference('restrict')
    case 12:
      return reference('function')
    case 13:
      return { type: { kind: 'prototype', id, name }, size: 12 + 8 * count }
    case 14:
      return { type: { kind: 'variable', id, name, target: sizeOrType }, size: 16 }
    case 15: {
      const variables = Array.from({ length: count }, (_, i) => ({
        type: u32(i * 12),
        offset: u32(i * 12 + 4),
        size: u32(i * 12 + 8),
      }))
      return { type: { kind: 'datasec', id, name, size: sizeOrType, variables }, size: 12 + 12 * count }
    }
    case 16:
      return { type: { kind: 'float', id, name, size: sizeOrType }, size: 12 }
    case 17:
      return { type: { kind: 'decltag', id, name }, size: 16 }
    case 18:
      return reference('typetag')
    case 19: {
      const values = Array.from({ length: count }, (_, i) => {
        const bits = (BigInt(u32(i * 12 + 8)) << 32n) | BigInt(u32(i * 12 + 4))
        return { name: text(u32(i * 12)), value: flag ? BigInt.asIntN(64, bits) : bits }
      })
      return { type: { kind: 'enum', id, name, size: sizeOrType, signed: flag, values }, size: 12 + 12 * count }
    }
    default:
      throw new TypeError(`unknown BTF kind ${kind}`)
  }
}

/** The structure or union of that name, or undefined. */
export function findStruct(btf: Btf, name: string): BtfStruct | undefined {
  return btf.types.find(
    (type): type is BtfStruct => (type.kind === 'struct' || type.kind === 'union') && type.name === name,
  )
}

export function findEnum(btf: Btf, name: string): BtfEnum | undefined {
  return btf.types.find((type): type is BtfEnum => type.kind === 'enum' && type.name === name)
}

export function typeOf(btf: Btf, id: number): BtfType {
  const type = btf.types[id]
  if (!type) throw new RangeError(`there is no BTF type ${id}`)
  return type
}

/** The type behind typedefs, const, volatile and the like. */
export function resolve(btf: Btf, id: number): BtfType {
  let type = typeOf(btf, id)
  while (
    type.kind === 'typedef' ||
    type.kind === 'const' ||
    type.kind === 'volatile' ||
    type.kind === 'restrict' ||
    type.kind === 'typetag' ||
    type.kind === 'variable'
  ) {
    type = typeOf(btf, type.target)
  }
  return type
}

/** The outermost name that the source gives a type: '__be32' where `resolve` says 'unsigned int'. */
export function nameOf(btf: Btf, id: number): string {
  const type = typeOf(btf, id)
  switch (type.kind) {
    case 'const':
    case 'volatile':
    case 'restrict':
    case 'typetag':
      return nameOf(btf, type.target)
    case 'void':
      return 'void'
    case 'pointer':
      return `${nameOf(btf, type.target)} *`
    case 'array':
      return `${nameOf(btf, type.element)}[${type.length}]`
    default:
      return type.name
  }
}

/** Bytes of a value of that type. Throws for types without a size (functions, forward declarations). */
export function sizeOf(btf: Btf, id: number): number {
  const type = resolve(btf, id)
  switch (type.kind) {
    case 'int':
    case 'float':
    case 'enum':
    case 'struct':
    case 'union':
    case 'datasec':
      return type.size
    case 'pointer':
      return 8
    case 'array':
      return type.length * sizeOf(btf, type.element)
    default:
      throw new TypeError(`a ${type.kind} has no size`)
  }
}

/** A member with everything a codec needs. Members of anonymous structures and unions are listed with the outer offset. */
export interface LayoutMember {
  readonly name: string
  readonly type: BtfType
  /** The type's name in the source. */
  readonly typeName: string
  readonly offset: number
  readonly size: number
  /** Set for bit fields: first bit from the start of the structure, and width. */
  readonly bits: { readonly offset: number; readonly width: number } | undefined
}

/** The members of a structure in order, anonymous ones flattened. */
export function layoutOf(btf: Btf, struct: BtfStruct, baseBits = 0): LayoutMember[] {
  return struct.members.flatMap((member) => {
    const type = resolve(btf, member.type)
    const offsetBits = baseBits + member.offsetBits
    if (member.name === '' && (type.kind === 'struct' || type.kind === 'union')) return layoutOf(btf, type, offsetBits)
    const width = member.bitfieldBits
    return [
      {
        name: member.name,
        type,
        typeName: nameOf(btf, member.type),
        offset: offsetBits >> 3,
        size: sizeOf(btf, member.type),
        bits: width === undefined ? undefined : { offset: offsetBits, width },
      },
    ]
  })
}

function cString(strings: Uint8Array, offset: number): string {
  const end = strings.indexOf(0, offset)
  return Buffer.from(strings.buffer, strings.byteOffset + offset, end - offset).toString('utf8')
}
