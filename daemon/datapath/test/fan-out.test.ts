/**
 * Proves: a frame for a group or for all of a network goes to every member of its fan-out composite but its sender, unchanged and once;
 * what can't go there is dropped with a reason; and in real namespaces everybody answers who is asked.
 */
import { strict as assert } from 'node:assert'
import * as c from '../../src/maps/constants.ts'
import { Cluster, type Pod, podRun } from './cluster.ts'
import { A, assertFrame, B, C, Fixture, NH, REMOTE } from './fixture.ts'
import { arp, eth, icmp4, udp } from './frames.ts'
import { cannotRun } from './node.ts'

const BROADCAST = 'ff:ff:ff:ff:ff:ff'
const GROUP = '01:00:5e:01:02:03'
const [ALL, LIST, LIST_2, TUNNELS, GROUP_ALL, GROUP_LIST] = [40, 41, 42, 43, 44, 45] as const
const { NH_FLAG_MCAST, NH_FLAG_COMPOSITE_ENCAP, NH_FLAG_COMPOSITE_EVPN } = c

describe('datapath: fan-out composites', function () {
  this.timeout(60000)
  let node: Fixture

  before(function () {
    if (cannotRun()) this.skip()
  })
  beforeEach(() => {
    node = new Fixture()
    // Nothing but the copies is counted at the devices.
    node.run('sysctl', '-qw', 'net.ipv6.conf.all.disable_ipv6=1', 'net.ipv6.conf.default.disable_ipv6=1')
    for (const { vif } of [A, B, C]) for (const end of ['', '-x']) node.ip(`link set tap${vif}${end} up`)
    node.setComposite(ALL, NH_FLAG_MCAST, [LIST, LIST_2])
    node.setComposite(LIST, NH_FLAG_COMPOSITE_ENCAP, [A.nh + 1, B.nh + 1])
    node.setComposite(LIST_2, NH_FLAG_COMPOSITE_ENCAP, [C.nh + 1])
    node.setBridge(2, BROADCAST, ALL)
  })
  afterEach(() => node?.[Symbol.dispose]())

  /** Frames that the kernel transmitted to a workload. The last copy is left to the program's verdict, which a test run doesn't carry out. */
  const transmitted = ({ vif }: { vif: number }): number => {
    const [device] = JSON.parse(node.ip(`-s -j link show tap${vif}`)) as { stats64: { tx: { packets: number } } }[]
    return device!.stats64.tx.packets
  }
  const frames = {
    broadcast: eth(BROADCAST, A.mac, 0x0800, udp(A.ip4, '10.2.0.255', 1, 2, undefined, { ttl: 1 })),
    group: eth(GROUP, A.mac, 0x0800, udp(A.ip4, '224.1.2.3', 1, 2)),
    'IPv6 group': eth('33:33:00:00:00:fb', A.mac, 0x86dd, udp(A.ip6, 'ff02::fb', 5353, 5353)),
    'ARP request': eth(
      BROADCAST,
      A.mac,
      0x0806,
      arp({ op: 1, sha: A.mac, spa: A.ip4, tha: '00:00:00:00:00:00', tpa: '10.2.0.99' }),
    ),
    'frame of another protocol': eth(BROADCAST, A.mac, 0x88b5, Buffer.alloc(46)),
  }

  for (const [name, frame] of Object.entries(frames)) {
    it(`give everybody but its sender one copy of a ${name}, unchanged`, () => {
      const before = [A, B, C].map(transmitted)
      assertFrame(node.fromPod(A, frame), frame)
      assert.deepEqual(
        [A, B, C].map((one, at) => transmitted(one) - before[at]!),
        [0, 1, 0],
        'and the last one gets the frame itself',
      )
      for (const { vif } of [B, C]) assert.deepEqual(node.vifCounters(vif), { txPackets: 1, txBytes: frame.length })
      assert.equal(node.vifCounters(A.vif)['txPackets'], undefined)
      const { l2McastComposites, encapComposites } = node.vrfCounters(2)
      assert.deepEqual([l2McastComposites, encapComposites], [1, 2])
      assert.equal(node.totalDrops(), 0)
      assert.equal(node.flows().length, 0)
    })
  }

  it('are those of the group, where it has one', () => {
    node.setComposite(GROUP_ALL, NH_FLAG_MCAST, [GROUP_LIST])
    node.setComposite(GROUP_LIST, NH_FLAG_COMPOSITE_ENCAP, [C.nh + 1])
    node.setBridge(2, GROUP, GROUP_ALL)
    assertFrame(node.fromPod(A, frames.group), frames.group)
    assert.equal(node.vifCounters(B.vif)['txPackets'], undefined)
    assert.equal(node.vifCounters(C.vif)['txPackets'], 1)
    assertFrame(node.fromPod(A, frames.broadcast), frames.broadcast)
    assert.equal(node.vifCounters(B.vif)['txPackets'], 1)
  })

  it('pass over lists of another kind, members that are no workloads, and what isn’t valid', () => {
    node.setComposite(TUNNELS, NH_FLAG_COMPOSITE_EVPN, [NH.TUNNEL])
    node.setComposite(LIST, NH_FLAG_COMPOSITE_ENCAP, [0, NH.INVALID, NH.TUNNEL, NH.RCV, ALL, B.nh, B.nh + 1])
    node.setComposite(ALL, NH_FLAG_MCAST, [TUNNELS, 0, B.nh + 1, NH.INVALID, ALL, LIST])
    assertFrame(node.fromPod(A, frames.broadcast), frames.broadcast)
    assert.equal(node.vifCounters(B.vif)['txPackets'], 1)
    assert.equal(node.vifCounters(C.vif)['txPackets'], undefined)
    assert.equal(node.vifCounters(0)['txPackets'], undefined)
  })

  it('end after as many lists and members as a composite holds, whatever its entry says', () => {
    const members = Array.from({ length: c.COMPOSITE_MAX }, () => ({ nh: B.nh + 1, label: c.LABEL_NONE }))
    const lists = Array.from({ length: c.COMPOSITE_MAX }, () => ({ nh: LIST, label: c.LABEL_NONE }))
    node.maps.composites.set(LIST, { count: 0xffffffff, hashFields: 0, members })
    node.maps.composites.set(ALL, { count: 0xffffffff, hashFields: 0, members: lists })
    assertFrame(node.fromPod(A, frames.broadcast), frames.broadcast)
    // So many at once are more than the kernel queues.
    const refused = node.drops(A.vif).get(c.DROP_MCAST_CLONE_FAIL) ?? 0
    assert.equal(node.vifCounters(B.vif)['txPackets']! + refused, c.COMPOSITE_MAX ** 2)
  })

  it('get nothing under an address that isn’t its sender’s', () => {
    for (const frame of [
      eth(BROADCAST, A.mac, 0x0800, udp(B.ip4, '10.2.0.255', 1, 2)),
      eth('33:33:00:00:00:fb', A.mac, 0x86dd, udp(B.ip6, 'ff02::fb', 1, 2)),
      eth(BROADCAST, A.mac, 0x0806, arp({ op: 2, sha: A.mac, spa: B.ip4, tha: A.mac, tpa: A.ip4 })),
      eth(BROADCAST, B.mac, 0x88b5, Buffer.alloc(46)),
      eth(
        BROADCAST,
        A.mac,
        0x0800,
        icmp4(B.ip4, '10.2.0.255', 3, 1, Buffer.concat([Buffer.alloc(4), udp('10.2.0.255', A.ip4, 1, 2)])),
      ),
    ])
      node.assertDrop(c.DROP_INVALID_SOURCE, A.vif, () => node.fromPod(A, frame))
    // Who has no address yet may ask for one.
    const asking = eth(BROADCAST, A.mac, 0x0800, udp('0.0.0.0', '255.255.255.255', 68, 67))
    assertFrame(node.fromPod(A, asking), asking)
  })

  it('drop with a reason: nobody else there, a device that is down, what is no fan-out, no entry', () => {
    node.ip(`link set tap${B.vif} down`)
    const before = node.drops(A.vif).get(c.DROP_MCAST_CLONE_FAIL) ?? 0
    assertFrame(node.fromPod(A, frames.broadcast), frames.broadcast)
    assert.equal(node.drops(A.vif).get(c.DROP_MCAST_CLONE_FAIL), before + 1)
    assert.equal(node.vifCounters(B.vif)['txPackets'], undefined)

    node.setComposite(ALL, NH_FLAG_MCAST, [LIST])
    node.setComposite(LIST, NH_FLAG_COMPOSITE_ENCAP, [A.nh + 1])
    node.assertDrop(c.DROP_CLONED_ORIGINAL, A.vif, () => node.fromPod(A, frames.broadcast))
    for (const other of [LIST, B.nh + 1, NH.TUNNEL, NH.L2_RCV, NH.INVALID]) {
      node.setBridge(2, BROADCAST, other, other === NH.TUNNEL ? REMOTE.label : undefined)
      node.assertDrop(c.DROP_INVALID_NH, A.vif, () => node.fromPod(A, frames.broadcast))
    }
    node.assertDrop(c.DROP_L2_NO_ROUTE, C.vif, () =>
      node.fromPod(C, eth(BROADCAST, C.mac, 0x0800, udp(C.ip4, '10.3.0.255', 1, 2))),
    )
  })
})

