import assert from 'node:assert/strict'
import { listResponse, type PagedTable, type PageRange, page, pageKey, parsePageKey } from './paging.ts'
import { field, struct } from './wire.ts'

const response = listResponse('NumberResp', 'number_list', struct('Number', [field(1, 'value', 'i32')]))

function tableOf(size: number): PagedTable<number> {
  const numbers = Array.from({ length: size }, (_, index) => index)
  return {
    name: 'db.number.0',
    size,
    filterKeys: ['parity', 'name'],
    matches: ({ parity }) => (parity === 'even' ? numbers.filter((number) => number % 2 === 0) : numbers),
    response: (rows) => response(rows.map((value) => ({ value }))),
  }
}

interface Shown {
  /** Rows of each message. */
  readonly sizes: readonly number[]
  readonly pages: Record<string, unknown>
}

function show(size: number, filter = {}, range?: PageRange): Shown {
  const messages = [...page(tableOf(size), filter, range)]
  const last = messages.at(-1)!
  assert.equal(last.schema.name, 'Pagination')
  const rows = messages.slice(0, -1)
  return {
    sizes: rows.map(({ value }) => (value['number_list'] as unknown[]).length),
    pages: last.value['req'] as Record<string, unknown>,
  }
}

const ALL = { begin: -1, end: -1 }

describe('paged tables', () => {
  it('sends one message, empty, of an empty table', () => {
    const { sizes, pages } = show(0)
    assert.deepEqual(sizes, [0])
    assert.deepEqual(pages, {
      prev_page: '',
      next_page: '',
      first_page: 'begin:0,end:99,table:db.number.0,',
      all: 'begin:-1,end:-1,table:db.number.0,',
      table_size: 0,
      entries: ' 0 / 0',
    })
  })
  it('sends one message of 1 and of 99 rows', () => {
    assert.deepEqual(show(1).sizes, [1])
    assert.equal(show(1).pages['entries'], '0-0/1')
    assert.deepEqual(show(99).sizes, [99])
  })
  it('sends one more, empty message behind exactly 100', () => {
    const { sizes, pages } = show(100)
    assert.deepEqual(sizes, [100, 0])
    assert.equal(pages['entries'], '0-99/100')
    assert.equal(pages['next_page'], '')
  })
  it('shows the first 100 of 101, and the last one on the next page', () => {
    const { sizes, pages } = show(101)
    assert.deepEqual(sizes, [100, 0])
    assert.equal(pages['entries'], '0-99/101')
    assert.equal(pages['next_page'], 'begin:100,end:100,table:db.number.0,')
    const next = show(101, {}, { begin: 100, end: 100 })
    assert.deepEqual(next.sizes, [1])
    assert.equal(next.pages['entries'], '100-100/101')
  })
  it('clips the end of the next page, and goes back', () => {
    assert.equal(show(130).pages['next_page'], 'begin:100,end:129,table:db.number.0,')
    const { sizes, pages } = show(130, {}, { begin: 100, end: 129 })
    assert.deepEqual(sizes, [30])
    assert.equal(pages['next_page'], '')
    assert.equal(pages['prev_page'], 'begin:70,end:99,table:db.number.0,')
    assert.equal(show(330, {}, { begin: 100, end: 199 }).pages['prev_page'], 'begin:0,end:99,table:db.number.0,')
    assert.equal(show(330, {}, { begin: 100, end: 199 }).pages['next_page'], 'begin:200,end:299,table:db.number.0,')
  })
  it('sends all in messages of 100', () => {
    assert.deepEqual(show(130, {}, ALL).sizes, [100, 30])
    assert.deepEqual(show(200, {}, ALL).sizes, [100, 100, 0])
    const { pages } = show(130, {}, ALL)
    assert.equal(pages['entries'], '0-129/130')
    assert.equal(pages['next_page'], '')
    assert.equal(pages['prev_page'], '')
  })
  it('shows an empty page beyond the end', () => {
    const { sizes, pages } = show(5, {}, { begin: 100, end: 199 })
    assert.deepEqual(sizes, [0])
    assert.equal(pages['entries'], ' 0 / 5')
  })
  it('counts matches and the whole table, and keeps the filter in its keys, in alphabetical order', () => {
    const { sizes, pages } = show(300, { parity: 'even', name: 'x', unknown: 'y' })
    assert.deepEqual(sizes, [100, 0])
    assert.equal(pages['entries'], '0-99/150')
    assert.equal(pages['table_size'], 300)
    assert.equal(pages['next_page'], 'begin:100,end:149,table:db.number.0,name:x,parity:even')
  })
  it('reads its own keys', () => {
    const filter = { mac: '02:4b:6d', vn: 'default-domain:x:y' }
    const key = pageKey('default-domain:a:b:b.l2.route.0', filter, { begin: 100, end: 199 })
    assert.deepEqual(parsePageKey(key), {
      table: 'default-domain:a:b:b.l2.route.0',
      range: { begin: 100, end: 199 },
      filter,
    })
  })
  it('refuses keys without table, begin or end', () => {
    for (const key of ['', 'begin:0,end:99', 'begin:0,table:db.vm.0', 'end:1,table:db.vm.0', 'begin:a,end:b,table:c']) {
      assert.equal(parsePageKey(key), undefined, key)
    }
  })
})
