import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { followChanges } from '@kube-vrouter/daemon/vhost0/follow'
import { until } from '../patience.ts'
import { skipBecause } from '../skip.ts'
import { NIC, sleep, TestNode, VHOST, whyNot } from './fixture.ts'

const eventually = (what: string, isTrue: () => boolean) => until(what, isTrue, { pollMs: 50 })

describe('changes of the network card after the migration', function () {
  this.timeout(60_000)

  before(function () {
    skipBecause(this, whyNot())
  })

  async function migrated(): Promise<TestNode> {
    const node = new TestNode()
    node.ip(`addr add 10.77.0.11/24 dev ${NIC} valid_lft 1000 preferred_lft 1000`)
    node.ip('route add default via 10.77.0.1 metric 100 proto dhcp src 10.77.0.11')
    await node.migrate()
    return node
  }

  const onVhost = (node: TestNode, text: string | RegExp) =>
    new RegExp(text).test(node.ip(`addr show dev ${VHOST}`) + node.ip(`route show dev ${VHOST}`))
  const isNicEmpty = (node: TestNode) =>
    !/inet/.test(node.ip(`addr show dev ${NIC}`)) && node.ip(`route show dev ${NIC}`) === ''

  it('moves an address that is added on the NIC', async () => {
    using node = await migrated()
    await using _follower = await followChanges(node.options())
    node.ip(`addr add 10.78.0.11/24 dev ${NIC}`)
    await eventually('moved', () => isNicEmpty(node) && onVhost(node, 'inet 10.78.0.11/24'))
    assert.ok(node.canPing('10.78.0.1'))
  })

  it('moves what was added while nobody looked', async () => {
    using node = await migrated()
    node.ip(`addr add 10.78.0.11/24 dev ${NIC}`)
    await using _follower = await followChanges(node.options())
    await eventually('moved', () => isNicEmpty(node) && onVhost(node, 'inet 10.78.0.11/24'))
  })

  it('renews a lease on vhost0, and lets its default route take the place of the old one', async () => {
    using node = await migrated()
    await using _follower = await followChanges(node.options())
    node.ip(`addr add 10.77.0.11/24 dev ${NIC} valid_lft 5000 preferred_lft 5000`)
    node.world('addr add 10.77.0.2/24 dev gw')
    node.ip(`route replace default via 10.77.0.2 metric 100 proto dhcp src 10.77.0.11 dev ${NIC}`)
    await eventually('renewed', () => isNicEmpty(node) && onVhost(node, 'valid_lft (4|5)\\d\\d\\dsec'))
    await eventually(
      'replaced',
      () => onVhost(node, 'default via 10.77.0.2') && !onVhost(node, 'default via 10.77.0.1 '),
    )
    assert.ok(node.canPing('203.0.113.1'))
  })

  it('leaves the routes of a router to its advertisements', async () => {
    using node = new TestNode()
    node.ip(`addr add 10.77.0.11/24 dev ${NIC}`)
    node.advertise('fd79::', 600)
    await node.settled()
    const defaults = (device: string) => node.ip(`-6 route show default dev ${device}`).match(/proto \w+/g)
    await until('its route', () => defaults(NIC))
    await node.migrate()
    assert.deepEqual(defaults(VHOST), ['proto 119'])
    await using _follower = await followChanges(node.options())
    node.advertise('fd79::', 600)
    await eventually('its own route only', () => String(defaults(VHOST)) === 'proto ra')
  })

  it('puts back routes that vhost0 lost, and brings it up again', async () => {
    using node = await migrated()
    await using _follower = await followChanges(node.options())
    node.ip(`route del default dev ${VHOST}`)
    await eventually('put back', () => onVhost(node, 'default via 10.77.0.1'))
    node.ip(`link set ${VHOST} down`)
    await eventually('put back', () => onVhost(node, 'default via 10.77.0.1') && onVhost(node, '10.77.0.0/24'))
    assert.ok(node.canPing('203.0.113.1'))
  })

  it('lets an address go that somebody takes off vhost0', async () => {
    using node = await migrated()
    node.ip(`addr add 10.78.0.11/24 dev ${NIC}`)
    await using _follower = await followChanges(node.options())
    await eventually('moved', () => isNicEmpty(node) && onVhost(node, '10.78.0.11/24'))
    await sleep(200)
    node.ip(`addr del 10.78.0.11/24 dev ${VHOST}`)
    await sleep(500)
    assert.ok(!onVhost(node, '10.78.0.11'))
    assert.ok(onVhost(node, '10.77.0.11/24'))
    assert.deepEqual(
      node.log.filter(({ level }) => level !== 'info'),
      [],
    )
  })

  it('gives vhost0 the MTU and the MAC that the NIC gets', async () => {
    using node = await migrated()
    await using _follower = await followChanges(node.options())
    node.ip(`link set ${NIC} mtu 1450 address 02:11:22:33:44:55`)
    await eventually('followed', () => /mtu 1450.*\n.*02:11:22:33:44:55/.test(node.ip(`link show ${VHOST}`)))
  })

  it('keeps IPv6 off the NIC', async () => {
    using node = await migrated()
    await using _follower = await followChanges(node.options())
    node.exec(`sysctl -qw net.ipv6.conf.${NIC}.disable_ipv6=0`)
    node.ip(`-6 route flush dev ${VHOST} proto static`)
    await eventually('closed', () => /= 1/.test(node.exec(`sysctl net.ipv6.conf.${NIC}.disable_ipv6`)))
  })

  it('tells once that vhost0 is gone, and the migration makes it anew', async () => {
    using node = await migrated()
    let lost = 0
    await using _follower = await followChanges({ ...node.options(), onVhostLost: () => lost++ })
    await sleep(100)
    node.ip(`link del ${VHOST}`)
    await eventually('told', () => lost === 1)
    await node.migrate()
    assert.ok(node.canPing('203.0.113.1'))
    assert.equal(lost, 1)
  })

  it('leaves a way back alone that another process has begun', async () => {
    using node = await migrated()
    await using _follower = await followChanges(node.options())
    const path = join(node.stateDir, 'vhost0-snapshot.json')
    writeFileSync(path, readFileSync(path, 'utf8').replace('"settled"', '"restoring"'))
    node.ip(`addr add 10.78.0.11/24 dev ${NIC}`)
    await sleep(400)
    assert.match(node.ip(`addr show dev ${NIC}`), /10\.78\.0\.11/)
    await node.uninstall()
    await sleep(200)
    assert.match(node.ip(`addr show dev ${NIC}`), /10\.77\.0\.11/)
    assert.ok(node.canPing('203.0.113.1'))
  })
})
