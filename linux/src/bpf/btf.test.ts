import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { decodeBtf, findEnum, findStruct, layoutOf, nameOf, objectBtf, readObjectBtf, resolve, sizeOf } from './btf.ts'
import { findSection, readElf } from './elf.ts'

/** testdata/layout.bpf.c, compiled by clang 14. */
const object = Buffer.from(
  readFileSync(new URL('../../testdata/layout.hex', import.meta.url), 'utf8').replaceAll('\n', ''),
  'hex',
)

describe('ELF of a bpf object', () => {
  const elf = readElf(object)

  it('lists sections with their bytes', () => {
    assert.ok(findSection(elf, 'tc')!.data.length > 0)
    assert.equal(findSection(elf, 'nosuch'), undefined)
  })

  it('finds variables in their section', () => {
    const limit = elf.symbols.find(({ name }) => name === 'limit')!
    const section = elf.sections[limit.section]!
    assert.equal(section.name, '.rodata')
    assert.equal(limit.size, 4)
    assert.equal(Buffer.from(section.data).readUInt32LE(limit.value), 7)
  })

  it('refuses other files', () => {
    assert.throws(() => readElf(Buffer.from('int main;')), TypeError)
    assert.throws(() => readElf(new Uint8Array(0)), TypeError)
  })
})

describe('BTF', () => {
  const btf = readObjectBtf(object)

  it('lays out a structure as the compiler did', () => {
    const struct = findStruct(btf, 'layout')!
    assert.equal(struct.size, 72)
    assert.deepEqual(
      layoutOf(btf, struct).map(({ name, typeName, offset, size, bits }) => [
        name,
        typeName,
        offset,
        size,
        ...(bits ? [bits.offset, bits.width] : []),
      ]),
      [
        ['address', '__be32', 0, 4],
        ['mac', '__u8[6]', 4, 6],
        ['padding', '__u16', 10, 2],
        ['whole', '__u64', 16, 8],
        ['low', '__u32', 16, 4],
        ['high', '__u32', 20, 4],
        ['pair', 'inner[2]', 24, 8],
        ['verdict', 'verdict', 32, 4],
        ['offset', 'offset', 36, 4],
        ['label', '__u32', 40, 4, 320, 20],
        ['class', '__u32', 42, 4, 340, 3],
        ['last', '__u32', 42, 4, 343, 1],
        ['wide', 'wide', 48, 8],
        ['next', 'layout *', 56, 8],
        ['ratio', 'double', 64, 8],
      ],
    )
  })

  it('looks through typedefs and qualifiers, into arrays and structures', () => {
    const members = layoutOf(btf, findStruct(btf, 'layout')!)
    const mac = members.find(({ name }) => name === 'mac')!.type
    assert.equal(mac.kind, 'array')
    assert.ok(mac.kind === 'array')
    assert.equal(mac.length, 6)
    assert.deepEqual(
      { ...resolve(btf, mac.element), id: 0 },
      {
        kind: 'int',
        id: 0,
        name: 'unsigned char',
        size: 1,
        bits: 8,
        signed: false,
        isBool: false,
        isChar: false,
      },
    )
    const pair = members.find(({ name }) => name === 'pair')!.type
    assert.ok(pair.kind === 'array')
    assert.equal(nameOf(btf, pair.element), 'inner')
    const inner = layoutOf(btf, findStruct(btf, 'inner')!)
    assert.deepEqual(
      inner.map(({ name, offset, type }) => [name, offset, type.kind === 'int' && type.isBool]),
      [
        ['port', 0, false],
        ['on', 2, true],
      ],
    )
    assert.equal(sizeOf(btf, pair.element), 4)
  })

  it('reads enums, signed and 64 bits wide ones too', () => {
    const values = (name: string) => findEnum(btf, name)!.values.map(({ name, value }) => [name, value])
    assert.deepEqual(values('verdict'), [
      ['PASS', 0n],
      ['DROP', 5n],
      ['LAST', 0x7fffffffn],
    ])
    assert.deepEqual(values('offset'), [
      ['BEHIND', -2n],
      ['AHEAD', 2n],
    ])
    assert.equal(findEnum(btf, 'wide')?.size, 8)
  })

  it('says so when an object has none', () => {
    assert.throws(() => objectBtf({ sections: [], symbols: [] }), /compile it with -g/)
    assert.throws(() => decodeBtf(new Uint8Array(24)), TypeError)
  })

  it('reads every type of the running kernel', function () {
    const path = '/sys/kernel/btf/vmlinux'
    if (!existsSync(path)) this.skip()
    const vmlinux = decodeBtf(readFileSync(path))
    const skb = findStruct(vmlinux, '__sk_buff')!
    assert.deepEqual(
      layoutOf(vmlinux, skb)
        .filter(({ name }) => name === 'mark' || name === 'gso_size')
        .map(({ name, offset }) => [name, offset]),
      [
        ['mark', 8],
        ['gso_size', 176],
      ],
    )
    assert.ok(
      findEnum(vmlinux, 'bpf_cmd')!.values.some(({ name, value }) => name === 'BPF_LINK_DETACH' && value === 34n),
    )
  })
})
