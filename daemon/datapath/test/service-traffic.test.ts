/**
 * Proves, with two nodes and real traffic: pods and hosts reach pods of both nodes, and a pod itself, by a service's address; bytes arrive
 * as they were sent, also in fragments; where nobody is there, the kernel of who asked says so at once; and nobody in user space helps.
 */
import { strict as assert } from 'node:assert'
import { once } from 'node:events'
import { ip6Bytes } from '../../src/maps/addresses.ts'
import * as c from '../../src/maps/constants.ts'
import { reasonsSeen } from '../../src/maps/drops.ts'
import { Cluster, OVERHEAD, type Pod, podRun, podStart, UNDERLAY_MTU } from './cluster.ts'
import { PROTO } from './frames.ts'
import { cannotRun } from './node.ts'
import { routeServices, SERVICE_RANGES, Services } from './services.ts'

const PORT = 5001
const VIP = { ip4: '10.96.0.10', ip6: '2001:db8:96::a' }
const FAMILIES = ['ip4', 'ip6'] as const

/** Answers TCP with the hash of what it got, UDP with the datagram itself; prints a line when it listens. argv: name. */
const SERVER = `
const { createHash } = require('node:crypto')
const name = process.argv[1]
require('node:net').createServer({ allowHalfOpen: true }, (socket) => {
  const hash = createHash('sha256')
  socket.on('error', () => undefined)
  socket.on('data', (data) => hash.update(data))
  socket.on('end', () => socket.end(name + ' ' + hash.digest('hex')))
}).listen(${PORT}, '::', () => {
  const udp = require('node:dgram').createSocket('udp6')
  udp.on('message', (data, from) => udp.send(data, from.port, from.address))
  udp.bind(${PORT}, '::', () => console.log('listening'))
})
setTimeout(() => process.exit(), 300000)`

/** Sends random bytes; prints who answered, if the hash that comes back is theirs, or the error's code. argv: address, port, bytes. */
const TCP_CLIENT = `
const { createHash, randomBytes } = require('node:crypto')
const [, address, port, bytes] = process.argv
const block = randomBytes(Number(bytes))
const socket = require('node:net').connect(Number(port), address)
let answer = ''
socket.on('error', (error) => { console.log(error.code); process.exit() })
socket.on('data', (data) => { answer += data })
socket.on('end', () => {
  const [name, hash] = answer.split(' ')
  console.log(hash === createHash('sha256').update(block).digest('hex') ? name : 'other bytes')
  process.exit()
})
socket.on('connect', () => socket.end(block))
setTimeout(() => { console.log('timeout'); process.exit() }, 20000)`

/** Sends a datagram until it comes back, or an error. argv: address, port, bytes. */
const UDP_CLIENT = `
const [, address, port, bytes] = process.argv
const data = require('node:crypto').randomBytes(Number(bytes))
const socket = require('node:dgram').createSocket(address.includes(':') ? 'udp6' : 'udp4')
socket.on('error', (error) => { console.log(error.code); process.exit() })
socket.on('message', (got) => { console.log(got.equals(data) ? 'same bytes' : 'other bytes'); process.exit() })
socket.connect(Number(port), address, () => {
  socket.send(data)
  setInterval(() => socket.send(data), 500)
})
setTimeout(() => { console.log('timeout'); process.exit() }, 20000)`

