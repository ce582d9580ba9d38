/** Links, addresses, routes and neighbours in namespaces of their own; iproute2 is the second opinion. */

import assert from 'node:assert/strict'
import { NetworkNamespace } from '@kube-vrouter/linux/namespace'
import {
  AddressFlag,
  type AddressInfo,
  delAddress,
  delRoute,
  inAddingOrder,
  NEIGHBOUR_VALID,
  NeighbourState,
  newAddress,
  newRoute,
  type RouteInfo,
  RouteMetric,
  RouteProtocol,
  RouteSocket,
  RouteTable,
  RouteType,
} from '@kube-vrouter/linux/netlink/route'
import { describeKernel, eventually, runIn } from './lab.ts'

/** A namespace with a socket into it; `eth0` is one end of a veth pair, up, as is the loopback. */
function lab(): Disposable & {
  ns: NetworkNamespace
  route: RouteSocket
  eth0: number
  eth1: number
  ip: (args: string) => string
} {
  const stack = new DisposableStack()
  const ns = stack.use(NetworkNamespace.create())
  const route = stack.use(RouteSocket.open({ netns: ns }))
  const { index: eth0, peerIndex: eth1 } = route.createVeth({ name: 'eth0', peer: { name: 'eth1' } })
  for (const index of [1, eth0, eth1]) route.setLink(index, { up: true })
  const ip = (args: string) => runIn(ns, 'ip', ...args.split(' '))
  return { ns, route, eth0, eth1, ip, [Symbol.dispose]: () => stack.dispose() }
}

/** iproute2's JSON of one object. */
function json<T = Record<string, unknown>>(text: string): T[] {
  return (JSON.parse(text) as T[]).filter((item) => Object.keys(item as object).length > 0)
}

