import assert from 'node:assert/strict'
import { endpointOf, serviceOf, sliceOf } from '../../../../test/doubles/service-objects.ts'
import {
  dev,
  frontsOf,
  inputOf,
  isolated,
  limits,
  modelOf,
  port,
  red,
  type ServiceWorld,
  standard,
} from '../../../../test/doubles/service-world.ts'
import type { HostPort, Port } from '../facts.ts'
import { Ids } from '../ids.ts'
import type { SourceState } from '../objects.ts'
import type { Tables } from '../tables.ts'

const asks = (one: Port, ...hostPorts: HostPort[]): Port => ({ ...one, hostPorts })
const tcp = (hostPort: number, containerPort = hostPort, more: Partial<HostPort> = {}): HostPort => ({
  ...{ hostPort, containerPort, protocol: 'tcp' },
  ...more,
})
const web = port('web', standard, '10.244.0.4')
const dual: Port = { ...web, addresses: ['10.244.0.4', 'fd00:10:244::4'] }
const at = `10.244.0.4:80 in k8s-default-pod-network at ${web.tap}`
const at6 = `fd00:10:244::4:80 in k8s-default-pod-network at ${web.tap}`
const unknown = { services: undefined, slices: undefined, serviceRanges: undefined } as unknown as Partial<SourceState>
const tablesOf = (world: ServiceWorld): Tables => modelOf().update(inputOf(world))
const messages = ({ problems }: Tables) => problems.map(({ object, message }) => `${object}: ${message}`)

