/**
 * Reads the type information (BTF) of a compiled BPF object: what the codec generator needs of it, and no more.
 * Format: the kernel's Documentation/bpf/btf.rst.
 */

export type BtfType =
  | { readonly kind: 'int'; readonly name: string; readonly size: number; readonly isChar: boolean }
  | { readonly kind: 'pointer'; readonly type: number }
  | { readonly kind: 'array'; readonly type: number; readonly count: number }
  | {
      readonly kind: 'struct' | 'union'
      readonly name: string
      readonly size: number
      readonly members: readonly Member[]
    }
  | { readonly kind: 'enum'; readonly name: string; readonly values: readonly { name: string; value: number }[] }
  | { readonly kind: 'typedef' | 'const' | 'volatile'; readonly name: string; readonly type: number }
  | { readonly kind: 'var'; readonly name: string; readonly type: number }
  | { readonly kind: 'section'; readonly name: string; readonly vars: readonly number[] }
  | { readonly kind: 'other' }

export interface Member {
  readonly name: string
  readonly type: number
  /** Bytes from the start of the struct. */
  readonly offset: number
}

export type StructType = Extract<BtfType, { kind: 'struct' | 'union' }>

const KIND = {
  int: 1,
  pointer: 2,
  array: 3,
  struct: 4,
  union: 5,
  enum: 6,
  forward: 7,
  typedef: 8,
  volatile: 9,
  const: 10,
  restrict: 11,
  function: 12,
  prototype: 13,
  var: 14,
  section: 15,
  float: 16,
  declTag: 17,
  typeTag: 18,
  enum64: 19,
} as const

/** The types of the `.BTF` section of an ELF object (64 bit, little endian), by their id. Id 0 is void. */
export function readBtf(object: Uint8Array): readonly BtfType[] {
  return parse(elfSection(object, '.BTF'))
}

function elfSection(object: Uint8Array, wanted: string): DataView {
  const elf = new DataView(object.buffer, object.byteOffset, object.byteLength)
  if (elf.getUint32(0) !== 0x7f454c46 || elf.getUint8(4) !== 2 || elf.getUint8(5) !== 1) {
    throw new Error('not a 64-bit little-endian ELF object')
  }
  const headers = Number(elf.getBigUint64(0x28, true))
  const size = elf.getUint16(0x3a, true)
  const count = elf.getUint16(0x3c, true)
  const section = (i: number) => {
    const at = headers + i * size
    const offset = Number(elf.getBigUint64(at + 0x18, true))
    const length = Number(elf.getBigUint64(at + 0x20, true))
    return { name: elf.getUint32(at, true), view: new DataView(object.buffer, object.byteOffset + offset, length) }
  }
  const names = section(elf.getUint16(0x3e, true)).view
  for (let i = 1; i < count; i++) {
    const { name, view } = section(i)
    if (text(names, name) === wanted) return view
  }
  throw new Error(`the object has no ${wanted} section: compile it with -g`)
}

function text(view: DataView, offset: number): string {
  let end = offset
  while (view.getUint8(end) !== 0) end++
  return Buffer.from(view.buffer, view.byteOffset + offset, end - offset).toString()
}

function parse(btf: DataView): BtfType[] {
  if (btf.getUint16(0, true) !== 0xeb9f) throw new Error('the .BTF section has no BTF in it')
  const header = btf.getUint32(4, true)
  const typesAt = header + btf.getUint32(8, true)
  const typesEnd = typesAt + btf.getUint32(12, true)
  const stringsAt = header + btf.getUint32(16, true)
  const u32 = (at: number) => btf.getUint32(at, true)
  const string = (offset: number) => text(btf, stringsAt + offset)

  const types: BtfType[] = [{ kind: 'other' }]
  for (let at = typesAt; at < typesEnd; ) {
    const name = string(u32(at))
    const info = u32(at + 4)
    const sizeOrType = u32(at + 8)
    const kind = (info >>> 24) & 0x1f
    const count = info & 0xffff
    const extra = at + 12
    const each = <T>(size: number, read: (at: number) => T) =>
      Array.from({ length: count }, (_, i) => read(extra + i * size))
    switch (kind) {
      case KIND.int:
        types.push({ kind: 'int', name, size: sizeOrType, isChar: name === 'char' })
        at = extra + 4
        break
      case KIND.pointer:
        types.push({ kind: 'pointer', type: sizeOrType })
        at = extra
        break
      case KIND.array:
        types.push({ kind: 'array', type: u32(extra), count: u32(extra + 8) })
        at = extra + 12
        break
      case KIND.struct:
      case KIND.union:
        types.push({
          kind: kind === KIND.struct ? 'struct' : 'union',
          name,
          size: sizeOrType,
          members: each(12, (m) => ({ name: string(u32(m)), type: u32(m + 4), offset: (u32(m + 8) & 0xffffff) / 8 })),
        })
        at = extra + count * 12
        break
      case KIND.enum:
        types.push({ kind: 'enum', name, values: each(8, (v) => ({ name: string(u32(v)), value: u32(v + 4) })) })
        at = extra + count * 8
        break
      case KIND.typedef:
      case KIND.volatile:
      case KIND.const:
        types.push({
          kind: kind === KIND.typedef ? 'typedef' : kind === KIND.const ? 'const' : 'volatile',
          name,
          type: sizeOrType,
        })
        at = extra
        break
      case KIND.var:
        types.push({ kind: 'var', name, type: sizeOrType })
        at = extra + 4
        break
      case KIND.section:
        types.push({ kind: 'section', name, vars: each(12, (v) => u32(v)) })
        at = extra + count * 12
        break
      case KIND.prototype:
        types.push({ kind: 'other' })
        at = extra + count * 8
        break
      case KIND.enum64:
        types.push({ kind: 'other' })
        at = extra + count * 12
        break
      case KIND.declTag:
        types.push({ kind: 'other' })
        at = extra + 4
        break
      default:
        types.push({ kind: 'other' })
        at = extra
    }
  }
  return types
}