describeKernel('links', () => {
  it('are made as a veth pair, with the peer born elsewhere under its final name, MAC and MTU', () => {
    using node = NetworkNamespace.create()
    using pod = NetworkNamespace.create()
    using route = RouteSocket.open({ netns: node })
    using inPod = RouteSocket.open({ netns: pod })
    const pair = route.createVeth({
      name: 'tap1',
      index: 55,
      mac: '00:00:5e:00:01:00',
      mtu: 1468,
      alias: 'default/web-0/eth0',
      peer: { name: 'eth0', netnsFd: pod.fd, mac: '02:01:02:03:04:05', mtu: 1400, index: 77 },
    })
    assert.equal(pair.peerIndex, 77)
    const near = route.link('tap1')!
    assert.deepEqual(
      { index: near.index, mac: near.mac, mtu: near.mtu, alias: near.alias, kind: near.kind, up: near.up },
      { index: pair.index, mac: '00:00:5e:00:01:00', mtu: 1468, alias: 'default/web-0/eth0', kind: 'veth', up: false },
    )
    assert.equal(near.peerIndex, 77)
    assert.notEqual(near.linkNetnsId, undefined)
    const far = inPod.link(77)!
    assert.deepEqual(
      { name: far.name, mac: far.mac, mtu: far.mtu, peerIndex: far.peerIndex },
      { name: 'eth0', mac: '02:01:02:03:04:05', mtu: 1400, peerIndex: pair.index },
    )
    assert.equal(route.link('eth0'), undefined)
  })

  it('may have both ends born elsewhere', () => {
    using node = NetworkNamespace.create()
    using pod = NetworkNamespace.create()
    using route = RouteSocket.open({ netns: node })
    using inPod = RouteSocket.open({ netns: pod })
    const { index, peerIndex } = route.createVeth({
      name: 'a',
      netnsFd: pod.fd,
      alias: 'x',
      peer: { name: 'b', netnsFd: node.fd },
    })
    assert.equal(inPod.link('a')?.index, index)
    assert.equal(inPod.link('a')?.alias, 'x')
    assert.equal(route.link('b')?.index, peerIndex)
  })

  it('say why they cannot be made, and leave the one that is there alone', () => {
    using it = lab()
    it.route.setLink(it.eth0, { alias: 'mine' })
    assert.throws(() => it.route.createVeth({ name: 'eth0', alias: 'theirs', peer: { name: 'new' } }), {
      code: 'EEXIST',
      message: /^cannot create the veth pair eth0 and new: EEXIST/,
    })
    assert.equal(it.route.link('eth0')?.alias, 'mine')
    assert.equal(it.route.link('new'), undefined)
    assert.throws(() => it.route.createVeth({ name: 'muchtoolongname0', peer: { name: 'p' } }), { code: 'ERANGE' })
  })

  it('change in everything that is named, and in nothing else', () => {
    using it = lab()
    const { route, eth1 } = it
    route.setLink(eth1, { mtu: 1400, mac: '02:00:00:00:00:07', alias: 'a name', txqlen: 77, arp: false })
    const [link] = json(it.ip('-j -d link show eth1'))
    assert.equal(link!['mtu'], 1400)
    assert.equal(link!['address'], '02:00:00:00:00:07')
    assert.equal(link!['ifalias'], 'a name')
    assert.equal(link!['txqlen'], 77)
    assert.ok((link!['flags'] as string[]).includes('NOARP'))
    assert.ok((link!['flags'] as string[]).includes('UP'))
    route.setLink(eth1, { arp: true, alias: '', name: 'renamed', up: false })
    const after = route.link(eth1)!
    assert.deepEqual(
      { name: after.name, alias: after.alias, up: after.up, mtu: after.mtu },
      { name: 'renamed', alias: undefined, up: false, mtu: 1400 },
    )
    assert.throws(() => route.setLink(eth1, { mtu: 10 }), { code: 'EINVAL', message: /mtu less than device minimum/ })
    assert.throws(() => route.setLink(9999, { up: true }), { code: 'ENODEV' })
  })

  it('move to another namespace, with a new name and index', () => {
    using it = lab()
    using other = NetworkNamespace.create()
    using there = RouteSocket.open({ netns: other })
    it.route.setLink(it.eth1, { netnsFd: other.fd, name: 'moved', newIndex: 123 })
    assert.equal(it.route.link(it.eth1), undefined)
    assert.equal(there.link('moved')?.index, 123)
  })

  it('are deleted by index or name, both ends at once', () => {
    using it = lab()
    it.route.deleteLink('eth1')
    assert.deepEqual(
      it.route.links().map(({ name }) => name),
      ['lo'],
    )
    assert.throws(() => it.route.deleteLink('eth1'), { code: 'ENODEV' })
    assert.throws(() => it.route.deleteLink(it.eth0), { code: 'ENODEV' })
  })

  it('agree with iproute2', () => {
    using it = lab()
    const theirs = json<{ ifindex: number; ifname: string; mtu: number; address: string; operstate: string }>(
      it.ip('-j link show'),
    )
    assert.deepEqual(
      it.route.links().map(({ index, name, mtu, mac, operstate }) => [index, name, mtu, mac, operstate.toUpperCase()]),
      theirs.map(({ ifindex, ifname, mtu, address, operstate }) => [ifindex, ifname, mtu, address, operstate]),
    )
  })
})

