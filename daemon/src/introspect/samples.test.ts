/**
 * The introspect reference's sample documents (testdata/samples, taken over as they are): read by our schemas and written
 * again, they come out the same, byte for byte. So each schema has every field in its place, with its id, type and link.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { contextOfFixture } from '../../../test/doubles/small-cluster.ts'
import { parseArguments } from './arguments.ts'
import { requestOf } from './requests.ts'
import { type AnyValue, documentToXml, type Message, messageToXml, STYLESHEET, type Struct, type Type } from './wire.ts'

const folder = join(import.meta.dirname, 'testdata', 'samples')

/** Requests whose answers show us the schemas. */
const REQUESTS = [
  'VrfListReq',
  'ItfReq',
  'VnListReq',
  'VmListReq',
  'Inet4UcRouteReq',
  'Inet4McRouteReq',
  'BridgeRouteReq',
  'EvpnRouteReq',
  'Inet4UcRouteReq?x=99',
  'NhListReq',
  'MplsReq',
  'AgentInitStateReq',
  'VrouterInfoReq',
  'ShowArpCache',
  'KInterfaceReq',
  'KRouteReq',
  'KNHReq',
  'KVrfStatsReq',
  'KDropStatsReq',
  'KFlowReq',
  'FetchFlowRecord?nh=10&sip=10.47.255.10&dip=10.47.255.70&src_port=41002&dst_port=80&protocol=6',
  'FetchFlowRecord',
]

async function schemas(): Promise<ReadonlyMap<string, Struct>> {
  const found = new Map<string, Struct>()
  for (const page of REQUESTS) {
    const [name, query = ''] = page.split('?') as [string, string?]
    const request = requestOf(name)!
    const messages = await request.answer(parseArguments(request.args, query), contextOfFixture())
    for await (const { schema } of messages) found.set(schema.name, schema)
  }
  return found
}

interface Element {
  readonly name: string
  readonly children: readonly Element[]
  readonly text: string
}

function parse(xml: string): Element {
  let at = 0
  const element = (): Element => {
    const open = /^<([\w]+)[^>]*>/.exec(xml.slice(at))!
    at += open[0].length
    const children: Element[] = []
    let text = ''
    while (!xml.startsWith('</', at)) {
      if (xml[at] === '<') children.push(element())
      else text += xml[at++]
    }
    at = xml.indexOf('>', at) + 1
    return { name: open[1]!, children, text }
  }
  return element()
}

function unescapeXml(text: string): string {
  return text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&apos;', "'").replaceAll('&amp;', '&')
}

function toValue(type: Type, element: Element): unknown {
  if (type === 'bool') return element.text === 'true'
  if (type === 'string') return unescapeXml(element.text)
  if (typeof type === 'string') return BigInt(element.text)
  if (type.kind === 'struct') return toStruct(type, element.children[0]!)
  return element.children[0]!.children.map((one) =>
    typeof type.element === 'string' ? toValue(type.element, one) : toStruct(type.element as Struct, one),
  )
}

function toStruct(schema: Struct, element: Element): AnyValue {
  const value: Record<string, unknown> = {}
  for (const child of element.children) {
    if (child.name === 'more') continue
    const field = schema.fields.find(({ name }) => name === child.name)
    assert.ok(field, `${schema.name} has no field ${child.name}`)
    value[child.name] = toValue(field.type, child)
  }
  return value
}

describe('introspect schemas against the reference samples', () => {
  for (const file of readdirSync(folder)) {
    it(file, async () => {
      const known = await schemas()
      const sample = readFileSync(join(folder, file), 'utf8').replace(STYLESHEET, '')
      const root = parse(sample)
      const toMessage = (element: Element): Message => {
        const schema = known.get(element.name)
        assert.ok(schema, `no schema of ${element.name}`)
        return { schema, value: toStruct(schema, element) }
      }
      if (!root.name.startsWith('__')) {
        assert.equal(messageToXml(toMessage(root), sample.includes('>true</more>')), sample)
        return
      }
      const { isList, pieces } = await documentToXml(root.children.map(toMessage))
      assert.ok(isList)
      assert.equal((await Array.fromAsync(pieces)).join(''), STYLESHEET + sample)
    })
  }
})
