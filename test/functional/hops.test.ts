/**
 * Each router on the way counts once, and answers when the TTL ends there: what traceroute shows. The node is one hop between any two
 * networks, the tunnel to another node is no hop of its own, and a frame that is bridged between pods of a node meets no router.
 */
import assert from 'node:assert/strict'
import { nodePaths } from '../lab/layout.ts'
import { eventually, type TestLab as Lab, skipIfMissing, TestLab, type TestPod, tenant } from './lab.ts'

const OUTSIDE = ['198.51.100.9', '2001:db8:99::9'] as const

describe('hops', function () {
  this.timeout(120_000)
  let lab: Lab
  let pod: TestPod
  let near: TestPod
  let far: TestPod
  let plain: TestPod
  let distant: TestPod
  const gateway = { red: ['10.1.0.1', 'fd01::1'], plain: ['10.200.0.1', 'fd20::1'] } as const
  const underlayGateway = ['172.30.0.1', 'fd30::1'] as const

  before(function () {
    skipIfMissing(this)
    lab = TestLab.up(2, { VROUTER_DEFAULT_NETWORK_SUBNETS: '10.200.0.0/16,fd20::/64' })
    lab.apply(tenant('red', '10.1.0.0/16', 'fd01::/64'))
    pod = lab.addPod('pod', 1, 'red')
    near = lab.addPod('near', 1, 'red')
    far = lab.addPod('far', 2, 'red')
    plain = lab.addPod('plain', 1, 'default')
    distant = lab.addPod('distant', 2, 'default')
    const fabric = (...command: string[]) => lab.run(['exec', 'fabric', '--', ...command])
    fabric('sysctl', '-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1')
    fabric('ip', 'netns', 'add', 'outside')
    fabric('ip', 'link', 'add', 'out', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', 'outside')
    fabric('ip', 'addr', 'add', '198.51.100.1/24', 'dev', 'out')
    fabric('ip', 'addr', 'add', '2001:db8:99::1/64', 'dev', 'out', 'nodad')
    fabric('ip', 'link', 'set', 'out', 'up')
    for (const args of [
      'link set eth0 up',
      `addr add ${OUTSIDE[0]}/24 dev eth0`,
      `addr add ${OUTSIDE[1]}/64 dev eth0 nodad`,
      'route add default via 198.51.100.1',
      '-6 route add default via 2001:db8:99::1',
    ])
      fabric('nsenter', '--net=/run/netns/outside', 'ip', ...args.split(' '))
  })
  after(() => lab?.close())

  /** Who answers a ping whose TTL is 1, 2, 3: the address of a router, or "there". */
  const trace = (where: string, address: string, ttls: number): string[] =>
    Array.from({ length: ttls }, (_, index) => {
      const command = ['ping', '-n', '-c', '1', '-W', '3', '-t', String(index + 1), address]
      const { stdout } = lab.tryRun(['exec', where, '--', ...command])
      if (/ 1 received/.test(stdout)) return 'there'
      return /^From (\S+?):? icmp_seq=1 Time (?:to live )?exceeded/m.exec(stdout)?.[1] ?? stdout
    })
  const expect = (where: string, address: string, hops: string[]) =>
    eventually(() => {
      assert.deepEqual(trace(where, address, hops.length), hops, `${where} -> ${address}`)
      return true
    })

  for (const family of [0, 1] as const) {
    const ip = (of: TestPod) => (family === 0 ? of.ip4 : of.ip6)
    describe(`of IPv${family === 0 ? 4 : 6}`, () => {
      it('are none between pods of a network on one node', () =>
        expect('pod/pod', ip(near), ['there', 'there', 'there']))

      it('are one to a pod on another node, tenant’s or plain', async () => {
        await expect('pod/pod', ip(far), [gateway.red[family], 'there', 'there'])
        await expect('pod/plain', ip(distant), [gateway.plain[family], 'there', 'there'])
      })

      it('are one between a node and pods, its own and others', async () => {
        const nodes = [1, 2].map((index) => nodePaths('x', index))
        const node = (index: number) => (family === 0 ? nodes[index]!.address4 : nodes[index]!.address6)
        await expect('pod/plain', node(0), [gateway.plain[family], 'there', 'there'])
        await expect('pod/plain', node(1), [gateway.plain[family], 'there', 'there'])
        // About what the host itself sent the answer comes from where it was going: it takes none from its own address.
        await expect('node/1', ip(plain), [ip(plain), 'there', 'there'])
        await expect('node/1', ip(distant), [ip(distant), 'there', 'there'])
        await expect('node/1', ip(pod), [ip(pod), 'there', 'there'])
      })

      it('are one to the world, besides those of the world', () =>
        expect('pod/pod', OUTSIDE[family], [gateway.red[family], underlayGateway[family], 'there']))
    })
  }
})
