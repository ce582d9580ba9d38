/** The HTTP surface, over real sockets on the loopback. */
import assert from 'node:assert/strict'
import { request as httpRequest, type IncomingMessage } from 'node:http'
import { kernelOfFixture, manyFlows } from '../../../test/doubles/kernel-tables.ts'
import { config, contextOfFixture, tables } from '../../../test/doubles/small-cluster.ts'
import type { Listening } from '../ground/http-server.ts'
import type { IntrospectContext } from './context.ts'
import { startIntrospect } from './server.ts'

interface Reply {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

/** Paths are sent as they are: nothing is escaped or normalised. */
function get(server: Listening, path: string, options: { method?: string; accept?: string } = {}): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const { port } = server.addresses[0]!
    const headers = { accept: options.accept ?? '*/*' }
    httpRequest(
      { host: '127.0.0.1', port, path, method: options.method ?? 'GET', headers, agent: false },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('end', () =>
          resolve({ status: response.statusCode!, headers: response.headers, body: Buffer.concat(chunks) }),
        )
        response.on('error', reject)
      },
    )
      .on('error', reject)
      .end(options.method === 'POST' ? 'x=3' : undefined)
  })
}

async function withServer(test: (server: Listening) => Promise<void>, changes: Partial<IntrospectContext> = {}) {
  await using server = await startIntrospect(contextOfFixture(changes), config)
  await test(server)
}

