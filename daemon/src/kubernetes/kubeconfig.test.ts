import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Credentials } from './credentials.ts'
import { readKubeconfig } from './kubeconfig.ts'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'vrouter-credentials-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const file = (name: string, text: string) => {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}
const config = (cluster: string, user: string) =>
  file(
    'kubeconfig',
    `{current-context: a, contexts: [{name: b}, {name: a, context: {cluster: c, user: u}}], clusters: [{name: c, cluster: ${cluster}}], users: [{name: u, user: ${user}}]}`,
  )

describe('a kubeconfig', () => {
  it('gives server, certificates and token of its current context, with paths from its own folder', () => {
    file('ca.pem', 'CA')
    const data = Buffer.from('CERT').toString('base64')
    const path = config(
      '{server: "https://[fd00::1]:6443", certificate-authority: ca.pem, tls-server-name: kube}',
      `{token: t, client-certificate-data: ${data}, client-key-data: ${data}}`,
    )
    const { server, ...rest } = readKubeconfig(path)
    assert.equal(server.href, 'https://[fd00::1]:6443/')
    assert.deepEqual(rest, {
      serverName: 'kube',
      isInsecure: undefined,
      ca: 'CA',
      certificate: 'CERT',
      key: 'CERT',
      authorization: 'Bearer t',
    })
    file('token', 'from file\n')
    assert.equal(
      readKubeconfig(config('{server: "https://a"}', '{tokenFile: token, token: x}')).authorization,
      'Bearer from file',
    )
    const basic = readKubeconfig(config('{server: "https://a"}', '{username: u, password: p}'))
    assert.equal(basic.authorization, `Basic ${Buffer.from('u:p').toString('base64')}`)
  })

  it('says what is wrong with it', () => {
    for (const [make, message] of [
      [() => join(folder, 'none'), /cannot read .*none: ENOENT/],
      [() => file('a', '{'), /is not YAML/],
      [() => file('b', ''), /no context ""/],
      [() => file('c', '{current-context: x, contexts: []}'), /no context "x"/],
      [() => config('{}', '{}'), /no cluster "c" with a server/],
      [() => config('{server: "10.0.0.1:6443"}', '{}'), /is not a URL such as/],
      [() => config('{server: "https://a", certificate-authority: gone.pem}', '{}'), /gone.pem: ENOENT/],
      [() => config('{server: "https://a"}', '{exec: {command: aws}}'), /logs in by a program/],
    ] as const) {
      assert.throws(() => readKubeconfig(make()), { code: 'CREDENTIALS_UNUSABLE', message })
    }
  })
})

describe('credentials', () => {
  it('of a service account are read again when they are a second old, and kept while they can’t be read', async () => {
    const token = file('token', 'one\n')
    file('ca.crt', 'CA')
    const environment = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' }
    const credentials = new Credentials({ kubeconfig: '', server: '', environment, serviceAccount: folder })
    const first = credentials.current()
    assert.equal(first.server.href, 'https://[fd00::1]:6443/')
    assert.equal(first.authorization, 'Bearer one')
    file('token', 'two')
    assert.equal(credentials.current(), first)
    assert.equal(credentials.reread(), true)
    assert.equal(credentials.current().authorization, 'Bearer two')
    assert.equal(credentials.reread(), false)
    rmSync(token)
    await sleep(1050)
    assert.equal(credentials.current().authorization, 'Bearer two')
    file('token', 'three')
    await sleep(1050)
    assert.equal(credentials.current().authorization, 'Bearer three')
  })

  it('need an address from somewhere, and `server` beats what others say', () => {
    file('token', 't')
    file('ca.crt', 'CA')
    const options = { kubeconfig: '', serviceAccount: folder, environment: {} }
    assert.throws(() => new Credentials({ ...options, server: '' }).current(), {
      code: 'CREDENTIALS_UNUSABLE',
      message: /KUBERNETES_SERVICE_HOST/,
    })
    assert.equal(
      new Credentials({ ...options, server: 'https://10.0.0.1:6443' }).current().server.host,
      '10.0.0.1:6443',
    )
    assert.throws(() => new Credentials({ ...options, server: 'ftp://a' }).current(), { message: /source.server/ })
    const kubeconfig = config('{server: "https://a"}', '{token: t}')
    assert.equal(new Credentials({ ...options, kubeconfig, server: 'https://b' }).current().server.host, 'b')
  })
})