describeKernel('addresses', () => {
  it('are added with every attribute, and read back by iproute2', () => {
    using it = lab()
    const { route, eth0: index } = it
    route.addAddress({
      index,
      address: '10.47.255.252',
      prefixLength: 12,
      broadcast: '10.47.255.255',
      label: 'eth0:pod',
      noprefixroute: true,
      protocol: 7,
    })
    route.addAddress({ index, address: '10.9.0.1', prefixLength: 32, peer: '10.9.0.2', metric: 50, scope: 253 })
    route.addAddress({
      index,
      address: 'fd00::5',
      prefixLength: 64,
      nodad: true,
      validLifetime: 3600,
      preferredLifetime: 1800,
    })
    const [link] = json<{ addr_info: Record<string, unknown>[] }>(it.ip('-j -d addr show dev eth0'))
    const [first, second, third] = ['10.47.255.252', '10.9.0.1', 'fd00::5'].map((local) =>
      link!.addr_info.find((address) => address['local'] === local),
    )
    assert.deepEqual(
      [first!['local'], first!['prefixlen'], first!['broadcast'], first!['label'], first!['noprefixroute']],
      ['10.47.255.252', 12, '10.47.255.255', 'eth0:pod', true],
    )
    assert.deepEqual(
      [second!['local'], second!['address'], second!['metric'], second!['scope']],
      ['10.9.0.1', '10.9.0.2', 50, 'link'],
    )
    assert.deepEqual(
      [third!['local'], third!['valid_life_time'], third!['preferred_life_time']],
      ['fd00::5', 3600, 1800],
    )
    assert.equal(third!['tentative'], undefined)
    assert.equal(
      route.routes({ table: RouteTable.MAIN, family: 4 }).some(({ destination }) => destination === '10.32.0.0'),
      false,
    )
  })

  it('are listed by device and family', () => {
    using it = lab()
    const { route, eth0, eth1 } = it
    route.addAddress({ index: eth0, address: '10.0.0.1', prefixLength: 24 })
    route.addAddress({ index: eth1, address: '10.0.1.1', prefixLength: 24 })
    assert.deepEqual(
      route.addresses({ index: eth1, family: 4 }).map(({ address }) => address),
      ['10.0.1.1'],
    )
    assert.deepEqual(
      route
        .addresses({ family: 4 })
        .map(({ address }) => address)
        .sort(),
      ['10.0.0.1', '10.0.1.1', '127.0.0.1'],
    )
    assert.ok(route.addresses({ index: eth0, family: 6 }).every(({ address }) => address.startsWith('fe80:')))
  })

  it('are refused twice, replaced on demand, and deleted', () => {
    using it = lab()
    const spec = { index: it.eth0, address: '10.0.0.1', prefixLength: 24 }
    it.route.addAddress(spec)
    assert.throws(() => it.route.addAddress(spec), {
      code: 'EEXIST',
      message: new RegExp(`^cannot add address 10.0.0.1/24 to link ${it.eth0}: EEXIST`),
    })
    it.route.addAddress({ ...spec, replace: true, validLifetime: 100 })
    assert.ok(it.route.addresses({ index: it.eth0, family: 4 })[0]!.validLifetime <= 100)
    it.route.deleteAddress(spec)
    assert.deepEqual(it.route.addresses({ index: it.eth0, family: 4 }), [])
    assert.throws(() => it.route.deleteAddress(spec), { code: 'EADDRNOTAVAIL' })
  })
})

