/** What `mpls` prints (vRouter reference §3.4). Pure. */
import { right } from './columns.ts'

export interface MplsRow {
  readonly label: number
  readonly nexthop: number
}

export function formatMpls(rows: readonly MplsRow[]): string {
  const header = `MPLS Input Label Map\n\n   Label    NextHop\n${'-'.repeat(19)}\n`
  return header + rows.map((row) => `${right(row.label, 8)}    ${right(row.nexthop, 6)}\n`).join('')
}
