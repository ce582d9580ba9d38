/** What runtimes attach beyond a Kubernetes pod's eth0: a second interface in another network, and pods that are called as no object may be. */
import assert from 'node:assert/strict'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { labPaths } from '../lab/layout.ts'
import type { CniResult } from '../lab/pod.ts'
import { eventually, skipIfMissing, TestLab, type TestPod } from './lab.ts'
import { type Attachment, callCni, secondInterface } from './runtime.ts'

const NETWORKS = ['front 10.21.0.0/16 fd21::/64', 'back 10.22.0.0/16 fd22::/64']
  .map((line) => line.split(' '))
  .map(
    ([name, ...cidrs]) => `
apiVersion: v1
kind: Namespace
metadata: { name: ${name}, annotations: { vrouter.dev/network: ${name} } }
---
apiVersion: vrouter.dev/v1alpha1
kind: VirtualNetwork
metadata: { name: ${name}, namespace: ${name} }
spec: { subnets: [${cidrs.map((cidr) => `{ cidr: '${cidr}' }`).join(', ')}] }
`,
  )
  .join('---')

/** Whose pods have their first interface in front, and eth1 in back. */
const LISTED = `
apiVersion: v1
kind: Namespace
metadata: { name: listed, annotations: { vrouter.dev/network: front/front, vrouter.dev/networks: 'back/back@eth1' } }
`

const addressesOf = ({ ips }: CniResult): string[] => ips.map(({ address }) => address.split('/')[0]!)