describeKernel('routes', () => {
  it('are added with every attribute, and read back by iproute2', () => {
    using it = lab()
    const { route, eth0: oif } = it
    route.addAddress({ index: oif, address: '10.0.0.1', prefixLength: 24 })
    route.addRoute({
      family: 4,
      destination: '0.0.0.0',
      prefixLength: 0,
      gateway: '10.0.0.254',
      oif,
      metric: 7,
      mtu: 1400,
      source: '10.0.0.1',
    })
    route.addRoute({
      family: 4,
      destination: '192.0.2.0',
      prefixLength: 24,
      gateway: '203.0.113.1',
      oif,
      onlink: true,
      protocol: 199,
    })
    route.addRoute({ family: 4, destination: '198.51.100.0', prefixLength: 24, type: RouteType.BLACKHOLE, table: 5000 })
    const theirs = (destination: string) => json(it.ip(`-j -d route show table all ${destination}`))[0]!
    const main = theirs('default')
    assert.deepEqual(
      [main['gateway'], main['dev'], main['metric'], main['prefsrc'], main['protocol'], main['metrics']],
      ['10.0.0.254', 'eth0', 7, '10.0.0.1', 'static', [{ mtu: 1400 }]],
    )
    assert.deepEqual([theirs('192.0.2.0/24')['flags'], theirs('192.0.2.0/24')['protocol']], [['onlink'], '199'])
    assert.deepEqual([theirs('198.51.100.0/24')['type'], theirs('198.51.100.0/24')['table']], ['blackhole', '5000'])
  })

  it('are listed by table, family and device, several paths among them', () => {
    using it = lab()
    const { route, eth0, eth1 } = it
    route.addAddress({ index: eth0, address: '10.0.0.1', prefixLength: 24 })
    route.addAddress({ index: eth1, address: '10.0.1.1', prefixLength: 24 })
    const multipath = [
      { oif: eth1, gateway: '10.0.1.2', weight: 2 },
      { oif: eth0, gateway: '10.0.0.2' },
    ]
    route.addRoute({ family: 4, destination: '192.0.2.0', prefixLength: 24, table: 100, multipath })
    assert.deepEqual(
      route.routes({ table: 100 })[0]?.multipath?.map(({ oif, gateway, weight }) => [oif, gateway, weight]),
      [
        [eth1, '10.0.1.2', 2],
        [eth0, '10.0.0.2', 1],
      ],
    )
    const destinations = (filter: Parameters<typeof route.routes>[0]) =>
      route.routes(filter).map(({ destination }) => destination)
    assert.deepEqual(destinations({ oif: eth0, table: 100 }), ['192.0.2.0'])
    assert.deepEqual(destinations({ oif: eth0, table: RouteTable.MAIN, family: 4 }), ['10.0.0.0'])
    assert.deepEqual(destinations({ table: 4242 }), [])
    assert.deepEqual(destinations({ protocol: RouteProtocol.STATIC }), ['192.0.2.0'])
    assert.ok(destinations({ family: 6 }).includes('fe80::'))
  })

  it('go through a gateway of the other family', () => {
    using it = lab()
    it.route.addRoute({ family: 4, destination: '0.0.0.0', prefixLength: 0, gateway: 'fe80::1', oif: it.eth0 })
    assert.match(it.ip('route show'), /default via inet6 fe80::1 dev eth0/)
    assert.equal(it.route.routes({ table: RouteTable.MAIN, family: 4 })[0]?.gateway, 'fe80::1')
  })

  it('are refused twice, replaced on demand, and deleted by as much as is named', () => {
    using it = lab()
    const { route, eth0, eth1 } = it
    const key = { family: 4, destination: '192.0.2.0', prefixLength: 24 } as const
    route.addRoute({ ...key, oif: eth0 })
    assert.throws(() => route.addRoute({ ...key, oif: eth1 }), { code: 'EEXIST' })
    route.addRoute({ ...key, oif: eth1, replace: true })
    assert.equal(route.routes({ table: RouteTable.MAIN, family: 4 })[0]?.oif, eth1)
    assert.throws(() => route.deleteRoute({ ...key, oif: eth0 }), { code: 'ESRCH' })
    route.deleteRoute(key)
    assert.throws(() => route.deleteRoute(key), { code: 'ESRCH' })
    assert.throws(() => route.addRoute({ ...key, gateway: '203.0.113.1' }), {
      message: 'cannot add route 192.0.2.0/24 in table 254: ENETUNREACH Nexthop has invalid gateway',
    })
  })

  it('are found as the kernel would take them', () => {
    using it = lab()
    it.route.addAddress({ index: it.eth0, address: '10.0.0.1', prefixLength: 24 })
    it.route.addRoute({ family: 4, destination: '0.0.0.0', prefixLength: 0, gateway: '10.0.0.254' })
    const { gateway, oif, source } = it.route.lookupRoute('192.0.2.1')
    assert.deepEqual({ gateway, oif, source }, { gateway: '10.0.0.254', oif: it.eth0, source: '10.0.0.1' })
    assert.throws(() => it.route.lookupRoute('2001:db8::1'), { code: 'ENETUNREACH' })
  })
})

