import assert from 'node:assert/strict'
import { TestCluster } from '../../../test/doubles/test-cluster.ts'

function cluster(): TestCluster {
  const made = new TestCluster()
  for (const node of ['n1', 'n2']) made.node(node)
  made.network('red')
  made.block('b1', '10.1.0.0/26', 'n1')
  return made
}

describe('conflicts', () => {
  it('of blocks with the same addresses are told of the one that doesn’t count, until it is solved', () => {
    const made = cluster()
    made.block('b2', '10.1.0.32/27', 'n2')
    made.wait(9_000).settle()
    assert.equal(made.condition('blocks', 'b2', 'Conflict'), undefined)
    made.now += 1000
    const { events } = made.settle()
    const words =
      'spec.cidr (10.1.0.32/27) overlaps IPAMBlock b1 (10.1.0.0/26) of node n1, which counts: remove one of them'
    assert.equal(made.condition('blocks', 'b2', 'Conflict'), `True Conflict: ${words}`)
    assert.equal(made.condition('blocks', 'b1', 'Conflict'), undefined)
    assert.deepEqual(
      events.map(({ of, message }) => [of, message]),
      [['blocks', words]],
    )
    made.remove('blocks', 'b1')
    made.settle()
    assert.equal(made.condition('blocks', 'b2', 'Conflict'), 'False None')
  })

  it('of nodes with one address are told', () => {
    const made = cluster()
    for (const node of ['n1', 'n2']) {
      made.router(node, '192.0.2.7')
      made.agent(node, true)
    }
    made.wait(10_000).settle()
    assert.match(
      made.condition('routers', 'n2', 'Conflict')!,
      /spec.address \(192.0.2.7\) is the address of VirtualRouter n1 too/,
    )
    assert.equal(made.condition('routers', 'n2', 'Ready'), 'True AgentReady')
  })

  it('of interfaces that somebody edited are told, if the node doesn’t put them right', () => {
    const made = cluster()
    made.interface('ok', ['10.1.0.5'])
    made.interface('outside', ['10.9.0.5'])
    made.interface('foreign', ['10.1.0.70'])
    made.interface('twice', ['10.1.0.5'])
    made.interface('lost', ['10.1.0.6'], { network: 'a:b:c' })
    made.wait(10_000).settle()
    const said = (pod: string) => made.condition('interfaces', `default/${pod}-x`, 'Conflict')
    assert.equal(said('ok'), undefined)
    assert.equal(
      said('outside'),
      'True Conflict: spec.addresses (10.9.0.5) lies in no subnet of default-domain:k8s-default:red',
    )
    assert.equal(said('foreign'), 'True Conflict: spec.addresses (10.1.0.70) lies in no IPAMBlock of node n1')
    assert.equal(
      said('twice'),
      'True Conflict: spec.addresses (10.1.0.5) is that of VirtualMachineInterface default/ok-x too',
    )
    assert.equal(said('lost'), "True Conflict: spec.network (a:b:c) doesn't exist")
  })

  it('that nodes put right within seconds are nobody’s business', () => {
    const made = cluster()
    made.interface('web', ['10.9.0.5'])
    made.wait(5_000).settle()
    assert.equal(made.condition('interfaces', 'default/web-x', 'Conflict'), undefined)
    made.change('interfaces', 'default/web-x', { spec: { addresses: ['10.1.0.5'] } })
    made.wait(10_000)
    assert.ok(made.wanted().every((action) => action.type !== 'event'))
  })

  it('don’t keep objects of a newer version from counting: fields that are unknown are let be', () => {
    const made = cluster()
    made.interface('web', ['10.1.0.5'], { ofTomorrow: { deep: true } })
    made.network('blue', { subnets: [{ cidr: '10.2.0.0/16', pools: [] }], ofTomorrow: 1 })
    made.wait(10_000).settle()
    assert.equal(made.condition('interfaces', 'default/web-x', 'Conflict'), undefined)
    assert.equal(made.status('networks', 'default/blue')['state'], 'Success')
    assert.equal((made.world.networks.get('default/blue')!.spec as { ofTomorrow: number }).ofTomorrow, 1)
  })
})
