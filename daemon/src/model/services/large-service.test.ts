/** What one Service may cost the node that serves it: its owner writes ports and endpoints as he likes, and each endpoint counts for each port. */
import assert from 'node:assert/strict'
import { endpointOf, serviceOf, sliceOf } from '../../../../test/doubles/service-objects.ts'
import { inputOf, limits } from '../../../../test/doubles/service-world.ts'
import { Model } from '../compute.ts'
import { Ids } from '../ids.ts'
import type { SlicePort } from '../objects.ts'
import type { Tables } from '../tables.ts'
import { MOST_BACKS, MOST_EXTERNAL_IPS, MOST_FRONTS } from './service-state.ts'

const tcp = (ports: number, port: (at: number) => number) =>
  Array.from({ length: ports }, (_, at) => ({ name: `p${at}`, protocol: 'TCP' as const, port: port(at) }))
const endpoints = (count: number) =>
  Array.from({ length: count }, (_, at) => endpointOf(`203.0.${113 + (at >> 8)}.${at & 255}`))

function tablesOf(services: Parameters<typeof inputOf>[0]): Tables {
  const options = { node: 'n1', cluster: 'k8s', limits: { routes: 10_000 }, flowsPerVif: 5, snat: true, now: () => 0 }
  return new Model(options, new Ids({ limits: { ...limits, service: 10_000 } })).update(inputOf(services))
}

const served = (tables: Tables, address: string) =>
  tables.fronts!.filter((front) => front.address === address && front.listener !== undefined)

describe('a Service with very many ports and endpoints', () => {
  const large = {
    services: [serviceOf('large', { clusterIps: ['10.96.0.20'], ports: tcp(1000, (at) => at + 1) }), serviceOf('web')],
    slices: [
      sliceOf('large', endpoints(400), { ports: tcp(1000, (at) => at + 1) }),
      sliceOf('web', [endpointOf('203.0.113.1')]),
    ],
  }

  it('is served at as many of its ports, the first ones, as a node can bear; it is told, and others are served whole', () => {
    const tables = tablesOf(large)
    const ports = served(tables, '10.96.0.20').map(({ listener }) => listener!.port)
    const most = Math.floor(MOST_BACKS / 400)
    assert.deepEqual(
      ports,
      Array.from({ length: most }, (_, at) => at + 1),
    )
    assert.deepEqual(tables.problems, [
      {
        object: 'Service default/large',
        message: `has too many ports for its endpoints (${MOST_BACKS} are served, counted for each port) or addresses (${MOST_FRONTS}): port ${most + 1} and those behind it are not served; share the ports between several Services`,
      },
    ])
    assert.deepEqual(
      served(tables, '10.96.0.10').map(({ inside }) => inside.backs.length),
      [1],
    )
  })

  it('has all of them where each port has few', () => {
    const ports = tcp(1000, (at) => at + 1)
    const tables = tablesOf({
      services: [serviceOf('web', { ports })],
      slices: [sliceOf('web', endpoints(3), { ports })],
    })
    assert.deepEqual([served(tables, '10.96.0.10').length, tables.problems], [1000, []])
  })

  it('is served at a bounded number of addresses, each of which is a route of every network, and of ports at them', () => {
    const ports = tcp(1000, (at) => at + 1)
    const externalIps = endpoints(MOST_EXTERNAL_IPS + 100).map(({ address }) => address)
    const tables = tablesOf({ services: [serviceOf('web', { ports, externalIps })] })
    const whole = tables.fronts!.filter((front) => front.kind === 'external-ip' && front.listener === undefined)
    assert.deepEqual(
      whole.map(({ address }) => address),
      externalIps.slice(0, MOST_EXTERNAL_IPS),
    )
    assert.ok(tables.fronts!.length < MOST_FRONTS + 2 * MOST_EXTERNAL_IPS, `${tables.fronts!.length}`)
    const most = Math.floor(MOST_FRONTS / (MOST_EXTERNAL_IPS + 2)) // its cluster IP, and the node's address
    assert.equal(served(tables, '10.96.0.10').length, most)
    assert.deepEqual(
      tables.problems.map(({ message }) => message.split(':')[0]),
      [
        `has ${MOST_EXTERNAL_IPS + 100} external IPs and is served at the first ${MOST_EXTERNAL_IPS} of them`,
        `has too many ports for its endpoints (${MOST_BACKS} are served, counted for each port) or addresses (${MOST_FRONTS})`,
      ],
    )
  })

  it('costs a look at each port of its slices, not one for each pair of ports', () => {
    let reads = 0
    const ports = tcp(1000, (at) => at + 1)
    const counted = ports.map(
      (port): SlicePort =>
        new Proxy(port, {
          get(target, field, receiver) {
            reads++
            return Reflect.get(target, field, receiver) as unknown
          },
        }),
    )
    tablesOf({
      services: [serviceOf('web', { ports })],
      slices: [sliceOf('web', endpoints(1), { ports: counted })],
    })
    assert.ok(reads >= 1000 && reads < 10_000, `${reads} reads`)
  })
})