describeKernel('addresses and routes of a device', () => {
  const setUp = [
    'addr add 10.0.0.1/24 dev eth0',
    'addr add 10.0.0.7/24 dev eth0',
    'addr add 192.168.5.5/16 brd 192.168.255.255 dev eth0 label eth0:x noprefixroute scope site',
    'addr add 10.9.0.1 peer 10.9.0.2/32 dev eth0 metric 50',
    'addr add fd00:1::5/64 dev eth0 nodad noprefixroute',
    'addr add fd00:2::5/64 dev eth0 nodad mngtmpaddr home',
    'route add default via 10.0.0.254 dev eth0 metric 100 proto dhcp src 10.0.0.7',
    'route add default via 10.0.0.253 dev eth0 metric 200 mtu lock 1300 advmss 1260 hoplimit 9 initcwnd 20',
    'route add 192.0.2.0/24 via 203.0.113.9 dev eth0 onlink proto 99 tos 0x10',
    'route add 198.51.100.0/24 dev eth0 scope link src 10.0.0.7 quickack 1 congctl reno rto_min 50ms',
    'route add 198.51.101.0/24 table 1234 nexthop via 10.0.0.2 dev eth0 weight 5 nexthop via 10.0.0.3 dev eth0 weight 7 onlink',
    'route add unreachable 198.51.102.0/24 metric 9',
    'route add 198.51.103.0/24 via inet6 fd00:2::9 dev eth0',
    'route add multicast 239.1.0.0/16 dev eth0',
    '-6 route add default via fe80::9 dev eth0 metric 55 pref high',
    '-6 route add 2001:db8:1::/48 via fd00:2::9 dev eth0 proto ra mtu 1280',
    '-6 route add 2001:db8:2::/48 nexthop via fd00:2::7 dev eth0 weight 2 nexthop via fd00:2::8 dev eth0 weight 3',
    '-6 route add 2001:db8:3::/48 from 2001:db8:9::/48 dev eth0 metric 77',
    '-6 route add blackhole 2001:db8:4::/48 table 99',
  ]

  const snapshot = (ip: (args: string) => string) =>
    [
      ip('-d addr show dev eth0'),
      ip('-d route show table all').split('\n').sort().join('\n'),
      ip('-d -6 route show table all').split('\n').sort().join('\n'),
    ].join('\n')

  /** Those that the kernel makes by itself with an address or an interface that is up. */
  const isOwn = (route: RouteInfo) => route.protocol !== RouteProtocol.KERNEL && route.table !== RouteTable.LOCAL
  const isSet = (address: AddressInfo) => !address.address.startsWith('fe80:')

  it('are lossless: what is read, deleted and added again is the same to iproute2', async () => {
    using it = lab()
    for (const args of setUp) it.ip(args)
    // The kernel's own addresses come with the carrier, and are on trial for a second or two; only then their routes are there.
    await eventually(
      () =>
        ['eth0', 'eth1'].every((device) => {
          const text = it.ip(`addr show dev ${device}`)
          return /inet6 fe80:/.test(text) && !/tentative/.test(text)
        }),
      'the link-local addresses',
    )
    const before = snapshot(it.ip)
    const addresses = it.route.addresses({ index: it.eth0 }).filter(isSet)
    const routes = it.route.routes().filter(isOwn)
    assert.equal(addresses.length, 6)
    assert.equal(routes.length, 13)
    it.route.applyAll(routes.map(delRoute))
    it.route.applyAll(addresses.toReversed().map(delAddress))
    assert.deepEqual(it.route.addresses({ index: it.eth0 }).filter(isSet), [])
    assert.deepEqual(it.route.routes().filter(isOwn), [])
    assert.notEqual(snapshot(it.ip), before)
    it.route.applyAll(inAddingOrder(addresses).map(newAddress))
    it.route.applyAll(routes.map(newRoute))
    assert.equal(snapshot(it.ip), before)
  })

  it('move to another device in one batch', () => {
    using it = lab()
    const { route, eth0, eth1 } = it
    for (const args of setUp.slice(0, 8)) it.ip(args)
    const addresses = route.addresses({ index: eth0 }).filter(isSet)
    const routes = route.routes({ oif: eth0 }).filter(isOwn)
    const results = route.batch([
      ...routes.map(delRoute),
      ...addresses.toReversed().map(delAddress),
      ...inAddingOrder(addresses).map(({ label: _, ...address }) => newAddress({ ...address, index: eth1 })),
      ...routes.map((moved) => newRoute({ ...moved, oif: eth1 })),
    ])
    assert.deepEqual(
      results.filter((result) => !result.ok),
      [],
    )
    const moved = route.routes({ oif: eth1 }).filter(isOwn)
    assert.deepEqual(
      moved.map(({ oif: _, ...rest }) => rest),
      routes.map(({ oif: _, ...rest }) => rest),
    )
    assert.deepEqual(
      route
        .addresses({ index: eth1 })
        .filter(isSet)
        .map(({ address, flags }) => [address, flags & ~AddressFlag.TENTATIVE]),
      addresses.map(({ address, flags }) => [address, flags & ~AddressFlag.TENTATIVE]),
    )
    assert.equal(moved.find(({ metric }) => metric === 200)?.metrics?.[RouteMetric.LOCK], 1 << RouteMetric.MTU)
  })

  it('go on after a refusal in the middle of a batch', () => {
    using it = lab()
    const add = (address: string) => newAddress({ index: it.eth0, address, prefixLength: 24 })
    const results = it.route.batch([add('10.0.0.1'), add('10.0.0.1'), add('10.0.0.2')])
    assert.deepEqual(
      results.map((result) => (result.ok ? 'ok' : result.error.code)),
      ['ok', 'EEXIST', 'ok'],
    )
    assert.throws(() => it.route.applyAll([add('10.0.0.1'), add('10.0.0.3')]), { code: 'EEXIST' })
    assert.equal(it.route.addresses({ index: it.eth0, family: 4 }).length, 3)
  })

  it('are many without trouble', () => {
    using it = lab()
    const destination = (i: number) => `100.${64 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`
    const spec = (i: number) =>
      ({ family: 4, destination: destination(i), prefixLength: 32, oif: it.eth0, table: 77 }) as const
    const all = Array.from({ length: 20_000 }, (_, i) => spec(i))
    it.route.applyAll(all.map(newRoute))
    const routes = it.route.routes({ table: 77 })
    assert.equal(new Set(routes.map(({ destination }) => destination)).size, 20_000)
    it.route.applyAll(all.map(delRoute))
    assert.deepEqual(it.route.routes({ table: 77 }), [])
  })
})