describe('attachments', function () {
  this.timeout(180_000)
  let lab: TestLab

  before(function () {
    skipIfMissing(this)
    lab = TestLab.up()
    lab.apply(NETWORKS)
    lab.apply(LISTED)
  })
  after(() => lab?.close())

  const published = () => readdirSync(join(labPaths(lab.name).store, 'published'))
  const interfaces = () => published().filter((name) => name.startsWith('VirtualMachineInterface-'))
  const reaches = (from: TestPod, address: string) => assert.equal(lab.ping(from, address).status, 0, address)

  describe('a second interface', () => {
    let both: TestPod
    let front: TestPod
    let back: TestPod
    let second: Attachment
    let added: CniResult

    before(() => {
      both = lab.addPod('both-1', 1, 'front')
      front = lab.addPod('front-2', 2, 'front')
      back = lab.addPod('back-2', 2, 'back')
      second = secondInterface(lab, 'both-1', 'eth1', 'back/back')
      added = callCni(lab, 'ADD', second)
    })

    /** Each network by its own interface, both ways, and nobody through the pod. */
    function works(): void {
      const [ip4 = '', ip6 = ''] = addressesOf(added)
      for (const address of [front.ip4, front.ip6, back.ip4, back.ip6]) reaches(both, address)
      for (const address of [both.ip4, both.ip6]) reaches(front, address)
      for (const address of [ip4, ip6]) reaches(back, address)
      assert.notEqual(lab.ping(front, ip4).status, 0, 'front does not see back')
      assert.notEqual(lab.ping(back, both.ip4).status, 0, 'back does not see front')
      callCni(lab, 'CHECK', second, { prevResult: added })
    }

    it('carries its network beside the first one, across nodes, IPv4 and IPv6, and joins nothing', () => {
      lab.expectDrops('No Route')
      works()
      const routes = lab.inPod(both, ['ip', '-4', 'route']).stdout
      assert.match(routes, /^default via 10\.21\.0\.1 dev eth0/m)
      assert.doesNotMatch(routes, /default .*eth1/)
    })

    it('is shown and published as an interface of its own', () => {
      const page = lab.fetch(1, 'Snh_ItfReq')
      for (const address of [both.ip4, ...addressesOf(added)]) assert.ok(page.includes(address), address)
      assert.equal(lab.fetch(1, 'Snh_VmListReq').match(/<VmSandeshData>/g)?.length, 1)
      assert.equal(interfaces().length, 4)
      assert.equal(interfaces().filter((name) => name.includes('both-1')).length, 2)
    })

    it('in the same network is refused in words, and changes nothing', () => {
      lab.expectLog(/NETWORK_TWICE/)
      const twice = secondInterface(lab, 'both-1', 'eth2', 'front')
      assert.throws(() => callCni(lab, 'ADD', twice), /is in network \S+front already, with interface eth0/)
      works()
    })

    it('works on without the daemon and after it', () => {
      lab.run(['daemon', '1', 'kill'])
      reaches(both, back.ip4)
      lab.run(['daemon', '1', 'start'])
      works()
    })

    it('goes alone, everywhere, and the first one stays', async () => {
      callCni(lab, 'DEL', second)
      reaches(both, front.ip4)
      const [ip4] = addressesOf(added)
      await eventually(() => !JSON.stringify(lab.fetch(2, 'Snh_ItfReq')).includes(ip4!) && interfaces().length === 3)
      added = callCni(lab, 'ADD', second)
      works()
      callCni(lab, 'DEL', second)
      for (const pod of ['both-1', 'front-2', 'back-2']) lab.run(['pod', 'del', pod])
      await eventually(() => interfaces().length === 0)
    })
  })

  it('go by their names to the networks that are listed for them, and nowhere else', async () => {
    lab.expectLog(/NETWORK_TWICE/)
    const front = lab.addPod('front-2', 2, 'front')
    const back = lab.addPod('back-2', 2, 'back')
    const pod = lab.addPod('listed-1', 1, 'listed')
    const second = secondInterface(lab, 'listed-1', 'eth1')
    const added = callCni(lab, 'ADD', second)
    const [ip4 = '', ip6 = ''] = addressesOf(added)
    for (const address of [front.ip4, front.ip6, back.ip4, back.ip6]) reaches(pod, address)
    for (const address of [ip4, ip6]) reaches(back, address)
    callCni(lab, 'CHECK', second, { prevResult: added })
    const third = secondInterface(lab, 'listed-1', 'eth2')
    assert.throws(() => callCni(lab, 'ADD', third), /is in network \S+front already, with interface eth0/)
    callCni(lab, 'DEL', second)
    for (const name of ['front-2', 'back-2', 'listed-1']) lab.run(['pod', 'del', name])
    await eventually(() => interfaces().length === 0)
  })

  it('use the addresses that they are allowed beside their own, and nobody else does', async () => {
    lab.expectLog(/ADDRESS_IN_USE/)
    lab.expectDrops('Invalid Source')
    const near = lab.addPod('near-1', 1, 'front')
    const far = lab.addPod('far-2', 2, 'front')
    const more = ['10.21.200.9', 'fd21::200:9']
    const pod = (name: string, ifname = 'eth0'): Attachment => {
      const annotations = { 'vrouter.dev/allowed-addresses': more.join(',') }
      return {
        ...{ node: 1, containerId: name, netns: `/run/netns/pod-${name}`, ifname, namespace: 'front', podName: name },
        config: { runtimeConfig: { 'io.kubernetes.cri.pod-annotations': annotations } },
      }
    }
    const inside = (name: string, ...command: string[]) =>
      lab.onNode(1, ['nsenter', `--net=/run/netns/pod-${name}`, ...command])
    const reached = (source: string, address: string) =>
      inside('allowed', 'ping', '-c1', '-W2', '-I', source, address).status === 0
    for (const name of ['allowed', 'rival']) lab.node(1, 'ip', 'netns', 'add', `pod-${name}`)
    try {
      callCni(lab, 'ADD', pod('allowed'))
      assert.throws(() => callCni(lab, 'ADD', pod('rival')), /10\.21\.200\.9 is in use/)
      for (const address of [...more, '10.21.200.10'])
        assert.equal(inside('allowed', 'ip', 'addr', 'add', address, 'dev', 'eth0', 'nodad').status, 0)
      for (const address of more) {
        for (const other of [near, far]) reaches(other, address)
        const family = address.includes(':') ? 'ip6' : 'ip4'
        for (const other of [near, far]) assert.ok(reached(address, other[family]), `from ${address}`)
      }
      assert.ok(!reached('10.21.200.10', far.ip4), 'an address that nobody gave it')
      assert.match(lab.node(1, 'vif', '--list'), /Allowed addrs:10\.21\.200\.9 fd21::200:9/)
      assert.ok(lab.fetch(1, 'Snh_ItfReq').includes('10.21.200.9'))
      lab.run(['daemon', '1', 'kill'])
      reaches(far, more[0]!)
      lab.run(['daemon', '1', 'start'])
      for (const address of more) reaches(far, address)
      callCni(lab, 'DEL', pod('allowed'))
      await eventually(() => !published().some((name) => name.includes('10-21-200-9')))
      for (const name of ['near-1', 'far-2']) lab.run(['pod', 'del', name])
      await eventually(() => interfaces().length === 0)
    } finally {
      for (const name of ['allowed', 'rival']) lab.node(1, 'ip', 'netns', 'del', `pod-${name}`)
    }
  })

  describe('a pod that is called as no object may be', () => {
    const NAMES = ['my_web', 'Web.Front', '-', 'x'.repeat(300)]

    it('is reached from other nodes, under a name that all of them read, and leaves nothing', async () => {
      const client = lab.addPod('client-2', 2, 'front')
      const attachments = NAMES.map((podName, i): Attachment => {
        const netns = `pod-odd-${i}`
        lab.node(1, 'ip', 'netns', 'add', netns)
        return {
          ...{ node: 1, containerId: `odd${i}`, netns: `/run/netns/${netns}`, ifname: 'eth0' },
          ...{ namespace: 'front', podName },
        }
      })
      try {
        for (const attachment of attachments) {
          const [ip4 = ''] = addressesOf(callCni(lab, 'ADD', attachment))
          // By a route of its own, not only by that of the block.
          const route = () => lab.node(2, 'rt', '--get', `${ip4}/32`, '--vrf', '2')
          await eventually(() => route().includes(`${ip4}/32`), 20_000)
          reaches(client, ip4)
        }
        assert.equal(interfaces().length, NAMES.length + 1)
        for (const attachment of attachments) callCni(lab, 'DEL', attachment)
        await eventually(() => interfaces().length === 1)
        lab.run(['pod', 'del', 'client-2'])
        await eventually(() => interfaces().length === 0)
      } finally {
        for (const { netns } of attachments) lab.node(1, 'ip', 'netns', 'del', netns.slice('/run/netns/'.length))
      }
      for (const node of [1, 2]) assert.ok(!lab.logOf(node).some((line) => JSON.stringify(line).includes('set aside')))
    })
  })
})
