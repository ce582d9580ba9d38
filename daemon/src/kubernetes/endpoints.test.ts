import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { addressesOf } from './discovery.ts'
import { Endpoints } from './endpoints.ts'

const access = (server: string) => ({ server: new URL(server) })
const names = (endpoints: Endpoints, server = 'https://10.0.0.9') =>
  endpoints.all(access(server)).map(({ host, port }) => `${host}:${port}`)
const TWO = [
  { host: '10.0.0.1', port: 6443 },
  { host: 'fd00::2', port: 6443 },
]

describe('the addresses of the API servers', () => {
  it('come before the bootstrap address, and those that failed last', () => {
    const endpoints = new Endpoints()
    assert.deepEqual(names(endpoints), ['10.0.0.9:443'])
    endpoints.set(TWO)
    assert.deepEqual(names(endpoints).slice(0, 2).sort(), ['10.0.0.1:6443', 'fd00::2:6443'])
    assert.equal(names(endpoints)[2], '10.0.0.9:443')
    const [first, second] = endpoints.all(access('https://10.0.0.9'))
    assert.equal(first!.serverName, 'kubernetes.default.svc')
    endpoints.failed(first!)
    assert.deepEqual(names(endpoints), [`${second!.host}:6443`, '10.0.0.9:443', `${first!.host}:6443`])
    endpoints.worked(first!)
    assert.equal(names(endpoints)[0], `${first!.host}:6443`)
    endpoints.set([])
    assert.equal(names(endpoints).length, 3)
  })

  it('are not used behind a proxy with paths or without TLS', () => {
    const endpoints = new Endpoints()
    endpoints.set(TWO)
    assert.deepEqual(names(endpoints, 'http://127.0.0.1:8001'), ['127.0.0.1:8001'])
    const [proxy] = endpoints.all(access('https://rancher/k8s/clusters/a/'))
    assert.equal(proxy!.prefix, '/k8s/clusters/a')
  })

  it('are remembered on disk; a damaged file is as none', () => {
    const folder = mkdtempSync(join(tmpdir(), 'vrouter-endpoints-'))
    const file = join(folder, 'deep/api-servers.json')
    new Endpoints(file).set(TWO)
    assert.equal(names(new Endpoints(file)).length, 3)
    for (const text of [
      '',
      '{',
      'null',
      '{"version":2,"addresses":[]}',
      '{"version":1,"addresses":{}}',
      '{"version":1,"addresses":[{"host":1}]}',
    ]) {
      writeFileSync(file, text)
      assert.deepEqual(names(new Endpoints(file)), ['10.0.0.9:443'], text)
    }
    rmSync(folder, { recursive: true })
  })

  it('are those of ready endpoints', () => {
    const slice = {
      metadata: { name: 'kubernetes' },
      ports: [{ name: 'https', port: 6443 }],
      endpoints: [
        { addresses: ['10.0.0.1', '10.0.0.2'], conditions: { ready: true } },
        { addresses: ['10.0.0.3'], conditions: { ready: false } },
        { addresses: ['10.0.0.4'] },
      ],
    }
    assert.deepEqual(
      addressesOf(slice).map(({ host }) => host),
      ['10.0.0.1', '10.0.0.2', '10.0.0.4'],
    )
    assert.deepEqual(addressesOf({ metadata: { name: 'a' } }), [])
  })
})
