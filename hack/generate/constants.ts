/** The enums and `#define`d numbers of the datapath as TypeScript. */

import { type Btf, findEnum } from '@kube-vrouter/linux/bpf/btf'
import { NOTICE } from './codecs.ts'
import type { Header } from './header.ts'

/** `defines` are the enumerators of an enum that the generator compiled beside the header, named `define_<macro>`. */
export function constantsSource(btf: Btf, header: Header): string {
  const out = [
    NOTICE,
    "/** The datapath's numbers and flags, under their C names; each enum is an object too, for printing and iterating. */\n",
  ]
  for (const { name, value } of findEnum(btf, 'defines')?.values ?? []) {
    out.push(`export const ${name.replace(/^define_/, '')} = ${numberText(unsigned(value))}`)
  }
  for (const name of header.enums) {
    const type = findEnum(btf, name)
    if (!type) throw new Error(`enum ${name} isn't in the BTF`)
    const twins = sharedBits(type.values.map(({ name, value }) => ({ name, value: unsigned(value) })))
    if (/_flags$/.test(name) && twins.length) throw new Error(`enum ${name}: ${twins.join(' and ')} share a bit`)
    out.push('')
    for (const { name: enumerator, value } of type.values) {
      const comment = header.comments.get(`${name}.${enumerator}`)
      if (comment) out.push(`/** ${comment} */`)
      const number = unsigned(value)
      out.push(`export const ${enumerator} = ${/_flags$/.test(name) ? `0x${number.toString(16)}` : numberText(number)}`)
    }
    out.push(`\n/** enum ${name} */`)
    out.push(`export const ${name.toUpperCase()} = { ${type.values.map(({ name }) => name).join(', ')} } as const`)
  }
  return `${out.join('\n')}\n`
}

/** The first two flags that have a bit in common: setting one would set the other. */
export function sharedBits(flags: readonly { readonly name: string; readonly value: number }[]): string[] {
  for (const [at, flag] of flags.entries()) {
    const twin = flags.slice(0, at).find(({ value }) => value & flag.value)
    if (twin) return [twin.name, flag.name]
  }
  return []
}

/** Flags like 1 << 31 are negative to the compiler. */
function unsigned(value: bigint): number {
  return Number(BigInt.asUintN(32, value))
}

function numberText(value: number): string {
  return value > 0xffff ? `0x${value.toString(16)}` : String(value)
}