describe('datapath: fan-out composites in namespaces', function () {
  this.timeout(120000)
  let cluster: Cluster
  let pods: Pod[]

  before(function () {
    if (cannotRun()) this.skip()
    cluster = new Cluster()
    pods = [2, 3, 4, 5].map((host) => cluster.addPod(0, 2, host))
    cluster.addPod(0, 3, 6)
    const [node] = cluster.nodes
    node.setComposite(100, NH_FLAG_MCAST, [101, 102])
    node.setComposite(101, NH_FLAG_COMPOSITE_ENCAP, [pods[0]!.nh + 1, pods[1]!.nh + 1])
    node.setComposite(102, NH_FLAG_COMPOSITE_ENCAP, [pods[2]!.nh + 1, pods[3]!.nh + 1])
    node.setBridge(2, BROADCAST, 100)
    for (const pod of pods) podRun(pod, 'sysctl', '-qw', 'net.ipv4.icmp_echo_ignore_broadcasts=0')
  })
  after(() => cluster?.[Symbol.dispose]())

  it('everybody of the network answers who asks all, once', () => {
    const count = 3
    for (const sender of pods) {
      const said = podRun(sender, 'ping', '-n', '-b', '-c', `${count}`, '-i', '0.2', '-W', '5', '10.2.0.255')
      for (const other of pods.filter((pod) => pod !== sender)) {
        // ping ends with the first answer to its last question, so the others' may be missing there.
        const answers = said.split('\n').filter((line) => line.includes(`from ${other.ip4}:`)).length
        assert.ok(answers === count || answers === count - 1, `${other.ip4} answered ${answers} times:\n${said}`)
      }
      assert.ok(!said.includes('10.3.0.'), said)
    }
  })
})
