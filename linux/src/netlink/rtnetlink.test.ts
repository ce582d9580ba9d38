/** The codecs of links, addresses, routes and neighbours against frames recorded from a kernel (6.18; `linux/testdata/record.ts`). */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { decodeMessages, type Message } from './codec.ts'
import { decodeRoute, delRoute, newRoute, type RouteInfo, RTM_NEWROUTE } from './fib.ts'
import { type AddressInfo, decodeAddress, newAddress, RTM_NEWADDR } from './ifaddr.ts'
import { decodeLink, LinkFlag, newVeth, RTM_NEWLINK, setLink } from './link.ts'
import { decodeNeighbour, type NeighbourInfo, NeighbourState, newNeighbour, RTM_NEWNEIGH } from './neighbour.ts'
import { Conversation, type Request } from './socket.ts'

const frames = JSON.parse(readFileSync(new URL('../../testdata/rtnetlink.json', import.meta.url), 'utf8')) as {
  [name: string]: { sent: string; received: string[] }
}

function recorded(name: string, type: number): Message[] {
  return frames[name]!.received.flatMap((frame) => Array.from(decodeMessages(Buffer.from(frame, 'hex')))).filter(
    (message) => message.type === type,
  )
}

const without = <T extends object>(info: T): Partial<T> =>
  Object.fromEntries(Object.entries(info).filter(([, value]) => value !== undefined)) as Partial<T>

/** The bytes that a request would put on the wire as the first one of a socket. */
function onTheWire(request: Request): string {
  let sent = ''
  const conversation = new Conversation({
    send: (datagram) => {
      sent = Buffer.from(datagram).toString('hex')
    },
    receive: () => {
      throw new Error('nothing is received here')
    },
  })
  assert.throws(() => conversation.request(request), /nothing is received/)
  return sent
}

describe('links, from recorded frames', () => {
  it('reads a veth device', () => {
    const [message] = recorded('link', RTM_NEWLINK)
    const { statistics, ...link } = decodeLink(message!)
    assert.deepEqual(without(link), {
      index: 11,
      name: 'tap0123456789ab',
      altNames: [],
      type: 1,
      mac: '00:00:5e:00:01:00',
      broadcastMac: 'ff:ff:ff:ff:ff:ff',
      mtu: 1468,
      minMtu: 68,
      maxMtu: 65535,
      flags: LinkFlag.UP | LinkFlag.BROADCAST | LinkFlag.RUNNING | LinkFlag.MULTICAST | LinkFlag.LOWER_UP,
      up: true,
      carrier: true,
      operstate: 'up',
      kind: 'veth',
      alias: 'default/web-0/eth0',
      qdisc: 'noqueue',
      txqlen: 1000,
      group: 0,
      linkIndex: 5,
      linkNetnsId: 0,
      peerIndex: 5,
      numTxQueues: 2,
      numRxQueues: 2,
      gsoMaxSize: 65536,
      groMaxSize: 65536,
    })
    assert.equal(typeof statistics?.rxBytes, 'bigint')
  })

  it('reads a list of links, the loopback among them', () => {
    const links = recorded('links', RTM_NEWLINK).map(decodeLink)
    assert.deepEqual(
      links.map(({ index, name, kind, mac }) => ({ index, name, kind, mac })),
      [
        { index: 1, name: 'lo', kind: undefined, mac: '00:00:00:00:00:00' },
        { index: 5, name: 'eth0', kind: 'veth', mac: '02:0a:0b:0c:0d:0e' },
      ],
    )
  })

  it('asks for a veth pair with the bytes that the kernel accepted', () => {
    // The namespace's descriptor is the only thing that differs from run to run.
    const netnsFd = Buffer.from(/08001c00(\w{8})/.exec(frames['create veth']!.sent)![1]!, 'hex').readUInt32LE()
    const request = newVeth({
      name: 'tap0123456789ab',
      mac: '00:00:5e:00:01:00',
      mtu: 1468,
      index: 11,
      peer: { name: 'eth0', netnsFd, mac: '02:0a:0b:0c:0d:0e', mtu: 1468, index: 5 },
    })
    assert.equal(onTheWire(request), frames['create veth']!.sent)
  })

  it('changes only the flags that are named', () => {
    const words = (change: Parameters<typeof setLink>[1]) => {
      const { fixed } = setLink(7, change)
      const view = new DataView(fixed.buffer)
      return { flags: view.getUint32(8, true), mask: view.getUint32(12, true) }
    }
    assert.deepEqual(words({ up: true }), { flags: 1, mask: 1 })
    assert.deepEqual(words({ up: false, arp: true }), { flags: 0, mask: LinkFlag.UP | LinkFlag.NOARP })
    assert.deepEqual(words({ arp: false }), { flags: LinkFlag.NOARP, mask: LinkFlag.NOARP })
    assert.deepEqual(words({ mtu: 1400 }), { flags: 0, mask: 0 })
  })
})