describe('datapath: traffic to services between two nodes', function () {
  this.timeout(180000)
  let cluster: Cluster
  let client: Pod
  let local: Pod
  let remote: Pod
  let services: readonly Services[]
  const servers: ReturnType<typeof podStart>[] = []

  before(async function () {
    if (cannotRun()) this.skip()
    cluster = new Cluster()
    client = cluster.addPod(0, 2, 11)
    local = cluster.addPod(0, 2, 12)
    remote = cluster.addPod(1, 2, 13)
    services = cluster.nodes.map((node) => {
      routeServices(node, [0, 2])
      node.setGlobals({ underlayIp6: ip6Bytes(`2001:db8:ff::${node.number + 1}`) })
      node.ip(`route add ${SERVICE_RANGES[0]} dev vhost0 src ${node.underlay} mtu ${UNDERLAY_MTU - OVERHEAD}`)
      node.ip(
        `-6 route add ${SERVICE_RANGES[1]} dev vhost0 src 2001:db8:ff::${node.number + 1} mtu ${UNDERLAY_MTU - OVERHEAD}`,
      )
      return new Services(node)
    })
    for (const node of cluster.nodes) {
      node.setGlobals({ hostNh: 10, snatPort: 61000, snatPorts: 64 })
      node.setNexthop(14, { type: c.NH_RESOLVE })
      node.setRoute(0, '2001:db8:ff::/64', 14)
      for (const other of cluster.nodes) {
        const [nh, options] = other === node ? [10, {}] : [11, { label: 16, flags: c.ROUTE_LABEL_VALID }]
        node.setRoute(2, `2001:db8:ff::${other.number + 1}/128`, nh, options)
      }
    }
    const [near, far] = cluster.nodes
    for (const [node, pod] of [
      [near, remote],
      [far, client],
    ] as const) {
      node.setRoute(0, `${pod.ip6}/128`, 11, { label: pod.label, flags: c.ROUTE_LABEL_VALID })
      node.ip(`-6 route replace ${pod.ip6}/128 dev vhost0 mtu ${UNDERLAY_MTU - OVERHEAD}`)
    }
    for (const each of [client, local, remote, ...cluster.nodes]) {
      const server = podStart(each, 'node', '-e', SERVER, 'ip4' in each ? nameOf(each) : each.underlay)
      servers.push(server)
      await once(server.stdout!, 'data')
    }
  })
  after(() => {
    for (const server of servers) server.kill()
    cluster?.[Symbol.dispose]()
  })

  const nameOf = (pod: Pod) => pod.ip4
  type Run = (command: string, ...args: string[]) => string
  const inPod =
    (pod: Pod): Run =>
    (command, ...args) =>
      podRun(pod, command, ...args)
  const onNode =
    (number: 0 | 1): Run =>
    (command, ...args) =>
      cluster.nodes[number].run(command, ...args)
  const tcp = (run: Run, address: string, port = 80, bytes = 2_000_000) =>
    run('node', '-e', TCP_CLIENT, address, String(port), String(bytes)).trim()
  const udp = (run: Run, address: string, port = 80, bytes = 8000) =>
    run('node', '-e', UDP_CLIENT, address, String(port), String(bytes)).trim()
  /** Both nodes serve the address, for TCP and UDP, with these pods. */
  const serve = (family: (typeof FAMILIES)[number], pods: readonly Pod[]) => {
    const backs = pods.map((pod) => ({ ip: pod[family], port: PORT }))
    for (const each of services)
      for (const proto of [PROTO.TCP, PROTO.UDP]) each.set({ vip: VIP[family], port: 80, proto, backs })
  }

  for (const family of FAMILIES) {
    it(`${family}: a pod reaches pods of both nodes, and itself`, () => {
      for (const pod of [local, remote, client]) {
        serve(family, [pod])
        assert.equal(tcp(inPod(client), VIP[family]), nameOf(pod))
        assert.equal(udp(inPod(client), VIP[family]), 'same bytes')
      }
    })

    it(`${family}: the host reaches pods of both nodes`, () => {
      for (const pod of [local, remote]) {
        serve(family, [pod])
        assert.equal(tcp(onNode(0), VIP[family]), nameOf(pod))
        assert.equal(udp(onNode(0), VIP[family]), 'same bytes')
      }
    })

    it(`${family}: pods and the host reach both nodes`, () => {
      for (const node of cluster.nodes) {
        const ip = family === 'ip4' ? node.underlay : `2001:db8:ff::${node.number + 1}`
        const backs = [{ ip, port: PORT, flags: c.BACK_HOST, vrf: c.LABEL_NONE }]
        for (const proto of [PROTO.TCP, PROTO.UDP]) services[0]!.set({ vip: VIP[family], port: 70, proto, backs })
        for (const run of [inPod(client), onNode(0)]) {
          assert.equal(tcp(run, VIP[family], 70), node.underlay)
          assert.equal(udp(run, VIP[family], 70, 1000), 'same bytes')
        }
      }
    })

    it(`${family}: who asks where nobody is there is refused at once, pods and the host`, () => {
      for (const pods of [[], [local]])
        for (const run of [inPod(client), onNode(0)]) {
          serve(family, pods)
          const port = pods.length === 0 ? 80 : 81
          assert.equal(tcp(run, VIP[family], port), 'ECONNREFUSED')
          assert.equal(udp(run, VIP[family], port, 100), 'ECONNREFUSED')
        }
    })

    it(`${family}: an endpoint without a listener refuses as it would directly`, () => {
      for (const pod of [local, remote]) {
        const backs = [{ ip: pod[family], port: 9 }]
        for (const proto of [PROTO.TCP, PROTO.UDP]) services[0]!.set({ vip: VIP[family], port: 90, proto, backs })
        for (const run of [inPod(client), onNode(0)]) {
          assert.equal(tcp(run, VIP[family], 90), 'ECONNREFUSED')
          assert.equal(udp(run, VIP[family], 90, 100), 'ECONNREFUSED')
        }
      }
    })
  }

  it('dropped nothing but what it should', () => {
    const expected = new Set<number>([c.DROP_L2_NO_ROUTE, c.DROP_TRAP_NO_IF, c.DROP_DISCARD])
    for (const node of cluster.nodes) {
      const seen = [...reasonsSeen(node.maps.dropStats.get(0)!)].filter(([reason]) => !expected.has(reason))
      assert.deepEqual(seen, [])
    }
  })
})
