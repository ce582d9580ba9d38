/**
 * The layout of map keys and values: which field lies where. Two builds whose maps have the same layout understand each other's entries; where they
 * don't, entries are carried over field by field, by name. Known of any map that was made with BTF, whoever made it.
 */
import { createHash } from 'node:crypto'
import { type Btf, layoutOf, resolve, sizeOf } from './btf.ts'
import { kernelBtf } from './kernel-btf.ts'
import { mapInfo } from './map-command.ts'

/** A number, or an array of numbers. Members of inner structures are named `outer.inner`, elements of an array of structures `array.0.member`. */
export interface Field {
  /** '' where the whole is one number. */
  readonly name: string
  /** Bytes. */
  readonly offset: number
  readonly size: number
}

export interface MapLayout {
  readonly key: readonly Field[]
  readonly value: readonly Field[]
  /** Same digest, same layout. */
  readonly digest: string
}

/** The fields of a type in order, padding left out. */
export function fieldsOf(btf: Btf, id: number, name = '', offset = 0): Field[] {
  const type = resolve(btf, id)
  const below = (member: string) => (name === '' ? member : `${name}.${member}`)
  switch (type.kind) {
    case 'struct':
    case 'union':
      return layoutOf(btf, type)
        .filter((member) => !/^pad\d*$/.test(member.name))
        .flatMap((member) => fieldsOf(btf, member.type.id, below(member.name), offset + member.offset))
    case 'array': {
      const element = resolve(btf, type.element)
      if (element.kind !== 'struct' && element.kind !== 'union') return [{ name, offset, size: sizeOf(btf, id) }]
      const stride = sizeOf(btf, type.element)
      return Array.from({ length: type.length }, (_, i) =>
        fieldsOf(btf, type.element, below(String(i)), offset + i * stride),
      ).flat()
    }
    default:
      return [{ name, offset, size: sizeOf(btf, id) }]
  }
}

/** Undefined types: of a map without keys, such as a queue. */
export function layoutIn(btf: Btf, keyType: number | undefined, valueType: number | undefined): MapLayout {
  const key = keyType === undefined ? [] : fieldsOf(btf, keyType)
  const value = valueType === undefined ? [] : fieldsOf(btf, valueType)
  const text = [key, value].map((fields) => fields.map(({ name, offset, size }) => `${name}@${offset}+${size}`).join())
  return { key, value, digest: createHash('sha256').update(text.join(';')).digest('hex').slice(0, 12) }
}

/** Undefined: the map was made without BTF. */
export function layoutOfMap(fd: number): MapLayout | undefined {
  const { btfId, btfKeyType, btfValueType } = mapInfo(fd)
  if (btfId === 0 || btfKeyType === 0 || btfValueType === 0) return undefined
  return layoutIn(kernelBtf(btfId), btfKeyType, btfValueType)
}
