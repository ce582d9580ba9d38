/** The definitions of the datapath's maps as TypeScript. */

import { type Btf, resolve, sizeOf } from '@kube-vrouter/linux/bpf/btf'
import { layoutIn } from '@kube-vrouter/linux/bpf/layout'
import { NOTICE } from './codecs.ts'

export function definitionsSource(btf: Btf): string {
  const section = btf.types.find((type) => type.kind === 'datasec' && type.name === '.maps')
  if (section?.kind !== 'datasec') throw new Error('the object has no .maps section')
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
  /** Digest of the fields of key and value (MapLayout.digest). */
  readonly layout: string
}
`,
    'export const mapDefinitions = {',
  ]
  const lines = section.variables.map(({ type }) => {
    const variable = btf.types[type]
    if (variable?.kind !== 'variable') throw new Error('.maps holds something that is no variable')
    const map = resolve(btf, type)
    if (map.kind !== 'struct') throw new Error(`map ${variable.name} is no struct`)
    /** What the member `name` points to: __uint() makes it an array of that many ints, __type() the type itself. */
    const pointed = (name: string): number | undefined => {
      const member = map.members.find((member) => member.name === name)
      const pointer = member && resolve(btf, member.type)
      return pointer?.kind === 'pointer' ? pointer.target : undefined
    }
    const uint = (name: string): number | undefined => {
      const target = pointed(name)
      const array = target === undefined ? undefined : resolve(btf, target)
      return array?.kind === 'array' ? array.length : undefined
    }
    const size = (name: string): number => {
      const target = pointed(name)
      return target === undefined ? (uint(`${name}_size`) ?? 0) : sizeOf(btf, target)
    }
    const text = `  ${variable.name}: { type: ${uint('type')}, keySize: ${size('key')}, valueSize: ${size('value')}, maxEntries: ${uint('max_entries')}, flags: ${uint('map_flags') ?? 0}, layout: '${layoutIn(btf, pointed('key'), pointed('value')).digest}' },`
    return [variable.name, text] as const
  })
  lines.sort(([a], [b]) => (a < b ? -1 : 1))
  out.push(...lines.map(([, text]) => text))
  out.push('} as const satisfies Record<string, MapDefinition>\n')
  out.push('export type MapName = keyof typeof mapDefinitions\n')
  return out.join('\n')
}
