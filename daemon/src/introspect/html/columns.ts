/** The columns that tables are made of. */
import type { AnyValue } from '../wire.ts'
import { objectLink } from './cells.ts'
import { byteCount, grouped, type Html, html, hueOf, type Part, shortName } from './markup.ts'

export interface Column {
  readonly title: string
  readonly cell: (row: AnyValue) => Part
  readonly isNumber?: boolean
}

export const textOf = (row: AnyValue, name: string) => String(row[name] ?? '')
export const numberOf = (row: AnyValue, name: string) => Number(row[name] ?? 0)
export const listOf = (row: AnyValue, name: string) => (row[name] ?? []) as readonly AnyValue[]

export const plain = (title: string, name: string): Column => ({ title, cell: (row) => textOf(row, name) })
export const mono = (title: string, name: string): Column => ({
  title,
  cell: (row) => html`<span class="mono">${textOf(row, name)}</span>`,
})
export const count = (title: string, name: string): Column => ({
  title,
  isNumber: true,
  cell: (row) => grouped((row[name] ?? 0) as bigint),
})
export const bytes = (title: string, name: string): Column => ({
  title,
  isNumber: true,
  cell: (row) => byteCount((row[name] ?? 0) as bigint),
})
export const linked = (title: string, name: string, request: string): Column => ({
  title,
  cell: (row) => objectLink(request, textOf(row, name)),
})
/** A label: -1 and 0 are none. */
export const label = (name: string): Column => ({
  title: 'Label',
  isNumber: true,
  cell: (row) => (numberOf(row, name) > 0 ? textOf(row, name) : ''),
})

export function vnName(fqName: string, request = 'VnListReq'): Html {
  if (fqName === '' || fqName === 'N/A') return html``
  const link = html`<a href="/Snh_${request}?x=${encodeURIComponent(fqName)}" title="${fqName}">${shortName(fqName)}</a>`
  return html`<span class="dot" style="--hue:${hueOf(fqName.split(':').slice(0, 3).join(':'))}"></span>${link}`
}

export const vn = (name: string): Column => ({ title: 'Network', cell: (row) => vnName(textOf(row, name)) })
export const vrf = (name: string): Column => ({ title: 'VRF', cell: (row) => vnName(textOf(row, name), 'VrfListReq') })

const PROTOCOLS: Readonly<Record<number, string>> = { 1: 'ICMP', 6: 'TCP', 17: 'UDP', 58: 'ICMPv6', 132: 'SCTP' }

export function protocolName(number: number): string {
  return PROTOCOLS[number] ?? String(number)
}

export function endpoint(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`
}
