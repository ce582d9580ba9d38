/** The tests' daemon as a process of its own, to be killed or shut into a small file system. Arguments: state folder, socket, node namespace. */

import { PortServer } from '@kube-vrouter/daemon/port-api/server'
import { Ports } from '@kube-vrouter/daemon/ports/ports'
import { RouteSocket } from '@kube-vrouter/linux/netlink/route'
import { memorySource } from './node.ts'

const [state, socket, netns] = process.argv.slice(2) as [string, string, string]
const route = RouteSocket.open({ netns })
const say = (fields: object, message: string) => console.log(message, JSON.stringify(fields))
const log = { debug: () => undefined, info: say, warn: say, error: say }
const ports = new Ports({
  source: memorySource(),
  node: 'n1',
  cluster: { name: 'k8s', domain: 'cluster.local' },
  state,
  log,
  podMtu: () => 1468,
  nodeAddresses: () => ['192.0.2.11'],
  linkIndex: (name) => route.link(name)?.index,
  onPortsChanged: () => undefined,
  programmed: async () => ({ vif: 3, vrf: 2 }),
  readiness: () => ({ ready: true }),
  maxPorts: 1000,
  quarantineMs: 0,
  garbageMs: 0,
})
/**
 * Turns of the event loop that took more than 500 ms of this thread's own time: what others do on the machine doesn't count. SIGUSR2 has it told and
 * reset.
 */
/** 60 ms are usual. */
const STALL_US = 500_000
let stalls = 0
let longest = 0
let before = process.threadCpuUsage()
const turn = setInterval(() => {
  const now = process.threadCpuUsage()
  const us = now.user + now.system - before.user - before.system
  before = now
  if (us > STALL_US) stalls++
  longest = Math.max(longest, us)
}, 1)
turn.unref()
process.on('SIGUSR2', () => {
  console.log('turns', JSON.stringify({ stalls, longestUs: longest }))
  stalls = longest = 0
})

await ports.start()
await PortServer.listen({ path: socket, service: ports, log })
await ports.maintain()
console.log('ready')