describeKernel('neighbours', () => {
  it('are set, replaced and deleted', () => {
    using it = lab()
    const { route, eth0: index } = it
    route.setNeighbour({ index, address: '10.0.0.9', mac: '02:00:00:00:00:09' })
    const [entry] = route.neighbours({ index, family: 4 })
    assert.deepEqual([entry?.mac, entry?.state], ['02:00:00:00:00:09', NeighbourState.PERMANENT])
    route.setNeighbour({
      index,
      address: '10.0.0.9',
      mac: '02:00:00:00:00:0a',
      externallyLearned: true,
      state: NeighbourState.REACHABLE,
      protocol: 99,
    })
    const [replaced] = route.neighbours({ index, family: 4 })
    assert.deepEqual([replaced?.mac, replaced?.externallyLearned, replaced?.protocol], ['02:00:00:00:00:0a', true, 99])
    assert.throws(() => route.setNeighbour({ index, address: '10.0.0.9', mac: '02:00:00:00:00:0b', replace: false }), {
      code: 'EEXIST',
    })
    route.deleteNeighbour({ index, address: '10.0.0.9' })
    assert.throws(() => route.deleteNeighbour({ index, address: '10.0.0.9' }), { code: 'ENOENT' })
    route.setNeighbour({ index, address: 'fd00::9', mac: '02:00:00:00:00:09' })
    assert.equal(
      route.neighbours({ index, family: 6 }).find(({ address }) => address === 'fd00::9')?.mac,
      '02:00:00:00:00:09',
    )
  })

  it('are resolved and kept by the kernel when they are managed', async () => {
    using here = NetworkNamespace.create()
    using there = NetworkNamespace.create()
    using route = RouteSocket.open({ netns: here })
    using peer = RouteSocket.open({ netns: there })
    const { index, peerIndex } = route.createVeth({
      name: 'here',
      peer: { name: 'there', netnsFd: there.fd, mac: '02:00:00:00:00:42' },
    })
    for (const [socket, link, address] of [
      [route, index, '10.0.0.1'],
      [peer, peerIndex, '10.0.0.2'],
    ] as const) {
      socket.setLink(link, { up: true })
      socket.addAddress({ index: link, address, prefixLength: 24 })
    }
    route.setNeighbour({ index, address: '10.0.0.2', managed: true })
    const entry = () => route.neighbours({ index, family: 4 }).find(({ address }) => address === '10.0.0.2')
    await eventually(() => entry()?.mac === '02:00:00:00:00:42', 'the resolution')
    assert.equal(entry()?.managed, true)
    assert.notEqual((entry()?.state ?? 0) & NEIGHBOUR_VALID, 0)
  })
})
