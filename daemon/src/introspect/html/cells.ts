/** Cells of HTML tables, made of wire values. */
import { requestOf } from '../requests.ts'
import { type AnyValue, type Field, type Scalar, type Struct, scalarToText, type Type } from '../wire.ts'
import { type Html, html } from './markup.ts'

export type Tone = 'good' | 'bad' | 'warn' | 'plain'

export function badge(text: string, tone: Tone = 'plain'): Html {
  return html`<span class="badge ${tone}">${text}</span>`
}

/** Texts that stand for "nothing". */
const NOTHING = ['', '--NA--', 'N/A', '00000000-0000-0000-0000-000000000000', '0.0.0.0', '::', '--ERROR--']

export function isNothing(type: Type, value: unknown): boolean {
  if (value === undefined) return true
  if (type === 'string') return NOTHING.includes(value as string)
  if (type === 'bool') return value === false
  if (typeof type === 'string') return Number(value) === 0 || Number(value) === -1
  if (type.kind === 'list') return (value as readonly unknown[]).length === 0
  return type.fields.every((field) => isNothing(field.type, (value as AnyValue)[field.name]))
}

/** Anchor to the page of the object that `text` names; plain text where there is no such page. */
export function objectLink(request: string | undefined, text: string): Html {
  if (request === undefined || NOTHING.includes(text) || requestOf(request) === undefined) return html`${text}`
  return html`<a href="/Snh_${request}?x=${encodeURIComponent(text)}">${text}</a>`
}

/** Any field, whatever its type. */
export function fieldContent(field: Field, value: unknown): Html {
  return content(field.type, value, field.link)
}

function content(type: Type, value: unknown, link: string | undefined): Html {
  if (typeof type === 'string') return scalar(type, value, link)
  if (type.kind === 'struct') return fieldList(type, (value ?? {}) as AnyValue)
  const elements = (value ?? []) as readonly unknown[]
  const { element } = type
  if (typeof element === 'string') {
    return html`${elements.map((one, index) => html`${index === 0 ? '' : ', '}${scalar(element, one, link)}`)}`
  }
  return html`${elements.map((one) => fieldList(element, one as AnyValue))}`
}

function scalar(type: Scalar, value: unknown, link: string | undefined): Html {
  const text = scalarToText(type, value, (plain) => plain)
  return objectLink(link, text)
}

/** All fields of a struct; empty ones are hidden until asked for. */
export function fieldList(schema: Struct, value: AnyValue): Html {
  return html`<dl class="fields">${schema.fields.map((field) => {
    const content = value[field.name]
    const isWide =
      typeof field.type !== 'string' && !(field.type.kind === 'list' && typeof field.type.element === 'string')
    const classes = `${isNothing(field.type, content) ? 'zero' : ''}${isWide ? ' wide' : ''}`
    return html`<div class="${classes}"><dt>${field.name}</dt><dd>${fieldContent(field, content)}</dd></div>`
  })}</dl>`
}
