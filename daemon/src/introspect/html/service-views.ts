/** Tables of Services: where they are reached, and what is chosen from there. */
import type { AnyValue } from '../wire.ts'
import { objectLink } from './cells.ts'
import { type Column, count, endpoint, listOf, numberOf, plain, protocolName, textOf, vrf } from './columns.ts'
import { type Html, html } from './markup.ts'

/** Where a Service is reached: the address alone is what refuses everything but its ports. */
function frontOf(row: AnyValue): string {
  const port = numberOf(row, 'port')
  return port === 0 ? textOf(row, 'address') : endpoint(textOf(row, 'address'), port)
}

/** Endpoints shown in a row of a table; all are behind its opener. */
const BACKS_SHOWN = 8

function backsOf(row: AnyValue, name: string, whenEmpty?: string): Html {
  const backs = listOf(row, name)
  if (backs.length === 0)
    return html`<span class="soft">none${whenEmpty === undefined ? '' : `: ${textOf(row, whenEmpty)}`}</span>`
  const more = backs.length - BACKS_SHOWN
  return html`<span class="mono">${backs
    .slice(0, BACKS_SHOWN)
    .map(
      (back) => html`${endpoint(textOf(back, 'address'), numberOf(back, 'port'))}<br>`,
    )}</span>${more > 0 ? html`<span class="soft">and ${more} more</span>` : undefined}`
}

function isSameSet(a: readonly AnyValue[], b: readonly AnyValue[]): boolean {
  const keyOf = (back: AnyValue) => `${textOf(back, 'address')} ${textOf(back, 'port')}`
  return a.length === b.length && a.every((back, at) => keyOf(back) === keyOf(b[at]!))
}

/** By struct name. */
export const SERVICE_VIEWS: Readonly<Record<string, readonly Column[]>> = {
  ServiceSandeshData: [
    { title: 'Id', isNumber: true, cell: (row) => objectLink('KServiceReq', textOf(row, 'id')) },
    {
      title: 'Service',
      cell: (row) =>
        html`${textOf(row, 'name')}<span class="under">${[textOf(row, 'kind'), textOf(row, 'port_name')].filter((word) => word !== '').join(', ')}</span>`,
    },
    vrf('vrf'),
    { title: 'Address', cell: (row) => html`<span class="mono">${frontOf(row)}</span>` },
    plain('Protocol', 'protocol'),
    { title: 'Endpoints', cell: (row) => backsOf(row, 'inside', 'inside_when_empty') },
    {
      title: 'From elsewhere',
      cell: (row) =>
        isSameSet(listOf(row, 'inside'), listOf(row, 'outside'))
          ? html`<span class="soft">the same</span>`
          : backsOf(row, 'outside', 'outside_when_empty'),
    },
    count('Connections', 'connections'),
    count('Refused', 'refused'),
    count('Dropped', 'dropped'),
  ],
  KServiceInfo: [
    {
      title: 'Service',
      isNumber: true,
      cell: (row) => html`<a href="/Snh_ServiceListReq?id=${textOf(row, 'service')}">${textOf(row, 'service')}</a>`,
    },
    { title: 'VRF', isNumber: true, cell: (row) => textOf(row, 'vrf') },
    { title: 'Address', cell: (row) => html`<span class="mono">${frontOf(row)}</span>` },
    {
      title: 'Protocol',
      cell: (row) => (numberOf(row, 'protocol') === 0 ? '' : protocolName(numberOf(row, 'protocol'))),
    },
    plain('Flags', 'flags'),
    { title: 'Endpoints', cell: (row) => backsOf(row, 'inside') },
    {
      title: 'From elsewhere',
      cell: (row) =>
        isSameSet(listOf(row, 'inside'), listOf(row, 'outside'))
          ? html`<span class="soft">the same</span>`
          : backsOf(row, 'outside'),
    },
    count('Connections', 'connections'),
    count('Refused', 'refused'),
    count('Dropped', 'dropped'),
  ],
}
