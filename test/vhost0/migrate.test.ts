import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { NeighbourState, RouteSocket } from '@kube-vrouter/linux/netlink/route'
import { until } from '../patience.ts'
import { skipBecause } from '../skip.ts'
import { NIC, sleep, TestNode, VHOST, whyNot } from './fixture.ts'

describe('vhost0 migration', function () {
  this.timeout(60_000)

  before(function () {
    skipBecause(this, whyNot())
  })

  /** A NIC with most of what a NIC can have. */
  async function richNode(): Promise<TestNode> {
    const node = new TestNode()
    node.ip(`addr add 10.77.0.11/24 brd 10.77.0.255 dev ${NIC}`)
    node.ip(`addr add 10.77.0.12/24 dev ${NIC} label ${NIC}:1`)
    node.ip(`addr add 10.78.0.11/24 dev ${NIC} metric 300`)
    node.ip(`addr add 10.79.0.11/32 peer 10.79.0.1 dev ${NIC}`)
    node.ip(`addr add 10.80.0.11/24 dev ${NIC} valid_lft 3900 preferred_lft 2900 noprefixroute`)
    node.ip(`addr add fd77::11/64 dev ${NIC} nodad`)
    node.ip(`addr add fd78::11/64 dev ${NIC} nodad valid_lft 3900 preferred_lft 2900`)
    node.ip(`route add default via 10.77.0.1 metric 100 src 10.77.0.11 proto dhcp`)
    node.ip(`route add default via 10.78.0.1 metric 200 mtu 1400 proto static`)
    node.ip(`route add 172.20.0.0/16 via 10.77.0.1 dev ${NIC}`)
    node.ip(`route add 172.21.0.0/16 via 172.30.0.1 dev ${NIC} onlink`)
    node.ip(`route add 172.22.0.0/16 nexthop via 10.77.0.1 weight 3 nexthop via 10.78.0.1`)
    node.ip(`route add 172.23.0.0/16 via 10.77.0.1 table 77`)
    node.ip(`route add 172.24.0.9 dev ${NIC} scope link`)
    node.ip(`-6 route add default via fe80::77 dev ${NIC} metric 1024 proto ra expires 1800`)
    node.ip(`-6 route add fd99::/64 via fd77::1 dev ${NIC} src fd77::11`)
    node.ip(`-6 route add fd98::/64 nexthop via fd77::1 dev ${NIC} nexthop via fe80::77 dev ${NIC}`)
    node.ip(`neigh add 10.77.0.200 lladdr 02:00:00:00:00:99 dev ${NIC} nud permanent`)
    await node.settled()
    return node
  }

  /** The lines of a description without its clocks. */
  const timeless = (text: string) =>
    text
      .replaceAll(/"(valid|preferred)Lifetime":(\d{4})\b/g, '"$1Lifetime":"about $2"')
      .replaceAll(/about (\d)\d+/g, 'about $1…')

  it('moves a NIC with one static address, and the node still reaches its gateway and beyond', async () => {
    using node = new TestNode()
    node.ip(`addr add 10.77.0.11/24 dev ${NIC}`)
    node.ip('route add default via 10.77.0.1')
    const state = await node.migrate()
    assert.deepEqual(state.answered, ['10.77.0.1'])
    assert.ok(state.changes > 0)
    assert.ok(node.canPing('10.77.0.1'))
    assert.ok(node.canPing('203.0.113.1'))
    assert.doesNotMatch(node.ip(`addr show dev ${NIC}`), /inet/)
    assert.equal(node.ip(`route show dev ${NIC}`), '')
    assert.match(node.ip(`addr show dev ${VHOST}`), /inet 10\.77\.0\.11\/24/)
    assert.match(node.ip(`route get 203.0.113.1`), /via 10\.77\.0\.1 dev vhost0 src 10\.77\.0\.11/)
    const mac = (device: string) => /link\/ether (\S+)/.exec(node.ip(`link show ${device}`))?.[1]
    assert.equal(mac(VHOST), mac(NIC))
  })

  it('moves all kinds of addresses and routes, and uninstall puts all of them back as they were', async () => {
    using node = await richNode()
    const before = node.describe()
    await node.migrate()
    assert.deepEqual(
      node.log.filter(({ level }) => level !== 'info'),
      [],
    )
    assert.equal(node.ip(`route show table all dev ${NIC}`), '')
    assert.equal(node.ip(`-6 route show table all dev ${NIC}`), '')
    const addresses = node.ip(`addr show dev ${VHOST}`)
    for (const address of [
      '10.77.0.11/24',
      '10.77.0.12/24',
      '10.78.0.11/24',
      '10.79.0.11 peer 10.79.0.1/32',
      '10.80.0.11/24',
      'fd77::11/64',
      'fd78::11/64',
      'fe80::',
    ]) {
      assert.ok(addresses.includes(address), `${address} in ${addresses}`)
    }
    assert.match(addresses, /vhost0:1/)
    const routes = node.ip(`route show table all dev ${VHOST}`)
    assert.match(routes, /default via 10\.77\.0\.1 proto dhcp src 10\.77\.0\.11 metric 100/)
    assert.match(routes, /default via 10\.78\.0\.1 proto static metric 200 .*mtu 1400/)
    assert.match(routes, /172\.21\.0\.0\/16 via 172\.30\.0\.1 .*onlink/)
    assert.match(routes, /172\.23\.0\.0\/16 via 10\.77\.0\.1 table 77/)
    const routes6 = node.ip(`-6 route show dev ${VHOST}`)
    assert.match(routes6, /default via fe80::77 proto 119 metric 1025 .*expires/)
    assert.match(routes6, /fd99::\/64 via fd77::1 src fd77::11/)
    assert.match(node.ip(`neigh show dev ${VHOST}`), /10\.77\.0\.200 lladdr 02:00:00:00:00:99 PERMANENT/)
    for (const address of ['10.77.0.1', '10.78.0.1', '203.0.113.1', 'fd77::1', `fe80::77%${VHOST}`])
      assert.ok(node.canPing(address), address)

    assert.equal(await node.uninstall(), true)
    await node.settled()
    assert.equal(timeless(node.describe()), timeless(before))
    assert.equal(node.describe(VHOST), 'no device')
    assert.ok(node.canPing('203.0.113.1'))
    assert.ok(node.canPing('fd77::1'))
    assert.ok(!existsSync(join(node.stateDir, 'vhost0-snapshot.json')))
    assert.equal(await node.uninstall(), false)
  })

  it('changes nothing when it is repeated', async () => {
    using node = await richNode()
    await node.migrate()
    const before = [node.describe(NIC), node.describe(VHOST)].map(timeless)
    const again = await node.migrate()
    assert.equal(again.changes, 0)
    assert.deepEqual([node.describe(NIC), node.describe(VHOST)].map(timeless), before)
  })

  it('puts everything back when the gateway is lost', async () => {
    using node = await richNode()
    const before = timeless(node.describe())
    // No programs: nothing gets through vhost0.
    const lost = node.migrate({ watchSeconds: 2, hooks: { beforeMove: () => {}, detach: () => {} } })
    await assert.rejects(lost, {
      code: 'VHOST_GATEWAY_LOST',
      message: /10\.77\.0\.1 answered before the migration, and didn't within 2 s on vhost0/,
    })
    await node.settled()
    assert.equal(timeless(node.describe()), before)
    assert.equal(node.describe(VHOST), 'no device')
    assert.ok(node.canPing('203.0.113.1'))
  })

  it('hears a gateway that spoke first, though the kernel was told to keep its MAC fresh', async () => {
    using node = new TestNode()
    node.ip(`addr add 10.77.0.11/24 dev ${NIC}`)
    node.ip('route add default via 10.77.0.1')
    const managed = { managed: true, protocol: 118 }
    const state = await node.migrate({
      watchSeconds: 20,
      hooks: {
        onStep: (step) => {
          if (step !== 'watch') return
          // As the dataplane has it: what is known already waits this long before the kernel asks, 5 s as a rule.
          node.exec(`sysctl -qw net.ipv4.neigh.${VHOST}.delay_first_probe_time=60`)
          using route = RouteSocket.open({ netns: node.netns })
          const { index } = route.link(VHOST)!
          const mac = /link\/ether (\S+)/.exec(node.world('link show gw'))![1]!
          route.setNeighbour({ index, address: '10.77.0.1', mac, state: NeighbourState.STALE })
          route.setNeighbour({ index, address: '10.77.0.1', ...managed })
          assert.deepEqual(
            route.neighbours({ index, family: 4 }).map(({ state }) => state),
            [NeighbourState.DELAY],
          )
        },
      },
    })
    assert.deepEqual(state.answered, ['10.77.0.1'])
    using route = RouteSocket.open({ netns: node.netns })
    const kept = route.neighbours({ index: route.link(VHOST)!.index, family: 4 })
    assert.deepEqual(
      kept.map(({ address, managed, protocol }) => ({ address, managed, protocol })),
      [{ address: '10.77.0.1', ...managed }],
    )
  })

  it('puts everything back when the programs cannot be attached', async () => {
    using node = new TestNode()
    node.ip(`addr add 10.77.0.11/24 dev ${NIC}`)
    node.ip('route add default via 10.77.0.1')
    await node.settled()
    const before = node.describe()
    const refuse = () => {
      throw new Error('no such object')
    }
    await assert.rejects(node.migrate({ hooks: { beforeMove: refuse, detach: () => {} } }), {
      code: 'VHOST_ATTACH_FAILED',
    })
    assert.equal(node.describe(), before)
    assert.equal(node.describe(VHOST), 'no device')
  })

  it('puts everything back when a watched service is lost', async () => {
    using node = new TestNode()
    node.ip(`addr add 10.77.0.11/24 dev ${NIC}`)
    node.ip('route add default via 10.77.0.1')
    const lost = node.migrate({ watchSeconds: 1, hooks: { isReachable: async () => false } })
    await assert.rejects(lost, { code: 'VHOST_GATEWAY_LOST' })
    assert.ok(node.canPing('203.0.113.1'))
  })

  it('goes on, with a warning, when the gateway did not answer before either', async () => {
    using node = new TestNode()
    node.ip(`addr add 10.77.0.11/24 dev ${NIC}`)
    node.ip('route add default via 10.77.0.99')
    const state = await node.migrate()
    assert.deepEqual(state.answered, [])
    assert.ok(
      node.log.some(({ level, message }) => level === 'warn' && message.includes('does not answer even before')),
    )
    assert.match(node.ip(`route show dev ${VHOST}`), /default via 10\.77\.0\.99/)
  })

  it('moves a NIC without any default route', async () => {
    using node = new TestNode()
    node.ip(`addr add 10.77.0.11/24 dev ${NIC}`)
    await node.migrate()
    assert.ok(node.canPing('10.77.0.1'))
  })

  it('survives the NIC going down and up', async () => {
    using node = await richNode()
    await node.migrate()
    node.ip(`link set ${NIC} down`)
    await sleep(100)
    node.ip(`link set ${NIC} up`)
    await until('the way out', () => node.canPing('203.0.113.1'))
    await until('IPv6', () => node.canPing('fd77::1'))
  })

  it('keeps the offloads on, so that large packets stay whole', async () => {
    using node = new TestNode()
    node.ip(`addr add 10.77.0.11/24 dev ${NIC}`)
    await node.migrate()
    const features = node.exec(`ethtool -k ${VHOST}`)
    for (const feature of ['tx-checksumming', 'scatter-gather', 'tcp-segmentation-offload']) {
      assert.match(features, new RegExp(`^${feature}: on$`, 'm'))
    }
  })

  it('keeps the node online where routes over devices without a carrier are ignored', async () => {
    using node = new TestNode()
    node.ip(`addr add 10.77.0.11/24 dev ${NIC}`)
    node.ip(`addr add fd77::11/64 dev ${NIC} nodad`)
    node.ip('route add default via 10.77.0.1')
    node.ip(`-6 route add default via fd77::1 dev ${NIC}`)
    for (const family of ['ipv4', 'ipv6'])
      for (const which of ['all', 'default', NIC])
        node.exec(`sysctl -qw net.${family}.conf.${which}.ignore_routes_with_linkdown=1`)
    await node.migrate()
    for (const family of ['ipv4', 'ipv6'])
      node.exec(`sysctl -qw net.${family}.conf.${VHOST}.ignore_routes_with_linkdown=1`)
    assert.match(node.ip(`link show dev ${VHOST}`), /[<,]LOWER_UP[,>]/)
    assert.doesNotMatch(node.ip('route show') + node.ip('-6 route show'), /linkdown/)
    for (const address of ['10.77.0.1', '203.0.113.1', 'fd77::1']) assert.ok(node.canPing(address), address)
  })

  it('keeps a TAP that an earlier version made, and gives a carrier that was taken away back', async () => {
    using node = new TestNode()
    node.ip(`addr add 10.77.0.11/24 dev ${NIC}`)
    await node.migrate()
    node.ip(`link set ${VHOST}-peer down`)
    assert.doesNotMatch(node.ip(`link show dev ${VHOST}`), /LOWER_UP/)
    await node.migrate()
    assert.match(node.ip(`link show dev ${VHOST}`), /LOWER_UP/)
    await node.uninstall()
    assert.equal(node.describe(VHOST), 'no device')
    assert.equal(node.describe(`${VHOST}-peer`), 'no device')
    node.ip(`tuntap add dev ${VHOST} mode tap`)
    await node.migrate()
    assert.ok(node.canPing('10.77.0.1'))
    assert.match(node.ip(`-d link show dev ${VHOST}`), /tun type tap/)
  })

  it('takes no veth of somebody else for its own', async () => {
    using node = new TestNode()
    node.ip(`addr add 10.77.0.11/24 dev ${NIC}`)
    node.ip(`link add ${VHOST} type veth peer name theirs`)
    await assert.rejects(node.migrate(), { code: 'VHOST_NAME_TAKEN' })
    assert.ok(node.canPing('10.77.0.1'))
  })

  it("gives vhost0 the NIC's settings, and those that a device without a carrier needs", async () => {
    using node = new TestNode()
    node.ip(`addr add 10.77.0.11/24 dev ${NIC}`)
    const set = (device: string, key: string, value: number) =>
      node.exec(`sysctl -qw net.${key.replace('DEV', device)}=${value}`)
    const get = (device: string, key: string) => Number(node.exec(`sysctl -n net.${key.replace('DEV', device)}`))
    set(NIC, 'ipv4.conf.DEV.rp_filter', 2)
    set(NIC, 'ipv6.conf.DEV.accept_ra', 2)
    set(NIC, 'ipv4.neigh.DEV.gc_stale_time', 77)
    set(NIC, 'ipv4.conf.DEV.ignore_routes_with_linkdown', 1)
    await node.migrate()
    assert.equal(get(VHOST, 'ipv4.conf.DEV.rp_filter'), 2)
    assert.equal(get(VHOST, 'ipv6.conf.DEV.accept_ra'), 2)
    assert.equal(get(VHOST, 'ipv4.neigh.DEV.gc_stale_time'), 77)
    assert.equal(get(VHOST, 'ipv4.conf.DEV.ignore_routes_with_linkdown'), 0)
    assert.equal(get(VHOST, 'ipv6.conf.DEV.addr_gen_mode'), 1)
    assert.equal(get(VHOST, 'ipv6.conf.DEV.keep_addr_on_down'), 1)
    assert.equal(get(NIC, 'ipv6.conf.DEV.disable_ipv6'), 1)
  })

  it('goes on learning from router advertisements, on vhost0', async () => {
    using node = new TestNode()
    node.ip(`addr add 10.77.0.11/24 dev ${NIC}`)
    node.advertise('fd79::', 600)
    const learnt = /fd79::\S+\/64 .*\n\s+valid_lft (\d+)sec/
    const lifetime = (device: string) => Number(learnt.exec(node.ip(`addr show dev ${device}`))?.[1])
    await node.settled()
    await until('the address', () => lifetime(NIC) > 500)
    await node.migrate()
    assert.ok(lifetime(VHOST) > 500)
    const untilLearnt = async (device: string, validSeconds: number) => {
      node.advertise('fd79::', validSeconds)
      await until(`an address of ${validSeconds} s`, () => Math.abs(lifetime(device) - validSeconds) < 100)
    }
    await untilLearnt(VHOST, 9000)
    assert.match(node.ip(`-6 route show default dev ${VHOST}`), /proto ra .*expires 1[5-8]\d\d/)
    assert.doesNotMatch(node.ip(`addr show dev ${NIC}`), /inet6/)
    await node.uninstall()
    assert.ok(lifetime(NIC) > 8000)
    await untilLearnt(NIC, 9900)
    assert.match(node.ip(`-6 route show default dev ${NIC}`), /proto ra /)
  })

  it('moves again after a reboot, and ignores the snapshot of before', async () => {
    using node = new TestNode()
    using other = new TestNode()
    node.ip(`addr add 10.77.0.11/24 dev ${NIC}`)
    node.ip('route add default via 10.77.0.1')
    await node.migrate()
    other.ip(`addr add 10.77.0.12/24 dev ${NIC}`)
    other.ip('route add default via 10.77.0.1')
    // Another namespace with the same state folder is what a reboot looks like.
    await other.migrate({ stateDir: node.stateDir })
    assert.match(other.ip(`addr show dev ${VHOST}`), /10\.77\.0\.12/)
    assert.doesNotMatch(other.ip(`addr show dev ${VHOST}`), /10\.77\.0\.11/)
  })

  it('keeps a node on vhost0 whose record is lost, and can still bring it back', async () => {
    using node = await richNode()
    await node.migrate()
    const { rmSync } = await import('node:fs')
    rmSync(join(node.stateDir, 'vhost0-snapshot.json'))
    const state = await node.migrate()
    assert.equal(state.changes, 0)
    rmSync(join(node.stateDir, 'vhost0-snapshot.json'))
    assert.equal(await node.uninstall(), true)
    assert.match(node.ip(`addr show dev ${NIC}`), /10\.77\.0\.11/)
    assert.ok(node.canPing('203.0.113.1'))
    assert.ok(node.canPing('fd77::1'))
  })

  it('makes vhost0 anew, with all that it carried, when somebody removed it', async () => {
    using node = await richNode()
    await node.migrate()
    node.ip(`link del ${VHOST}`)
    await node.migrate()
    assert.match(node.ip(`addr show dev ${VHOST}`), /10\.77\.0\.11/)
    assert.ok(node.canPing('203.0.113.1'))
    assert.ok(node.canPing('fd77::1'))
  })

  it('refuses a NIC that is not there, and a name that is taken', async () => {
    using node = new TestNode()
    node.ip(`addr add 10.77.0.11/24 dev ${NIC}`)
    await assert.rejects(node.migrate({ nic: 'eth7' }), { code: 'VHOST_NIC_MISSING' })
    node.ip(`link add ${VHOST} type veth peer name other`)
    await assert.rejects(node.migrate(), { code: 'VHOST_NAME_TAKEN' })
  })
})
