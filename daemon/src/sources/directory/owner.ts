/** Whose a published object is: a daemon withdraws its own alone. */
import { readFileSync } from 'node:fs'
import type { Item } from '../objects/decode.ts'
import { parseText } from './documents.ts'

/** The node that a file names as that of its only object; undefined: it names none. */
export function publisherOf(file: string): string | undefined {
  try {
    const { documents } = parseText(readFileSync(file, 'utf8'))
    const [document] = documents as { readonly spec?: { readonly node?: unknown } }[]
    const node = documents.length === 1 ? document?.spec?.node : undefined
    return typeof node === 'string' ? node : undefined
  } catch {
    return undefined
  }
}

/** Whose object it is; undefined for what people write. */
export function nodeOf(item: Item): string | undefined {
  switch (item.kind) {
    case 'IPAMBlock':
    case 'VirtualMachineInterface':
      return item.object.node
    case 'VirtualRouter':
      return item.object.name
    case 'Namespace':
    case 'VirtualNetwork':
    case 'VirtualNetworkRouter':
    case 'Service':
    case 'EndpointSlice':
    case 'ServiceCIDR':
    case 'LoadBalancerPool':
      return undefined
    default:
      return item satisfies never
  }
}
