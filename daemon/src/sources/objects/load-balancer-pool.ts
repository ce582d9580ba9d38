/** A LoadBalancerPool. Pure. */
import {
  formatAddress,
  lastOf,
  mustParseAddress,
  type ParsedAddress,
  type Prefix,
  parseCidr,
} from '../../model/address.ts'
import type { AddressRange, LoadBalancerPool } from '../../model/objects.ts'
import { type SchemaIssue, shorten } from '../../schema/check.ts'
import { decodeSelector, type SelectorSpec } from './selector.ts'
import { SPECIAL } from './service.ts'

interface PoolSpec {
  readonly addresses: readonly string[]
  readonly namespaceSelector?: SelectorSpec
  readonly autoAssign?: boolean
  readonly isDefault?: boolean
}

/** Of a document that its schema accepts. */
export function decodePool({
  metadata: { name },
  spec,
}: {
  readonly metadata: { readonly name: string }
  readonly spec: object
}): { readonly pool: LoadBalancerPool } | { readonly issues: readonly SchemaIssue[] } {
  const { addresses, namespaceSelector, autoAssign = true, isDefault = false } = spec as PoolSpec
  const issues: SchemaIssue[] = []
  const ranges = addresses.map((text, index) => decodeRange(text, `spec.addresses[${index}]`, issues))
  const namespaces =
    namespaceSelector === undefined ? undefined : decodeSelector(namespaceSelector, 'spec.namespaceSelector', issues)
  if (issues.length > 0) return { issues }
  return { pool: { name, ranges, ...(namespaces !== undefined && { namespaces }), autoAssign, isDefault } }
}

function decodeRange(text: string, field: string, issues: SchemaIssue[]): AddressRange {
  const [first, last] = boundsOf(text)
  const [from, to] = [formatAddress(first), formatAddress(last)]
  if (first.value > last.value) {
    const message = `ends before it begins: write ${to}-${from}`
    issues.push({ field, value: shorten(text), message })
  }
  const special = SPECIAL.find(({ prefix }) => isAmong(prefix, first, last))
  if (special !== undefined) {
    const message = `holds ${special.what}: give addresses that others can be reached at`
    issues.push({ field, value: shorten(text), message })
  }
  return { first: from, last: to }
}

function isAmong(prefix: Prefix, first: ParsedAddress, last: ParsedAddress): boolean {
  return prefix.family === first.family && prefix.value <= last.value && lastOf(prefix).value >= first.value
}

function boundsOf(text: string): readonly [ParsedAddress, ParsedAddress] {
  const prefix = parseCidr(text)
  if (prefix !== undefined) return [{ family: prefix.family, value: prefix.value }, lastOf(prefix)]
  const [first, last] = text.split('-').map(mustParseAddress)
  return [first!, last!]
}
