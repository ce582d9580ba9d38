/**
 * Services whose endpoints are on another node, in a network that the client's isn't joined with: the client's node hands the connection over to the
 * endpoint's, which answers through it. The client's address is kept, and clients that share one stay apart.
 */
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
import { answersOf, ask, exchanged, serviceManifest, serviceRanges, startEcho, startServer } from './service-lab.ts'

const WEB = ['10.96.0.7', 'fd96::7']
const ECHO = ['10.96.0.8', 'fd96::8']
/** The addresses of both tenants' pods. */
const SHARED = '10.1.0.77,fd01::77'
/** Larger than any packet. */
const LARGE = 8000

describe('Services handed over to the node of their endpoints', function () {
  this.timeout(240_000)
  let lab: Lab
  let dev: TestPod
  let red: TestPod

  before(async function () {
    skipIfMissing(this)
    lab = TestLab.up(2, { VROUTER_DEFAULT_NETWORK_SUBNETS: '10.200.0.0/16,fd20::/64' })
    lab.apply(serviceRanges('10.96.0.0/16', 'fd96::/112'))
    lab.apply(isolatedNamespace('dev'))
    for (const name of ['red', 'blue']) lab.apply(tenant(name, '10.1.0.0/16', 'fd01::/64'))
    dev = lab.addPod('dev', 1, 'dev')
    red = lab.addPod('red', 1, 'red', '--annotation', `vrouter.dev/addresses=${SHARED}`)
    lab.addPod('blue', 1, 'blue', '--annotation', `vrouter.dev/addresses=${SHARED}`)
    const web = lab.addPod('web', 2, 'default')
    const large = lab.addPod('echo', 2, 'default')
    await startServer(lab, 'pod/web', 'web')
    await startEcho(lab, 'pod/echo')
    lab.apply(serviceManifest({ name: 'web', clusterIps: WEB, backs: [{ pod: web, node: 2 }] }))
    lab.apply(serviceManifest({ name: 'echo', clusterIps: ECHO, backs: [{ pod: large, node: 2 }] }))
    await eventually(() => / /.test(ask(lab, 'pod/dev', { kind: 'tcp', address: WEB[1]!, timeoutS: 1 })[0]!))
  })
  after(() => lab?.close())

  it('answer pods of isolated and of tenants’ networks, who keep their addresses', () => {
    for (const pod of [dev, red])
      for (const kind of ['tcp', 'udp'] as const)
        for (const [at, address] of WEB.entries())
          assert.deepEqual(
            answersOf(lab, `pod/${pod.name}`, { kind, address, count: 3 }),
            [`web ${at === 0 ? pod.ip4 : pod.ip6}`],
            `${pod.name} ${kind} ${address}`,
          )
  })

  it('tell clients apart that have one address and one port', () => {
    for (const name of ['red', 'blue', 'red'])
      assert.equal(
        exchanged(lab, `pod/${name}`, { address: ECHO[0]!, bytes: 100 + name.length, sourcePort: 4000 }),
        'whole',
        name,
      )
  })

  it('carry datagrams that are larger than a packet, both ways', () => {
    lab.expectDrops('Fragment errors') // of the first, whose other fragments were too large for two labels
    for (const name of ['dev', 'red'])
      for (const address of ECHO)
        assert.equal(
          exchanged(lab, `pod/${name}`, { address, bytes: LARGE, sourcePort: 4000 }),
          'whole',
          `${name} ${address}`,
        )
  })
})