describe('introspect over HTTP', () => {
  it('answers 404 with its 46 bytes to anything else', () =>
    withServer(async (server) => {
      const paths = [
        '/nothing',
        '/Snh_VrfListResp',
        '/Snh_',
        '/snh_ItfReq',
        '/Snh_ItfReq/',
        '/toString.xml',
        '/css/x.css',
      ]
      for (const path of paths) {
        const { status, headers, body } = await get(server, path)
        assert.equal(status, 404, path)
        assert.equal(body.toString('latin1'), '<html>\n<title>404 Not Found</title>\n</html>\r\n\0')
        assert.equal(headers['content-length'], '46')
        assert.equal(headers['content-type'], 'text/html; charset=UTF-8')
      }
    }))
  it('sends one message whole and several in chunks, without headers that tell the time or the server', () =>
    withServer(async (server) => {
      const single = await get(server, '/Snh_AgentInitStateReq')
      assert.equal(single.headers['content-length'], String(single.body.length))
      const many = await get(server, '/Snh_VrfListReq')
      assert.equal(many.headers['transfer-encoding'], 'chunked')
      for (const { status, headers } of [single, many]) {
        assert.equal(status, 200)
        assert.equal(headers['content-type'], 'text/xml')
        for (const name of ['date', 'server', 'x-powered-by', 'etag']) assert.equal(headers[name], undefined, name)
      }
    }))
  it('ignores the method and the body', () =>
    withServer(async (server) => {
      const posted = await get(server, '/Snh_Inet4UcRouteReq?x=2', { method: 'POST' })
      const got = await get(server, '/Snh_Inet4UcRouteReq?x=2')
      assert.equal(posted.body.toString(), got.body.toString())
    }))
  it('takes stray question marks', () =>
    withServer(async (server) => {
      const plain = (await get(server, '/Snh_ItfReq')).body.toString()
      for (const path of ['/Snh_ItfReq?', '/Snh_ItfReq??', '/Snh_ItfReq?name=&type=&uuid=&vn=&mac=']) {
        assert.equal((await get(server, path)).body.toString(), plain, path)
      }
    }))
  it('lists the modules, and every one of them has its page', () =>
    withServer(async (server) => {
      const { headers, body } = await get(server, '/')
      assert.equal(headers['content-type'], undefined)
      assert.equal(headers['content-length'], String(body.length))
      assert.match(
        body.toString(),
        /<h1>Modules for contrail-vrouter-agent<\/h1><a href="agent.xml">agent.xml<\/a><br\/>/,
      )
      assert.equal((await get(server, '/index.html')).body.toString(), body.toString())
      const modules = [...body.toString().matchAll(/href="(\w+\.xml)"/g)].map((match) => match[1]!)
      assert.equal(modules.length, 24)
      for (const module of modules) {
        const page = await get(server, `/${module}`)
        assert.equal(page.status, 200, module)
        assert.equal(page.headers['content-type'], 'text/xml')
      }
    }))
  it('answers every request that the modules list with 200 and XML', () =>
    withServer(async (server) => {
      const { body } = await get(server, '/')
      for (const [, module = ''] of body.toString().matchAll(/href="(\w+\.xml)"/g)) {
        const page = (await get(server, `/${module}`)).body.toString()
        for (const [, name = ''] of page.matchAll(/<(\w+) type="sandesh">/g)) {
          const answer = await get(server, `/Snh_${name}`)
          assert.equal(answer.status, 200, name)
          assert.match(
            answer.body.toString(),
            /^<\?xml-stylesheet [^>]*\?><(\w+) type="(sandesh|slist)">.*<\/\1>$/s,
            name,
          )
        }
      }
    }))
  it('has the arguments on the module pages', () =>
    withServer(async (server) => {
      const kstate = (await get(server, '/kstate.xml')).body.toString()
      assert.ok(
        kstate.includes(
          '<KRouteReq type="sandesh"><vrf_id type="u32">0</vrf_id><family type="string">0</family></KRouteReq>',
        ),
      )
      assert.ok(kstate.includes('<KDropStatsReq type="sandesh"></KDropStatsReq>'))
    }))
  it('answers to an address with a zone as to what is no address', () =>
    withServer(async (server) => {
      const asked = async (prefix: string) =>
        (await get(server, `/Snh_KRouteGetReq?vrf_id=2&prefix_len=64&prefix=${prefix}`)).body.toString()
      assert.equal(await asked('fe80::1%25eth0'), await asked('nonsense'))
      const record = async (source: string) =>
        (await get(server, `/Snh_FetchFlowRecord?nh=10&sip=${source}&dip=fe80::2`)).body.toString()
      assert.equal(await record('fe80::1%25eth0'), await record('nonsense'))
    }))
  it('gives browsers HTML of the same pages, and the wire text behind /xml', () =>
    withServer(async (server) => {
      const accept = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'
      for (const path of [
        '/',
        '/index.html',
        '/agent.xml',
        '/Snh_ItfReq',
        '/Snh_KFlowReq',
        '/Snh_Inet4UcRouteReq?x=99',
      ]) {
        const { status, headers, body } = await get(server, path, { accept })
        assert.equal(status, 200)
        assert.equal(headers['content-type'], 'text/html; charset=utf-8')
        assert.equal(headers['vary'], 'Accept')
        assert.match(body.toString(), /^<!doctype html>.*<\/html>\n$/s, path)
      }
      const raw = await get(server, '/xml/Snh_ItfReq', { accept })
      assert.equal(raw.headers['content-type'], 'text/plain; charset=utf-8')
      assert.equal(raw.body.toString(), (await get(server, '/Snh_ItfReq')).body.toString())
      for (const path of ['/xml', '/xml/', '/xml/agent.xml', '/xml/xml/Snh_ItfReq', '/nothing']) {
        assert.equal((await get(server, path, { accept })).status, 404, path)
      }
    }))
  it('serves the stylesheet', () =>
    withServer(async (server) => {
      const { headers, body } = await get(server, '/universal_parse.xsl')
      assert.equal(headers['content-type'], 'text/xsl')
      assert.match(body.toString(), /<xsl:stylesheet/)
    }))
  it('replays pages and refuses bad keys', () =>
    withServer(async (server) => {
      const text = async (path: string) => (await get(server, path)).body.toString()
      const whole = await text('/Snh_Inet4UcRouteReq?x=2')
      assert.equal(
        await text('/Snh_PageReq?x=begin:0,end:99,table:default-domain:k8s-default:red:red.uc.route.0,'),
        whole,
      )
      assert.match(await text('/Snh_PageReq?key=begin:0,end:99'), /<ErrorResp .*>Invalid request<\/resp>/)
      assert.match(
        await text('/Snh_PageReq?x=begin:0,end:99,table:db.nothing.0,'),
        /<ErrorResp .*>Invalid DBTable<\/resp>/,
      )
      assert.match(await text('/Snh_PageReq?x=begin:0,end:99,table:nobody.uc.route.0,'), /Invalid DBTable/)
      assert.match(
        await text('/Snh_PageReq?x=begin:0,end:9,table:db.interface.0,type:eth,ipv4_address:1.1.1.1'),
        /0-4\/5/,
      )
    }))
  it('ends a page that fails with an InternalErrResp and tells why', async () => {
    const failures: unknown[] = []
    const broken = { ...kernelOfFixture(tables), vifs: () => assert.fail('no map') }
    await withServer(
      async (server) => {
        const { status, body } = await get(server, '/Snh_KInterfaceReq')
        assert.equal(status, 200)
        assert.match(body.toString(), /<InternalErrResp .*> {3}Internal Error !!! {3}<\/resp>/)
        assert.equal(failures.length, 1)
      },
      { kernel: broken, onError: (error) => failures.push(error) },
    )
  })
  it('leads through all flows by index, and by key, each once', () =>
    withServer(
      async (server) => {
        const all = Array.from({ length: 250 }, (_, index) => String(1000 + index))
        const byIndex: string[] = []
        for (let handle = '/Snh_KFlowReq'; handle !== ''; ) {
          const text = (await get(server, handle)).body.toString()
          byIndex.push(...Array.from(text.matchAll(/<sport [^>]*>(\d+)</g), (match) => match[1]!))
          const next = /<flow_handle [^>]*>(\d+)</.exec(text)![1]!
          handle = next === '0' ? '' : `/Snh_NextKFlowReq?x=${next}`
        }
        assert.deepEqual(byIndex, all)
        const byKey: string[] = []
        for (let path = '/Snh_FetchAllFlowRecords'; path !== ''; ) {
          const text = (await get(server, path)).body.toString()
          byKey.push(...Array.from(text.matchAll(/<src_port [^>]*>(\d+)</g), (match) => match[1]!))
          const next = /<flow_key [^>]*>([^<]*)</.exec(text)![1]!
          path = next === '' ? '' : `/Snh_NextFlowRecordsSet?flow_key=${next}`
        }
        assert.deepEqual(byKey, all)
      },
      { kernel: kernelOfFixture(tables, manyFlows(250)) },
    ))
  it('marks handles of dumps with evicted flows', () =>
    withServer(async (server) => {
      assert.match((await get(server, '/Snh_KFlowReq?show_evicted=1')).body.toString(), />0 evicted_set<\/flow_handle>/)
      assert.match(
        (await get(server, '/Snh_NextKFlowReq?x=8%20evicted_set')).body.toString(),
        />0 evicted_set<\/flow_handle>/,
      )
    }))
  it('escapes what is not plain ASCII text', () =>
    withServer(async (server) => {
      const text = (await get(server, '/Snh_ItfReq?vn=blue')).body.toString('latin1')
      assert.ok(text.includes('k8s__default__o&apos;neil &amp; &lt;co&gt;'))
    }))
  it('gives its port back', async () => {
    const server = await startIntrospect(contextOfFixture(), config)
    const { port } = server.addresses[0]!
    await server[Symbol.asyncDispose]()
    await assert.rejects(
      get({ ...server, addresses: [{ address: '127.0.0.1', family: 'IPv4', port }] }, '/'),
      /ECONNREFUSED/,
    )
  })
  it('keeps none of its sockets when one address cannot be had', async () => {
    const introspect = { ...config.introspect, addresses: ['127.0.0.1', '198.51.100.1'] }
    await assert.rejects(startIntrospect(contextOfFixture(), { introspect }), /EADDRNOTAVAIL/)
  })
})
