/**
 * Records what the running kernel says of a few links, addresses, routes and neighbours into `rtnetlink.json`, which the codecs' tests read.
 * Run as root: `node linux/testdata/record.ts`. Everything happens in network namespaces of its own.
 */

import { writeFileSync } from 'node:fs'
import { sendto } from '../src/ffi.ts'
import { NetworkNamespace } from '../src/namespace.ts'
import {
  getAddresses,
  getLink,
  getNeighbours,
  getRoutes,
  NeighbourState,
  newVeth,
  RouteMetric,
  RouteSocket,
} from '../src/netlink/route.ts'
import { Conversation, NetlinkSocket, type Request, receiveDatagram } from '../src/netlink/socket.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

using node = NetworkNamespace.create()
using pod = NetworkNamespace.create()
using route = RouteSocket.open({ netns: node })
using inPod = RouteSocket.open({ netns: pod })
using raw = NetlinkSocket.open(0, { netns: node })
using rawPod = NetlinkSocket.open(0, { netns: pod })

const frames: { [name: string]: { sent: string; received: string[] } } = {}

function record(name: string, socket: NetlinkSocket, how: 'dump' | 'request', request: Request): void {
  const frame = { sent: '', received: [] as string[] }
  const conversation = new Conversation({
    send: (datagram) => {
      frame.sent = hex(datagram)
      sendto(socket.fd, datagram)
    },
    receive: () => {
      const datagram = receiveDatagram(socket.fd)
      frame.received.push(hex(datagram))
      return datagram
    },
  })
  try {
    conversation[how](request)
  } catch {
    // Refusals are recorded, too.
  }
  frames[name] = frame
}

const veth = newVeth({
  name: 'tap0123456789ab',
  mac: '00:00:5e:00:01:00',
  mtu: 1468,
  index: 11,
  peer: { name: 'eth0', netnsFd: pod.fd, mac: '02:0a:0b:0c:0d:0e', mtu: 1468, index: 5 },
})
record('create veth', raw, 'request', veth)
record('create veth again', raw, 'request', veth)
route.setLink(11, { alias: 'default/web-0/eth0', up: true })
// Without any address there is no table of local ones, and the kernel takes every address for a broadcast.
route.setLink(1, { up: true })
inPod.setLink(1, { up: true })
inPod.setLink(5, { up: true })
inPod.addAddress({ index: 5, address: '10.47.255.252', prefixLength: 12, broadcast: '10.47.255.255', noprefixroute: true })
inPod.addAddress({ index: 5, address: '10.9.0.1', prefixLength: 32, peer: '10.9.0.2', metric: 50, protocol: 42 })
inPod.addAddress({ index: 5, address: 'fd00:1::5', prefixLength: 64, nodad: true, validLifetime: 3600, preferredLifetime: 1800 })
inPod.addRoute({ family: 4, destination: '10.47.255.254', prefixLength: 32, oif: 5 })
inPod.addRoute({ family: 4, destination: '0.0.0.0', prefixLength: 0, gateway: '10.47.255.254', oif: 5, mtu: 1400, metric: 100 })
inPod.addRoute({
  family: 4,
  destination: '192.0.2.0',
  prefixLength: 24,
  table: 1000,
  source: '10.47.255.252',
  protocol: 99,
  metrics: { [RouteMetric.ADVMSS]: 1360, [RouteMetric.CC_ALGO]: 'reno' },
  multipath: [
    { oif: 5, gateway: '10.47.255.254', weight: 3 },
    { oif: 5, gateway: 'fd00:1::1', weight: 1 },
  ],
})
inPod.addRoute({ family: 6, destination: '::', prefixLength: 0, gateway: 'fd00:1::1', oif: 5, expires: 600 })
route.setNeighbour({ index: 11, address: '10.47.255.252', mac: '02:0a:0b:0c:0d:0e', protocol: 99, externallyLearned: true, state: NeighbourState.REACHABLE })
route.setNeighbour({ index: 11, address: '10.9.9.9', managed: true })
record('link', raw, 'request', getLink('tap0123456789ab'))
record('no link', raw, 'request', getLink('nosuch'))
record('links', rawPod, 'dump', getLink())
record('addresses', rawPod, 'dump', getAddresses({ index: 5 }))
record('routes 4', rawPod, 'dump', getRoutes(4))
record('routes 6', rawPod, 'dump', getRoutes(6, { table: 254 }))
record('neighbours', raw, 'dump', getNeighbours({ index: 11, family: 4 }))

writeFileSync(new URL('./rtnetlink.json', import.meta.url), `${JSON.stringify(frames, null, 2)}\n`)
