/**
 * Paged tables (introspect reference 1.5): rows in messages of 100, then a Pagination message with keys that PageReq replays.
 */
import { field, list, type Message, message, type Struct, struct, type Value } from './wire.ts'

export const ROWS_PER_MESSAGE = 100

/** Active filters, by key; empty ones are left out of the page keys. */
export type Filter = Readonly<Record<string, string>>

/** One table of the daemon as pages show it. */
export interface PagedTable<Row = unknown> {
  /** `db.vrf.0`, `<vrf name>.uc.route.0`. */
  readonly name: string
  /** Rows without any filter. */
  readonly size: number
  /** Filter keys this table knows; others are ignored. */
  readonly filterKeys: readonly string[]
  readonly matches: (filter: Filter) => readonly Row[]
  /** The response message that holds these rows. */
  readonly response: (rows: readonly Row[]) => Message
}

/** First and last entry, counted in matches; both -1: all of them. */
export interface PageRange {
  readonly begin: number
  readonly end: number
}

export const FIRST_PAGE: PageRange = { begin: 0, end: ROWS_PER_MESSAGE - 1 }

const pageReqData = struct('PageReqData', [
  field(1, 'prev_page', 'string', 'PageReq'),
  field(2, 'next_page', 'string', 'PageReq'),
  field(3, 'first_page', 'string', 'PageReq'),
  field(4, 'all', 'string', 'PageReq'),
  field(5, 'table_size', 'u32'),
  field(6, 'entries', 'string'),
])
export const pagination = struct('Pagination', [field(1, 'req', pageReqData)])

/** A table whose rows only it knows: what PageReq replays on. */
export type Pager = (filter: Filter, range: PageRange) => Iterable<Message>

export function pagerOf<Row>(table: PagedTable<Row>): Pager {
  return (filter, range) => page(table, filter, range)
}

export function* page<Row>(table: PagedTable<Row>, filter: Filter, range: PageRange = FIRST_PAGE): Generator<Message> {
  const known = knownFilters(table, filter)
  const matches = table.matches(known)
  const isAll = range.begin < 0
  const begin = isAll ? 0 : range.begin
  const end = Math.min(isAll ? matches.length - 1 : range.end, matches.length - 1)
  const rows = matches.slice(begin, end + 1)
  let first = 0
  for (; first + ROWS_PER_MESSAGE <= rows.length; first += ROWS_PER_MESSAGE) {
    yield table.response(rows.slice(first, first + ROWS_PER_MESSAGE))
  }
  yield table.response(rows.slice(first))
  yield message(pagination, { req: pageReq(table, known, matches.length, rows.length, { begin, end }, range) })
}

function pageReq<Row>(
  table: PagedTable<Row>,
  filter: Filter,
  matches: number,
  shown: number,
  { begin, end }: PageRange,
  asked: PageRange,
): Value<typeof pageReqData> {
  const size = asked.begin < 0 ? matches : asked.end - asked.begin + 1
  const key = (first: number, last: number) => pageKey(table.name, filter, { begin: first, end: last })
  const hasNext = shown > 0 && end < matches - 1
  return {
    prev_page: begin > 0 ? key(Math.max(0, begin - size), begin - 1) : '',
    next_page: hasNext ? key(end + 1, Math.min(end + size, matches - 1)) : '',
    first_page: key(FIRST_PAGE.begin, FIRST_PAGE.end),
    all: key(-1, -1),
    table_size: table.size,
    entries: shown === 0 ? ` 0 / ${matches}` : `${begin}-${end}/${matches}`,
  }
}

export function pageKey(table: string, filter: Filter, { begin, end }: PageRange): string {
  const pairs = Object.entries(filter)
    .filter(([, value]) => value !== '')
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}:${value}`)
  return `begin:${begin},end:${end},table:${table},${pairs.join(',')}`
}

function knownFilters<Row>(table: PagedTable<Row>, filter: Filter): Filter {
  return Object.fromEntries(
    Object.entries(filter).filter(([key, value]) => value !== '' && table.filterKeys.includes(key)),
  )
}

/** A page key taken apart; undefined when table, begin or end is missing. */
export function parsePageKey(key: string): { table: string; range: PageRange; filter: Filter } | undefined {
  const pairs: Record<string, string> = {}
  for (const pair of key.split(',')) {
    const colon = pair.indexOf(':')
    if (colon > 0) pairs[pair.slice(0, colon)] = pair.slice(colon + 1)
  }
  const { table, begin, end, ...filter } = pairs
  if (!table || begin === undefined || end === undefined) return undefined
  const range = { begin: Number.parseInt(begin, 10), end: Number.parseInt(end, 10) }
  if (Number.isNaN(range.begin) || Number.isNaN(range.end)) return undefined
  return { table, range, filter }
}

/** A response message whose only field is a list of `row`: `listResponse('VrfListResp', 'vrf_list', vrfSandeshData)`. */
export function listResponse<S extends Struct>(name: string, listName: string, row: S) {
  const schema = struct(name, [field(1, listName, list(row))])
  return (rows: readonly Value<S>[]): Message => ({ schema, value: { [listName]: rows } })
}
