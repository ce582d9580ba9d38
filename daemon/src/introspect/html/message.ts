/** Messages as HTML: the rows of a message's list as a table, any other field as a line. */
import type { AnyValue, Field, Message, Struct } from '../wire.ts'
import { badge, fieldContent, fieldList, isNothing } from './cells.ts'
import type { Column } from './columns.ts'
import { type Html, html } from './markup.ts'
import { VIEWS } from './views.ts'

/** Rows beyond this many have no opener: their fields would make the document too large. */
const ROWS_WITH_FIELDS = 300
const FIELDS_IN_TABLE = 12

/** Renders the messages of one page in turn; consecutive lists of one struct are one table. */
export class MessageRenderer {
  #open: { readonly struct: Struct; readonly columns: readonly Column[] } | undefined
  #rows = 0
  #parts = 0

  message({ schema, value }: Message): Html {
    if (schema.name === 'Pagination') return this.#closeTable(pager(value['req'] as AnyValue))
    if (schema.name.includes('Err')) return this.#card(badge(String(value['resp']).trim(), 'bad'))
    const next = schema.fields.find(({ link }) => link?.startsWith('Next'))
    if (next !== undefined) return this.#withNext(schema, value, next)
    return this.#fields(schema, value)
  }

  /** A list that goes on elsewhere. */
  #withNext(schema: Struct, value: AnyValue, next: Field): Html {
    const fields = schema.fields.filter((field) => field !== next)
    const key = String(value[next.name] ?? '')
    const isEnd = key === '' || key.split(' ')[0] === '0'
    const link = html`<a class="button" href="/Snh_${next.link}?x=${encodeURIComponent(key)}">Next ›</a>`
    const list = this.#fields({ ...schema, fields }, value)
    return html`${list}${this.#closeTable(isEnd ? undefined : html`<div class="pages">${link}</div>`)}`
  }

  #card(content: Html): Html {
    return html`${this.#closeTable()}<div class="card" data-live="part${this.#parts++}">${content}</div>`
  }

  #fields(schema: Struct, value: AnyValue): Html {
    return html`${schema.fields.map((field) => {
      const content = value[field.name]
      if (typeof field.type === 'object' && field.type.kind === 'list' && typeof field.type.element === 'object') {
        return this.#table(field.type.element, (content ?? []) as readonly AnyValue[])
      }
      return undefined
    })}${this.#rest(schema, value)}`
  }

  end(): Html {
    return this.#closeTable()
  }

  #table(struct: Struct, rows: readonly AnyValue[]): Html {
    if (rows.length === 0 && this.#open !== undefined) return html``
    const isNew = this.#open?.struct !== struct
    const close = isNew ? this.#closeTable() : undefined
    if (rows.length === 0)
      return html`${close}<div class="card flush" data-live="part${this.#parts++}"><p class="empty">Nothing here.</p></div>`
    this.#open ??= { struct, columns: VIEWS[struct.name] ?? fieldsThatSaySomething(struct, rows) }
    const { columns } = this.#open
    const part = isNew ? this.#parts++ : 0
    const head = html`<div class="card flush" data-live="part${part}"><div class="scroll"><table><thead><tr><th></th>${columns.map(
      ({ title, isNumber }) => html`<th class="${isNumber ? 'number' : ''}">${title}</th>`,
    )}</tr></thead><tbody>`
    return html`${close}${isNew ? head : undefined}${rows.map((row) => this.#row(struct, columns, row))}`
  }

  #row(struct: Struct, columns: readonly Column[], row: AnyValue): Html {
    const key = `${struct.name}${this.#rows++}`
    const hasFields = this.#rows <= ROWS_WITH_FIELDS
    const opener = hasFields ? html`<button aria-expanded="false" title="All fields">›</button>` : undefined
    const cells = columns.map(({ cell, isNumber }) => html`<td class="${isNumber ? 'number' : ''}">${cell(row)}</td>`)
    const fields = hasFields
      ? html`<tr class="more" hidden><td colspan="${columns.length + 1}">${fieldList(struct, row)}</td></tr>`
      : undefined
    return html`<tr class="row" data-key="${key}"><td class="opener">${opener}</td>${cells}</tr>${fields}`
  }

  #closeTable(behind?: Html): Html {
    const close = this.#open === undefined ? undefined : html`</tbody></table></div>${behind}</div>`
    const isClosed = this.#open === undefined
    this.#open = undefined
    return html`${close}${isClosed ? behind : undefined}`
  }

  /** Fields of the message that aren't tables. */
  #rest(schema: Struct, value: AnyValue): Html {
    const fields = schema.fields.filter(
      ({ type }) => !(typeof type === 'object' && type.kind === 'list' && typeof type.element === 'object'),
    )
    const shown = fields.filter((field) => !isNothing(field.type, value[field.name]))
    if (fields.length === 0 || (shown.length === 0 && fields.length < schema.fields.length)) return html``
    const only = fields[0]!
    if (schema.fields.length === 1 && typeof only.type === 'object' && only.type.kind === 'struct') {
      return this.#card(fieldContent(only, value[only.name]))
    }
    return this.#card(fieldList({ ...schema, fields }, value))
  }
}

function fieldsThatSaySomething(struct: Struct, rows: readonly AnyValue[]): readonly Column[] {
  return struct.fields
    .filter((field) => typeof field.type === 'string' && rows.some((row) => !isNothing(field.type, row[field.name])))
    .slice(0, FIELDS_IN_TABLE)
    .map((field) => ({
      title: field.name,
      isNumber: field.type !== 'string' && field.type !== 'bool',
      cell: (row) => fieldContent(field, row[field.name]),
    }))
}

function pager(req: AnyValue): Html {
  const link = (name: string, text: string) =>
    req[name] === '' || req[name] === undefined
      ? undefined
      : html`<a class="button" href="/Snh_PageReq?x=${encodeURIComponent(String(req[name]))}">${text}</a>`
  const isWhole = req['prev_page'] === '' && req['next_page'] === ''
  return html`<div class="pages"><span>${String(req['entries'])} <span class="soft">(table of ${String(req['table_size'])})</span></span>${
    isWhole
      ? undefined
      : [link('first_page', 'First'), link('prev_page', '‹ Previous'), link('next_page', 'Next ›'), link('all', 'All')]
  }</div>`
}