describe('host ports', () => {
  it("are fronts at the node's addresses of the pod's families, with the pod behind them", () => {
    const tables = tablesOf({ ports: [asks(dual, tcp(8080, 80))] })
    assert.deepEqual(frontsOf(tables), {
      'underlay host-port 192.0.2.11:8080/TCP': at,
      'underlay host-port 2001:db8::11:8080/TCP': at6,
    })
    const [front] = tables.fronts!
    assert.deepEqual(front!.service, { namespace: 'default', name: 'web', port: '8080', family: 4, isPod: true })
    assert.equal(front!.inside, front!.outside)
    assert.equal(front!.inside, front!.local)
    assert.deepEqual(Object.keys(frontsOf(tablesOf({ ports: [asks(web, tcp(8080, 80))] }))), [
      'underlay host-port 192.0.2.11:8080/TCP',
    ])
  })

  it('listen at the address that they name, or at those of a family', () => {
    const hostPorts = [
      tcp(1, 80, { hostIp: '192.0.2.11' }),
      tcp(2, 80, { hostIp: '0.0.0.0' }),
      tcp(3, 80, { hostIp: '::', protocol: 'udp' }),
      tcp(4, 80, { hostIp: '192.0.2.99' }),
      tcp(80, 80, { hostIp: '2001:db8::11', protocol: 'sctp' }),
    ]
    const tables = tablesOf({ ports: [asks(dual, ...hostPorts)] })
    assert.deepEqual(frontsOf(tables), {
      'underlay host-port 192.0.2.11:1/TCP': at,
      'underlay host-port 192.0.2.11:2/TCP': at,
      'underlay host-port 2001:db8::11:3/UDP': at6,
      'underlay host-port 2001:db8::11:80/SCTP': at6,
    })
    assert.deepEqual(messages(tables), [
      'Pod default/web: host port 4/tcp leads nowhere: 192.0.2.99 is no address of this node',
    ])
  })

  it('are there while Services are not known, and go with their pod', () => {
    const model = modelOf()
    assert.equal(model.update(inputOf({ ports: [web], more: unknown })).fronts, undefined)
    const tables = model.update(inputOf({ ports: [asks(web, tcp(8080, 80))], more: unknown }))
    assert.deepEqual(frontsOf(tables), { 'underlay host-port 192.0.2.11:8080/TCP': at })
    assert.deepEqual(frontsOf(model.update(inputOf({ ports: [], more: unknown }))), {})
    const known = model.update(inputOf({ ports: [asks(web, tcp(8080, 80))], services: [serviceOf('web')] }))
    assert.deepEqual(Object.keys(frontsOf(known)), [
      'underlay host-port 192.0.2.11:8080/TCP',
      'k8s-default-service-network cluster-ip 10.96.0.10',
      'k8s-default-service-network cluster-ip 10.96.0.10:80/TCP',
    ])
  })

  it('take back nothing of the Services of an earlier daemon that are not known yet', () => {
    const ids = new Ids({ limits })
    modelOf(ids).update(inputOf({ services: [serviceOf('web')], ports: [web] }))
    const next = modelOf(ids)
    assert.equal(next.update(inputOf({ ports: [asks(web, tcp(8080, 80))], more: unknown })).fronts, undefined)
    const known = next.update(inputOf({ ports: [asks(web, tcp(8080, 80))], services: [serviceOf('web')] }))
    assert.equal(frontsOf(known)['underlay host-port 192.0.2.11:8080/TCP'], at)
  })

  it('keep their numbers over a restart, and give them back', () => {
    const ids = new Ids({ limits })
    const world = { ports: [asks(dual, tcp(8080, 80))], services: [serviceOf('web')] }
    const numbers = (tables: Tables) =>
      tables.fronts!.filter(({ kind }) => kind === 'host-port').map(({ address, id }) => [address, id])
    const first = numbers(modelOf(ids).update(inputOf(world)))
    assert.equal(new Set(first.map(([, id]) => id)).size, 2)
    const again = modelOf(ids)
    assert.deepEqual(numbers(again.update(inputOf(world))), first)
    const used = ids.used('service').size
    again.update(inputOf({ ...world, ports: [] }))
    assert.equal(ids.used('service').size, used - 2)
    modelOf(ids).update(inputOf(world))
    modelOf(ids).update(inputOf({ services: [serviceOf('web')] }))
    assert.equal(ids.used('service').size, used - 2)
  })

  it('lose against the NodePort of a Service, and it is told', () => {
    const service = serviceOf('web', {
      ...{ type: 'NodePort', ports: [{ name: '', protocol: 'TCP', port: 80, nodePort: 30_080 }] },
    })
    const slice = sliceOf('web', [endpointOf('10.244.0.5', { node: 'n1', pod: 'other' })])
    const ports = [asks(web, tcp(30_080, 80)), port('other', standard, '10.244.0.5')]
    const tables = tablesOf({ services: [service], slices: [slice], ports })
    const front = tables.fronts!.find(({ listener }) => listener?.port === 30_080)!
    assert.equal(front.kind, 'node-port')
    assert.deepEqual(messages(tables), [
      'Pod default/web: TCP port 30080 of 192.0.2.11 is that of Service default/web: choose another port or address',
    ])
  })

  it('are those of the later one of two sandboxes of one pod', () => {
    const later = { ...port('web-again', standard, '10.244.0.9'), pod: web.pod, createdAt: 'x' }
    const both = [asks(later, tcp(8080, 80)), asks(web, tcp(8080, 80))]
    const model = modelOf()
    const place = 'underlay host-port 192.0.2.11:8080/TCP'
    assert.match(frontsOf(model.update(inputOf({ ports: both })))[place]!, /^10\.244\.0\.9:80 /)
    assert.equal(frontsOf(model.update(inputOf({ ports: [both[1]!] })))[place], at)
  })

  it("lead to a pod of an isolated namespace's network, too", () => {
    const own = port('own', dev, '10.244.0.7', 'dev')
    const tables = tablesOf({ ports: [asks(own, tcp(8080, 80))], namespaces: [isolated] })
    assert.match(frontsOf(tables)['underlay host-port 192.0.2.11:8080/TCP']!, /in k8s-dev-pod-network at /)
  })

  it('need no tunnels to other nodes, as Services do', () => {
    const tunnelsWith = (world: ServiceWorld) => {
      const model = modelOf()
      const input = inputOf({ ...world, ports: [asks(port('own', red, '10.1.0.7'), tcp(8080, 80))] })
      model.update(input)
      const { fronts, nexthops } = model.update(input)
      assert.ok(fronts!.some(({ kind }) => kind === 'host-port'))
      return nexthops.filter(({ nexthop }) => nexthop.type === 'tunnel').length
    }
    assert.equal(tunnelsWith({}), 0)
    assert.equal(tunnelsWith({ services: [serviceOf('web')] }), 1)
  })

  it('say so when no number is left', () => {
    const ids = new Ids({ limits: { ...limits, service: 2 } })
    const tables = modelOf(ids).update(inputOf({ ports: [asks(web, tcp(1, 80), tcp(2, 80))] }))
    assert.equal(tables.fronts!.length, 1)
    assert.deepEqual(messages(tables), ['Pod default/web: no service number is left (limit 2)'])
  })
})
