/** HTML pages of the fixture's node: whole, escaped, and leading from one object to the next. */
import assert from 'node:assert/strict'
import { kernelOfFixture, manyFlows } from '../../../test/doubles/kernel-tables.ts'
import { contextOfFixture, source, tables } from '../../../test/doubles/small-cluster.ts'
import { parseArguments } from './arguments.ts'
import type { IntrospectContext } from './context.ts'
import { homeToHtml } from './html/home.ts'
import { byteCount, duration, html, shortName } from './html/markup.ts'
import { moduleToHtml, requestToHtml } from './html/request-page.ts'
import { MODULES } from './modules.ts'
import { listResponse } from './paging.ts'
import { requestOf } from './requests.ts'
import { field, type Messages, struct } from './wire.ts'

const VOID = ['meta', 'input', 'br', 'link', 'img']

/** Every element is closed, in the right order. */
function assertBalanced(page: string, what: string): void {
  const open: string[] = []
  const body = page.replaceAll(/<(style|script)>.*?<\/\1>/gs, '').replace('<!doctype html>', '')
  for (const [, slash, name, , selfClosing] of body.matchAll(/<(\/?)([a-z][a-z0-9]*)((?:[^>"]|"[^"]*")*?)(\/?)>/g)) {
    if (VOID.includes(name!) || selfClosing) continue
    if (slash) assert.equal(open.pop(), name, `${what}: </${name}>`)
    else open.push(name!)
  }
  assert.deepEqual(open, [], what)
}

async function show(page: string, context: IntrospectContext = contextOfFixture()): Promise<string> {
  const [name, query = ''] = page.split('?') as [string, string?]
  const request = requestOf(name)!
  const messages = await request.answer(parseArguments(request.args, query), context)
  return (await Array.fromAsync(requestToHtml(name, query, messages, context))).join('')
}

async function render(messages: Messages): Promise<string> {
  return (await Array.fromAsync(requestToHtml('ItfReq', '', messages, contextOfFixture()))).join('')
}

describe('HTML pages', () => {
  it('are whole documents, for every request', async () => {
    for (const name of Object.values(MODULES).flat()) {
      const page = await show(name)
      assert.match(page, /^<!doctype html>/)
      assertBalanced(page, name)
    }
  })
  it('are whole documents, for every module', () => {
    for (const module of Object.keys(MODULES)) assertBalanced(moduleToHtml(module, contextOfFixture()), module)
  })
  it('escape what objects and queries hold', async () => {
    const page = await show('ItfReq?vn=blue')
    assert.ok(page.includes('o&#39;neil &amp; &lt;co&gt;'))
    const evil = await show('ItfReq?name=%22%3E%3Cscript%3Ealert(1)%3C/script%3E')
    assert.ok(!evil.includes('<script>alert'))
    assertBalanced(evil, 'evil query')
    assertBalanced(await show('ItfReq?%zz="><script>alert(1)</script>'), 'undecodable query')
    assert.ok(!(await show('ItfReq?x="><b>')).includes('"><b>'))
  })
  it('lead from one object to the next', async () => {
    const routes = await show('Inet4UcRouteReq?x=2')
    assert.ok(routes.includes('href="/Snh_NhListReq?nh_index=10"'))
    assert.ok(routes.includes('href="/Snh_ItfReq?x=tap4b6d1c9e52f0"'))
    assert.ok(routes.includes('href="/Snh_VrfListReq?x=default-domain%3Ak8s-default%3Ared%3Ared"'))
    assert.ok((await show('KNHReq')).includes('href="/Snh_KInterfaceReq?x=3"'))
    assert.ok((await show('VrfListReq')).includes('href="/Snh_Inet6UcRouteReq?x=2"'))
  })
  it('show where a Service is reached, and its endpoints', async () => {
    const page = await show('ServiceListReq')
    assert.ok(page.includes('10.96.0.10:80') && page.includes('10.47.255.70:8080<br>'))
    assert.ok(page.includes('href="/Snh_KServiceReq?x=5"'))
    assert.match(page, /none: drop/)
    assert.match(await show('KServiceReq'), /href="\/Snh_ServiceListReq\?id=5"/)
    assert.match(await show('KServiceReq'), /<span class="soft">the same<\/span>/)
  })
  it('do not link to pages that do not exist', async () => {
    const page = await show('KNHReq?x=16')
    assert.ok(!page.includes('Snh_KMplsInfo'))
  })
  it('show one table for the messages of one list, and its pages', async () => {
    const context = contextOfFixture({ kernel: kernelOfFixture(tables, manyFlows(250)) })
    const flows = await show('FetchAllFlowRecords', context)
    assert.equal(flows.match(/<table>/g)?.length, 1)
    assert.match(flows, /href="\/Snh_NextFlowRecordsSet\?x=0-10-1099-80-6-10\.47\.255\.10-10\.47\.255\.70"/)
    const vifs = Array.from({ length: 130 }, (_, index) => ({ ...tables.vifs[3]!, id: index }))
    const many = contextOfFixture({ tables: () => ({ ...tables, vifs }) })
    const first = await show('ItfReq', many)
    assert.ok(first.includes('href="/Snh_PageReq?x=begin%3A100%2Cend%3A129%2Ctable%3Adb.interface.0%2C"'))
    const all = await show('PageReq?x=begin:-1,end:-1,table:db.interface.0,', many)
    assert.equal(all.match(/<table>/g)?.length, 1)
    assert.equal(all.match(/<tr class="row"/g)?.length, 130)
  })
  it('show structs without a view by the fields that say something', async () => {
    const row = struct('Unknown', [field(1, 'said', 'string'), field(2, 'unsaid', 'string'), field(3, 'count', 'u64')])
    const page = await render([listResponse('UnknownResp', 'list', row)([{ said: 'yes', count: 7n }])])
    assert.match(page, /<th class="">said<\/th><th class="number">count<\/th>/)
  })
  it('show an error as such', async () => {
    assert.match(await show('Inet4UcRouteReq?x=99'), /<span class="badge bad">Invalid Input !!!<\/span>/)
  })
  it('say when a table is empty', async () => {
    assert.match(await show('Inet4McRouteReq?x=2'), /Nothing here/)
  })
})

describe('the overview', () => {
  it('shows the node, its networks, tunnels, flows and drops', async () => {
    const page = await homeToHtml(contextOfFixture())
    assertBalanced(page, 'overview')
    for (const part of [
      'node-1',
      'ready',
      'in sync · up 1 h 2 min',
      'fd00:47::/64',
      'web-0',
      'l2 no route',
      '6.0 GiB',
    ]) {
      assert.ok(page.includes(part), part)
    }
    assert.match(page, /class="tunnel"/)
    assert.match(page, /class="tunnel down"/)
  })
  it('shows what is wrong', async () => {
    const page = await homeToHtml(
      contextOfFixture({
        tables: () => ({ ...tables, problems: [{ object: 'VirtualNetwork a/b', message: 'no subnet' }] }),
        source: () => ({
          ...source,
          rejected: [{ object: 'IPAMBlock x', field: 'spec.cidr', message: 'host bits are set' }],
        }),
        health: () => ({
          ready: false,
          state: 'waiting for the source',
          startedAt: new Date(),
          problems: ['disk full'],
        }),
      }),
    )
    assert.ok(page.includes('VirtualNetwork a/b: no subnet'))
    assert.ok(page.includes('IPAMBlock x spec.cidr: host bits are set'))
    assert.ok(page.includes('disk full'))
    assert.ok(page.includes('starting'))
  })
  it('still shows the model when the kernel cannot be read', async () => {
    const gone = () => assert.fail('no map is pinned')
    const kernel = { ...kernelOfFixture(tables), vifStats: gone, drops: gone, flows: gone, flowCounters: gone }
    const page = await homeToHtml(contextOfFixture({ kernel }))
    assertBalanced(page, 'overview')
    assert.ok(page.includes('no map is pinned'))
    assert.ok(page.includes('tap4b6d1c9e52f0'))
  })
  it('is short however large the node is', async () => {
    const vifs = Array.from({ length: 1000 }, (_, index) => ({ ...tables.vifs[3]!, id: index }))
    const page = await homeToHtml(contextOfFixture({ tables: () => ({ ...tables, vifs }) }))
    assert.ok(page.includes('All 1000 interfaces'))
    assert.ok(page.length < 100_000)
  })
})

describe('markup', () => {
  it('escapes what is put in, and keeps markup', () => {
    assert.equal(
      html`<a b="${'"<>&\''}">${html`<i>${1n}</i>`}${[undefined, '<']}</a>`.markup,
      '<a b="&quot;&lt;&gt;&amp;&#39;"><i>1</i>&lt;</a>',
    )
  })
  it('says amounts in words', () => {
    assert.deepEqual([0, 1023, 1024, 6n * 1024n ** 3n].map(byteCount), ['0 B', '1023 B', '1.0 KiB', '6.0 GiB'])
    assert.deepEqual([0, 59_000, 3_723_000, 90_000_000].map(duration), ['0 s', '59 s', '1 h 2 min', '1 d 1 h'])
    assert.deepEqual(
      [
        'default-domain:k8s-default:red',
        'default-domain:k8s-default:red:red',
        'default-domain:p:ip-fabric:__default__',
        'x',
      ].map(shortName),
      ['red', 'red', 'ip-fabric / __default__', 'x'],
    )
  })
})
