/** Services of networks: who reaches those of the default service network, of an isolated namespace, and what is public. */
import assert from 'node:assert/strict'
import {
  eventually,
  isolatedNamespace,
  type TestLab as Lab,
  skipIfMissing,
  TestLab,
  type TestPod,
  tenant,
} from './lab.ts'
import { answersOf, ask, serviceManifest, serviceRanges, startServer } from './service-lab.ts'

const WEB = ['10.96.0.7', 'fd96::7']
const DB = ['10.96.0.20', 'fd96::20']
/** Of the Services of `web` and `db`. */
const PUBLIC_WEB = ['198.51.100.7', '2001:db8:7::7']
const PUBLIC_DB = ['198.51.100.8', '2001:db8:7::8']

describe('Services of networks', function () {
  this.timeout(180_000)
  let lab: Lab
  let plain: TestPod
  let dev: TestPod
  let red: TestPod

  before(async function () {
    skipIfMissing(this)
    lab = TestLab.up(2, { VROUTER_DEFAULT_NETWORK_SUBNETS: '10.200.0.0/16,fd20::/64' })
    lab.apply(serviceRanges('10.96.0.0/16', 'fd96::/112'))
    lab.apply(isolatedNamespace('dev'))
    lab.apply(tenant('red', '10.1.0.0/16', 'fd01::/64'))
    plain = lab.addPod('plain', 1, 'default')
    dev = lab.addPod('dev', 1, 'dev')
    red = lab.addPod('red', 1, 'red')
    const web = lab.addPod('web', 1, 'default')
    const db = lab.addPod('db', 1, 'dev')
    for (const pod of [web, db]) await startServer(lab, `pod/${pod.name}`, pod.name)
    const [ofWeb, ofDb] = [PUBLIC_WEB, PUBLIC_DB].map((externalIPs) => ({ externalIPs }))
    lab.apply(serviceManifest({ name: 'web', clusterIps: WEB, backs: [{ pod: web, node: 1 }], spec: ofWeb! }))
    lab.apply(
      serviceManifest({ name: 'db', namespace: 'dev', clusterIps: DB, backs: [{ pod: db, node: 1 }], spec: ofDb! }),
    )
    for (const [client, address] of [
      ['plain', WEB[1]!],
      ['dev', DB[1]!],
    ] as const)
      await eventually(() => / /.test(ask(lab, `pod/${client}`, { kind: 'tcp', address, timeoutS: 1 })[0]!))
  })
  after(() => lab?.close())

  const answers = (where: string, addresses: readonly string[], timeoutS?: number) =>
    addresses.map(
      (address) => answersOf(lab, where, { kind: 'tcp', address, ...(timeoutS !== undefined && { timeoutS }) })[0],
    )
  const own = ({ ip4, ip6 }: TestPod) => [ip4, ip6]
  const from = (name: string, clients: readonly string[]) => clients.map((client) => `${name} ${client}`)

  it('are seen by their own network', () => {
    assert.deepEqual(answers('pod/plain', WEB), from('web', own(plain)))
    assert.deepEqual(answers('pod/dev', DB), from('db', own(dev)))
  })

  it('of the default network are seen by all', () => {
    for (const client of [dev, red])
      for (const answer of answers(`pod/${client.name}`, WEB)) assert.match(answer!, /^web /, client.name)
  })

  it('of an isolated namespace are seen by no other network', () => {
    lab.expectDrops('Discards')
    for (const client of ['plain', 'red'])
      assert.deepEqual(answers(`pod/${client}`, DB, 1), ['silence', 'silence'], client)
  })

  it('are seen by the node, isolated or not', () => {
    for (const [name, addresses] of [
      ['web', WEB],
      ['db', DB],
    ] as const)
      for (const answer of answers('node/1', addresses)) assert.match(answer!, new RegExp(`^${name} `), name)
  })

  it('are public at external IPs, whatever network they are of, and nothing else is there', () => {
    for (const where of ['pod/plain', 'pod/dev', 'pod/red', 'node/1'])
      for (const [name, addresses] of [
        ['web', PUBLIC_WEB],
        ['db', PUBLIC_DB],
      ] as const) {
        for (const answer of answers(where, addresses))
          assert.match(answer!, new RegExp(`^${name} `), `${where} ${name}`)
        for (const address of addresses)
          assert.deepEqual(
            answersOf(lab, where, { kind: 'tcp', address, port: 81 }),
            ['refused'],
            `${where} ${address}`,
          )
      }
  })
})