describe('addresses, from recorded frames', () => {
  const addresses = recorded('addresses', RTM_NEWADDR).map(decodeAddress) as AddressInfo[]
  const forever = { preferredLifetime: 0xffffffff, validLifetime: 0xffffffff }

  it('reads flags, peers, lifetimes, metrics and protocols', () => {
    assert.deepEqual(addresses.slice(0, 3).map(without), [
      {
        index: 5,
        family: 4,
        address: '10.47.255.252',
        prefixLength: 12,
        broadcast: '10.47.255.255',
        label: 'eth0',
        scope: 0,
        flags: 0x280,
        ...forever,
      },
      {
        index: 5,
        family: 4,
        address: '10.9.0.1',
        peer: '10.9.0.2',
        prefixLength: 32,
        label: 'eth0',
        scope: 0,
        flags: 0x80,
        metric: 50,
        protocol: 42,
        ...forever,
      },
      {
        index: 5,
        family: 6,
        address: 'fd00:1::5',
        prefixLength: 64,
        scope: 0,
        flags: 0x02,
        preferredLifetime: 1800,
        validLifetime: 3600,
      },
    ])
  })

  it('asks for an address that reads back as the one it was made from', () => {
    for (const address of addresses) {
      const { fixed, attributes } = newAddress(address)
      const message = Array.from(
        decodeMessages(Buffer.from(onTheWire({ type: 20, flags: 0, fixed, attributes }), 'hex')),
      )[0]!
      const { flags, ...again } = decodeAddress(message)!
      const { flags: original, ...rest } = address
      assert.deepEqual(again, rest)
      // PERMANENT and TENTATIVE are the kernel's statements.
      assert.equal(flags, original & ~0xc0)
    }
  })
})

describe('routes, from recorded frames', () => {
  const read = (name: string) => recorded(name, RTM_NEWROUTE).map((message) => decodeRoute(message)!)
  const find = (routes: RouteInfo[], destination: string) =>
    without(routes.find((route) => route.destination === destination)!)

  it('reads the default route with its metrics', () => {
    assert.deepEqual(find(read('routes 4'), '0.0.0.0'), {
      family: 4,
      destination: '0.0.0.0',
      prefixLength: 0,
      gateway: '10.47.255.254',
      oif: 5,
      metric: 100,
      protocol: 4,
      scope: 0,
      table: 254,
      type: 1,
      tos: 0,
      flags: 0,
      onlink: false,
      metrics: { 2: 1400 },
      mtu: 1400,
    })
  })

  it('reads several paths, an IPv6 gateway of an IPv4 route, and tables beyond 255', () => {
    const { multipath, ...route } = find(read('routes 4'), '192.0.2.0')
    assert.deepEqual(multipath?.map(without), [
      { oif: 5, gateway: '10.47.255.254', weight: 3, onlink: false, flags: 0 },
      { oif: 5, gateway: 'fd00:1::1', weight: 1, onlink: false, flags: 0 },
    ])
    assert.deepEqual(
      { table: route.table, protocol: route.protocol, source: route.source, metrics: route.metrics },
      { table: 1000, protocol: 99, source: '10.47.255.252', metrics: { 8: 1360, 16: 'reno' } },
    )
  })

  it('reads IPv6 routes with their lifetime', () => {
    const route = find(read('routes 6'), '::')
    assert.deepEqual(
      { gateway: route.gateway, expires: route.expires, preference: route.preference, metric: route.metric },
      { gateway: 'fd00:1::1', expires: 600, preference: 0, metric: 1024 },
    )
  })

  it('asks for a route that reads back as the one it was made from', () => {
    const routes = [...read('routes 4'), ...read('routes 6')]
    assert.ok(routes.length > 10)
    for (const route of routes) {
      const { fixed, attributes } = newRoute(route)
      const message = Array.from(
        decodeMessages(Buffer.from(onTheWire({ type: 24, flags: 0, fixed, attributes }), 'hex')),
      )[0]!
      // The lifetime is sent as an attribute of its own, and told in the cache information.
      assert.deepEqual(decodeRoute(message), { ...route, expires: undefined })
    }
  })

  it('lets a request to delete match whatever it does not name', () => {
    const { fixed } = delRoute({ family: 4, destination: '192.0.2.0', prefixLength: 24 })
    assert.equal(Buffer.from(fixed).toString('hex'), '02180000' + 'fe00ff00' + '00000000')
  })

  it('names a nexthop object alone, although the kernel shows its device, too', () => {
    const { attributes } = newRoute({
      family: 4,
      destination: '192.0.2.0',
      prefixLength: 24,
      nexthopId: 7,
      oif: 5,
      gateway: '10.0.0.1',
    })
    assert.deepEqual(
      attributes?.map(({ type }) => type),
      [1, 15, 30],
    )
  })
})

describe('neighbours, from recorded frames', () => {
  const neighbours = recorded('neighbours', RTM_NEWNEIGH).map(decodeNeighbour) as NeighbourInfo[]

  it('tells managed from externally learned ones', () => {
    assert.deepEqual(
      neighbours.find(({ address }) => address === '10.47.255.252'),
      {
        index: 11,
        family: 4,
        address: '10.47.255.252',
        mac: '02:0a:0b:0c:0d:0e',
        state: NeighbourState.REACHABLE,
        flags: 0x10,
        managed: false,
        externallyLearned: true,
        isRouter: false,
        protocol: 99,
        probes: 0,
      },
    )
    assert.equal(neighbours.find(({ address }) => address === '10.9.9.9')?.managed, true)
  })

  it('makes an entry permanent when it has a MAC, and leaves it to the kernel when not', () => {
    const state = (spec: Partial<Parameters<typeof newNeighbour>[0]>) =>
      new DataView(newNeighbour({ index: 1, address: '10.0.0.1', ...spec }).fixed.buffer).getUint16(8, true)
    assert.equal(state({ mac: '02:00:00:00:00:01' }), NeighbourState.PERMANENT)
    assert.equal(state({}), NeighbourState.NONE)
    assert.equal(state({ managed: true }), NeighbourState.NONE)
    assert.equal(state({ mac: '02:00:00:00:00:01', state: NeighbourState.NOARP }), NeighbourState.NOARP)
  })
})
