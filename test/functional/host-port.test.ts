/** A pod's hostPort: the port of its node leads to it, from outside and from other nodes, whatever network it is in; it goes with the pod, and outlives the daemon. */
import assert from 'node:assert/strict'
import { nodePaths, underlay } from '../lab/layout.ts'
import { eventually, type TestLab as Lab, skipIfMissing, TestLab, tenant } from './lab.ts'
import { answersOf, ask, type Kind, startServer } from './service-lab.ts'

const PORT = 18_080
const TENANT_PORT = 18_081
/** Of a pod of the other node, whose number a pod of this one might take for its own. */
const FAR_PORT = 18_082
/** Outside of the range of NodePorts, and of that of source NAT. */
const ONLY6 = 443

describe('host ports', function () {
  this.timeout(180_000)
  let lab: Lab
  const kinds: readonly Kind[] = ['tcp', 'udp']
  const outside = [underlay.gateway4, underlay.gateway6]
  const addressesOf = (node: number) => {
    const { address4, address6 } = nodePaths('x', node)
    return [address4, address6]
  }
  const both = (port: number) => ['--host-port', `${port}:8080`, '--host-port', `${port}:8080/udp`]

  before(async function () {
    skipIfMissing(this)
    lab = TestLab.up(2, { VROUTER_DEFAULT_NETWORK_SUBNETS: '10.200.0.0/16,fd20::/64' })
    lab.apply(tenant('shop', '10.77.0.0/16', 'fd77::/64'))
    lab.addPod('web', 1, 'default', ...both(PORT), '--host-port', `${ONLY6}:8080@::`)
    lab.addPod('shop', 1, 'shop', ...both(TENANT_PORT))
    lab.addPod('far-shop', 2, 'shop')
    lab.addPod('near-shop', 1, 'shop')
    lab.addPod('near', 1, 'default')
    lab.addPod('far', 2, 'default', ...both(FAR_PORT))
    for (const pod of ['web', 'shop', 'far']) await startServer(lab, `pod/${pod}`, pod)
  })
  after(() => lab?.close())

  const check = (where: string, address: string, port: number, expected: string) => {
    for (const kind of kinds)
      assert.deepEqual(
        answersOf(lab, where, { kind, address, port, count: 5, timeoutS: 5 }),
        [expected],
        `${where} → ${kind} ${address} port ${port}`,
      )
  }

  it('lead from outside to the pod, which sees the client’s address', () => {
    for (const [at, client] of outside.entries()) {
      check('fabric', addressesOf(1)[at]!, PORT, `web ${client}`)
      check('fabric', addressesOf(1)[at]!, TENANT_PORT, `shop ${client}`)
    }
  })

  it('lead from another node to the pod', () => {
    for (const [at, client] of addressesOf(2).entries()) {
      check('node/2', addressesOf(1)[at]!, PORT, `web ${client}`)
      check('node/2', addressesOf(1)[at]!, TENANT_PORT, `shop ${client}`)
    }
  })

  it('lead from pods of a tenant’s network on another node, seen with that node’s address', () => {
    check('pod/far-shop', addressesOf(1)[0]!, PORT, `web ${addressesOf(2)[0]}`)
    check('pod/far-shop', addressesOf(1)[0]!, TENANT_PORT, `shop ${addressesOf(2)[0]}`)
  })

  it('lead from pods of the same node to the pod', () => {
    for (const [at, address] of addressesOf(1).entries())
      for (const client of ['near', 'near-shop'])
        for (const [port, name] of [
          [PORT, 'web'],
          [TENANT_PORT, 'shop'],
        ] as const) {
          const question = { address, port, timeoutS: 5 }
          for (const kind of kinds)
            assert.match(
              ask(lab, `pod/${client}`, { ...question, kind })[0]!,
              new RegExp(`^${name} `),
              `${client} ${at}`,
            )
        }
  })

  it('lead from pods of the default network on another node, and never to a pod of the client’s own node', () => {
    for (const address of addressesOf(2))
      for (const kind of kinds)
        assert.match(ask(lab, 'pod/near', { kind, address, port: FAR_PORT, timeoutS: 5 })[0]!, /^far /)
    for (const address of addressesOf(1))
      assert.deepEqual(ask(lab, 'pod/far', { kind: 'tcp', address, port: FAR_PORT, timeoutS: 5 }), ['refused'])
  })

  it('are ports of the pod’s node alone, and of the addresses that were named', () => {
    const question = { kind: 'tcp', port: ONLY6, timeoutS: 5 } as const
    assert.deepEqual(ask(lab, 'fabric', { ...question, address: addressesOf(1)[1]! }), [`web ${outside[1]}`])
    assert.deepEqual(ask(lab, 'fabric', { ...question, address: addressesOf(1)[0]! }), ['refused'])
    for (const address of addressesOf(2))
      assert.deepEqual(ask(lab, 'fabric', { ...question, address, port: PORT }), ['refused'])
  })

  it('are seen by the tools', () => {
    const line = lab
      .node(1, 'service', '--dump')
      .split('\n')
      .find((text) => text.includes(`${addressesOf(1)[0]}:${PORT} `) && text.includes('TCP'))
    assert.match(line ?? '', / {2}1 +1 /)
  })

  it('are refused to a second pod, by name of the first', () => {
    lab.expectLog(/host port \d+\/tcp is that of pod default\/web/)
    const words = ['pod', 'add', 'rival', '--node', '1', '--namespace', 'shop', '--host-port', `${PORT}:80`]
    const { status, stderr } = lab.tryRun(words)
    assert.notEqual(status, 0)
    assert.match(stderr, new RegExp(`host port ${PORT}/tcp is that of pod default/web`))
  })

  it('stay while the daemon is away, and when it has come back', async () => {
    const address = addressesOf(1)[0]!
    lab.run(['daemon', '1', 'kill'])
    check('fabric', address, PORT, `web ${outside[0]}`)
    lab.run(['daemon', '1', 'start'])
    await eventually(() => lab.node(1, 'service', '--dump').includes(`${address}:${PORT} `))
    check('fabric', address, PORT, `web ${outside[0]}`)
  })

  it('go with the pod, and are another’s then', async () => {
    const question = { kind: 'tcp', address: addressesOf(1)[0]!, port: PORT, timeoutS: 5 } as const
    lab.run(['pod', 'del', 'web'])
    await eventually(() => ask(lab, 'fabric', question)[0] === 'refused')
    lab.addPod('next', 1, 'shop', ...both(PORT))
    await startServer(lab, 'pod/next', 'next')
    for (const [at, client] of outside.entries()) check('fabric', addressesOf(1)[at]!, PORT, `next ${client}`)
  })
})
