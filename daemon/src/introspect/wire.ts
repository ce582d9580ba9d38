/**
 * The wire form of introspect: messages made of typed fields, written as XML.
 *
 * A struct's fields are data (`struct('VmSandeshData', [field(1, 'uuid', 'string'), ...])`), in the order in which they are
 * sent; the TypeScript type of its values follows from them. XML (here) and HTML (html.ts) render the same tree.
 * Source: introspect reference 1.4.
 */

export type Scalar = 'bool' | 'byte' | 'i16' | 'i32' | 'i64' | 'u16' | 'u32' | 'u64' | 'string'

export interface List<E extends Scalar | Struct = Scalar | Struct> {
  readonly kind: 'list'
  readonly element: E
}

export interface Struct<F extends readonly Field[] = readonly Field[]> {
  readonly kind: 'struct'
  readonly name: string
  readonly fields: F
}

export type Type = Scalar | List | Struct

export interface Field<N extends string = string, T extends Type = Type> {
  readonly id: number
  readonly name: N
  readonly type: T
  /** An optional field that isn't set is not sent; any other is sent with its zero value. */
  readonly isOptional: boolean
  /** Request that shows the object which this value names: `Snh_<link>?x=<value>`. */
  readonly link: string | undefined
  readonly open: string
  readonly close: string
}

export type ValueOf<T> = T extends 'bool'
  ? boolean
  : T extends 'string'
    ? string
    : T extends Scalar
      ? number | bigint
      : T extends List<infer E>
        ? readonly ValueOf<E>[]
        : T extends Struct<infer F>
          ? StructValue<F>
          : never

export type StructValue<F extends readonly Field[]> = { readonly [X in F[number] as X['name']]?: ValueOf<X['type']> }

/** The value of a struct schema: `Value<typeof vrfSandeshData>`. */
export type Value<S> = S extends Struct<infer F> ? StructValue<F> : never

export type AnyValue = { readonly [name: string]: unknown }

/** A message is a struct at the top of a document. */
export interface Message {
  readonly schema: Struct
  readonly value: AnyValue
}

export type Messages = Iterable<Message> | AsyncIterable<Message>

export function field<const N extends string, const T extends Type>(
  id: number,
  name: N,
  type: T,
  link?: string,
): Field<N, T> {
  const annotation = link === undefined ? '' : ` link="${link}"`
  const open = `<${name} type="${wireType(type)}" identifier="${id}"${annotation}>`
  return { id, name, type, isOptional: false, link, open, close: `</${name}>` }
}

export function optional<const N extends string, const T extends Type>(
  id: number,
  name: N,
  type: T,
  link?: string,
): Field<N, T> {
  return { ...field(id, name, type, link), isOptional: true }
}

export function list<const E extends Scalar | Struct>(element: E): List<E> {
  return { kind: 'list', element }
}

export function struct<const F extends readonly Field[]>(name: string, fields: F): Struct<F> {
  return { kind: 'struct', name, fields }
}

export function message<F extends readonly Field[]>(schema: Struct<F>, value: StructValue<F>): Message {
  return { schema, value }
}

export function wireType(type: Type): string {
  return typeof type === 'string' ? type : type.kind
}

export const STYLESHEET = '<?xml-stylesheet type="text/xsl" href="/universal_parse.xsl"?>'

/** One message as XML; `more`: others follow in the same document. */
export function messageToXml({ schema, value }: Message, more: boolean): string {
  return `<${schema.name} type="sandesh">${fieldsToXml(schema, value)}<more type="bool" identifier="0">${more}</more></${schema.name}>`
}

function fieldsToXml(schema: Struct, value: AnyValue): string {
  let xml = ''
  for (const field of schema.fields) {
    const content = value[field.name]
    if (content === undefined && field.isOptional) continue
    xml += field.open + contentToXml(field.type, content) + field.close
  }
  return xml
}

function contentToXml(type: Type, content: unknown): string {
  if (typeof type === 'string') return scalarToText(type, content, escapeXml)
  if (type.kind === 'struct') return structToXml(type, (content ?? {}) as AnyValue)
  const elements = (content ?? []) as readonly unknown[]
  const { element } = type
  let xml = `<list type="${wireType(element)}" size="${elements.length}">`
  for (const one of elements) {
    xml +=
      typeof element === 'string'
        ? `<element>${scalarToText(element, one, escapeXml)}</element>`
        : structToXml(element, one as AnyValue)
  }
  return `${xml}</list>`
}

function structToXml(schema: Struct, value: AnyValue): string {
  return `<${schema.name}>${fieldsToXml(schema, value)}</${schema.name}>`
}

/** The text of a scalar; values that were never set are zero. */
export function scalarToText(type: Scalar, content: unknown, toText: (text: string) => string): string {
  switch (type) {
    case 'string':
      return content === undefined ? '' : toText(content as string)
    case 'bool':
      return content === true ? 'true' : 'false'
    case 'byte':
    case 'i16':
    case 'i32':
    case 'i64':
    case 'u16':
    case 'u32':
    case 'u64':
      return content === undefined ? '0' : String(content)
    default: {
      const never: never = type
      return never
    }
  }
}

const XML_ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', "'": '&apos;', '<': '&lt;', '>': '&gt;' }

/**
 * Text for XML. Clients decode without a charset (as ISO-8859-1), so everything beyond ASCII is a character reference;
 * characters that XML can't hold at all become '?'.
 */
export function escapeXml(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (!/[&'<>\x00-\x1f\x7f-\uffff]/.test(text)) return text
  let xml = ''
  for (const character of text) {
    const code = character.codePointAt(0)!
    if (code === 0x9 || code === 0xa || code === 0xd) xml += `&#${code};`
    else if (code < 0x20 || (code >= 0xd800 && code <= 0xdfff) || code === 0xfffe || code === 0xffff) xml += '?'
    else xml += XML_ESCAPES[character] ?? (code < 0x7f ? character : `&#${code};`)
  }
  return xml
}

/**
 * A whole document, piece by piece: one message is the root itself; several are wrapped in a list that has the first one's
 * name. `isList` says which, before the first piece is taken.
 */
export async function documentToXml(messages: Messages): Promise<{ isList: boolean; pieces: AsyncIterable<string> }> {
  const iterator =
    Symbol.asyncIterator in messages
      ? messages[Symbol.asyncIterator]()
      : (messages[Symbol.iterator]() as Iterator<Message>)
  const first = await iterator.next()
  if (first.done) throw new Error('a document without a message')
  const second = await iterator.next()
  const isList = second.done !== true
  return { isList, pieces: pieces(first.value, second, iterator) }
}

async function* pieces(
  first: Message,
  second: IteratorResult<Message>,
  iterator: Iterator<Message> | AsyncIterator<Message>,
): AsyncGenerator<string> {
  if (second.done === true) {
    yield STYLESHEET + messageToXml(first, false)
    return
  }
  const root = `__${first.schema.name}_list`
  yield `${STYLESHEET}<${root} type="slist">${messageToXml(first, true)}`
  for (let current: IteratorResult<Message> = second; current.done !== true; ) {
    const next = await iterator.next()
    yield messageToXml(current.value, next.done !== true)
    current = next
  }
  yield `</${root}>`
}
