/** The API client over TLS: certificates that change, several addresses of which some are dead, names that must match. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ApiClient } from '../../daemon/src/kubernetes/client.ts'

describe('the API client over TLS', () => {
  let folder: string
  const servers: Server[] = []

  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'vrouter-tls-'))
  })
  afterEach(() => {
    for (const server of servers.splice(0)) {
      server.closeAllConnections()
      server.close()
    }
  })
  after(() => rmSync(folder, { recursive: true, force: true }))

  function certificate(name: string, names: string): { key: Buffer; cert: Buffer } {
    const file = (suffix: string) => join(folder, `${name}.${suffix}`)
    const options = [
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-days',
      '2',
      '-subj',
      `/CN=${name}`,
    ]
    execFileSync(
      'openssl',
      ['req', ...options, '-addext', `subjectAltName=${names}`, '-keyout', file('key'), '-out', file('crt')],
      { stdio: 'ignore' },
    )
    return { key: readFileSync(file('key')), cert: readFileSync(file('crt')) }
  }

  async function serve(pair: { key: Buffer; cert: Buffer }, name: string): Promise<number> {
    const server = createServer(pair, (_, response) => response.end(JSON.stringify({ name })))
    servers.push(server)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return (server.address() as AddressInfo).port
  }

  function client(port: number, ca: Buffer): ApiClient {
    writeFileSync(join(folder, 'token'), 'secret')
    writeFileSync(join(folder, 'ca.crt'), ca)
    return new ApiClient({
      kubeconfig: '',
      server: `https://127.0.0.1:${port}`,
      serviceAccount: folder,
      environment: {},
    })
  }

  const ask = async (api: ApiClient, timeoutMs = 3000) =>
    (await api.request<{ name: string }>({ method: 'GET', path: '/x', timeoutMs })).name

  it('follows a CA that is renewed while it runs', async () => {
    const [one, two] = [certificate('one', 'IP:127.0.0.1'), certificate('two', 'IP:127.0.0.1')]
    const port = await serve(one, 'one')
    using api = client(port, one.cert)
    assert.equal(await ask(api), 'one')
    servers[0]!.setSecureContext(two)
    servers[0]!.closeAllConnections()
    await assert.rejects(ask(api), { code: 'API_UNREACHABLE', message: /self-signed|unable to verify|SELF_SIGNED/ })
    writeFileSync(join(folder, 'ca.crt'), two.cert)
    await new Promise((resolve) => setTimeout(resolve, 1050))
    assert.equal(await ask(api), 'one')
  })

  it('goes from dead and false API servers to one that lives, within one request', async () => {
    const right = certificate('right', 'DNS:kubernetes.default.svc')
    const wrong = certificate('wrong', 'DNS:kubernetes.default.svc')
    const bootstrap = certificate('bootstrap', 'IP:127.0.0.1')
    const closed = await serve(wrong, 'closed')
    servers.pop()!.close()
    const ports = {
      right: await serve(right, 'right'),
      wrong: await serve(wrong, 'wrong'),
      bootstrap: await serve(bootstrap, 'bootstrap'),
    }
    using api = client(ports.bootstrap, Buffer.concat([right.cert, bootstrap.cert]))
    api.endpoints.set([closed, ports.wrong, ports.right].map((port) => ({ host: '127.0.0.1', port })))
    for (let i = 0; i < 5; i++) assert.equal(await ask(api), 'right')
    servers[0]!.closeAllConnections()
    servers[0]!.close()
    assert.equal(await ask(api), 'bootstrap')
  })

  it('doesn’t take an API server whose certificate has another name', async () => {
    const other = certificate('other', 'DNS:example.org,IP:127.0.0.1')
    const port = await serve(other, 'other')
    using api = client(1, other.cert)
    api.endpoints.set([{ host: '127.0.0.1', port }])
    await assert.rejects(ask(api), { code: 'API_UNREACHABLE' })
  })
})
