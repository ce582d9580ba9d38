/** Just enough of ELF to read a bpf object: 64-bit little-endian relocatable files, their sections and symbols. Pure. */

export interface Section {
  readonly name: string
  readonly index: number
  readonly type: number
  readonly data: Uint8Array
}

export interface ElfSymbol {
  readonly name: string
  /** Offset in its section. */
  readonly value: number
  readonly size: number
  readonly section: number
}

export interface ElfFile {
  readonly sections: readonly Section[]
  readonly symbols: readonly ElfSymbol[]
}

const SHT_SYMTAB = 2
const SHT_NOBITS = 8
const SECTION_HEADER_SIZE = 64
const SYMBOL_SIZE = 24

/** Throws a TypeError for anything that isn't such a file. */
export function readElf(file: Uint8Array): ElfFile {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength)
  if (file.length < 64 || view.getUint32(0, false) !== 0x7f454c46 || file[4] !== 2 || file[5] !== 1) {
    throw new TypeError('not a 64-bit little-endian ELF file')
  }
  const tableOffset = Number(view.getBigUint64(40, true))
  const count = view.getUint16(60, true)
  const namesIndex = view.getUint16(62, true)
  const headers = Array.from({ length: count }, (_, i) => {
    const at = tableOffset + i * SECTION_HEADER_SIZE
    const type = view.getUint32(at + 4, true)
    const offset = Number(view.getBigUint64(at + 24, true))
    const size = Number(view.getBigUint64(at + 32, true))
    return {
      nameOffset: view.getUint32(at, true),
      index: i,
      type,
      link: view.getUint32(at + 40, true),
      data: type === SHT_NOBITS ? new Uint8Array(size) : file.subarray(offset, offset + size),
    }
  })
  const names = headers[namesIndex]?.data ?? new Uint8Array(0)
  const sections = headers.map(({ nameOffset, index, type, data }) => ({
    name: stringAt(names, nameOffset),
    index,
    type,
    data,
  }))
  const table = headers.find(({ type }) => type === SHT_SYMTAB)
  return { sections, symbols: table ? readSymbols(table.data, headers[table.link]?.data ?? new Uint8Array(0)) : [] }
}

export function findSection(elf: ElfFile, name: string): Section | undefined {
  return elf.sections.find((section) => section.name === name)
}

function readSymbols(data: Uint8Array, names: Uint8Array): ElfSymbol[] {
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength)
  return Array.from({ length: Math.floor(data.length / SYMBOL_SIZE) }, (_, i) => ({
    name: stringAt(names, view.getUint32(i * SYMBOL_SIZE, true)),
    section: view.getUint16(i * SYMBOL_SIZE + 6, true),
    value: Number(view.getBigUint64(i * SYMBOL_SIZE + 8, true)),
    size: Number(view.getBigUint64(i * SYMBOL_SIZE + 16, true)),
  }))
}

function stringAt(table: Uint8Array, offset: number): string {
  const end = table.indexOf(0, offset)
  return Buffer.from(table.buffer, table.byteOffset + offset, (end < 0 ? table.length : end) - offset).toString('utf8')
}
