import assert from 'node:assert/strict'
import { join } from 'node:path'
import { repository } from '../lab/layout.ts'
import { eventually, nodeProgram, skipIfMissing, TestLab, type TestPod, twoTenants } from './lab.ts'

const peer = [nodeProgram, '--no-warnings', join(repository, 'test/functional/peer.ts')]

describe('pods reach their own network and nobody else', function () {
  this.timeout(120_000)
  let lab: TestLab
  const pods = {} as Record<'red1' | 'red2' | 'red3' | 'blue1' | 'blue2', TestPod>

  before(function () {
    skipIfMissing(this)
    lab = TestLab.up()
    lab.apply(twoTenants)
    pods.red1 = lab.addPod('red-1', 1, 'red')
    pods.red2 = lab.addPod('red-2', 1, 'red')
    pods.red3 = lab.addPod('red-3', 2, 'red')
    pods.blue1 = lab.addPod('blue-1', 1, 'blue')
    pods.blue2 = lab.addPod('blue-2', 2, 'blue')
  })

  after(() => lab?.close())

  async function serve(pod: TestPod, address: string, port: number): Promise<() => void> {
    const child = await lab.startServer(`pod/${pod.name}`, [...peer, 'serve', address, String(port)])
    return () => child.kill('SIGKILL')
  }

  for (const [where, server] of [
    ['on the same node', 'red2'],
    ['on the other node', 'red3'],
  ] as const) {
    for (const family of ['ip4', 'ip6'] as const) {
      describe(`${where}, ${family}`, () => {
        it('ping: small, one MTU, fragmented', () => {
          for (const size of ['56', '1400', '8000']) {
            const outcome = lab.ping(pods.red1, pods[server][family], '-s', size)
            assert.equal(outcome.status, 0, `size ${size}: ${outcome.stdout}${outcome.stderr}`)
          }
        })

        it('TCP: 16 MB arrive as they were sent; UDP: small, one MTU, fragmented', async () => {
          const stop = await serve(pods[server], pods[server][family], 7000)
          try {
            const tcp = lab.inPod(pods.red1, [...peer, 'tcp', pods[server][family], '7000', String(16 << 20)])
            assert.equal(tcp.stdout, 'ok\n', tcp.stderr)
            const udp = lab.inPod(pods.red1, [
              ...peer,
              'udp',
              pods[server][family],
              '7000',
              '1',
              '512',
              '1400',
              '4000',
              '16000',
              '60000',
            ])
            assert.equal(udp.stdout, 'ok\n', udp.stderr)
          } finally {
            stop()
          }
        })
      })
    }
  }

  describe('beyond plain reachability', () => {
    it('TCP across nodes is right in software segmentation too (offloads of the underlay off)', async () => {
      for (const node of [1, 2])
        lab.node(node, 'ethtool', '-K', 'eth0', 'tso', 'off', 'gso', 'off', 'tx', 'off', 'gro', 'off')
      for (const family of ['ip4', 'ip6'] as const) {
        const stop = await serve(pods.red3, pods.red3[family], 7001)
        try {
          const tcp = lab.inPod(pods.red1, [...peer, 'tcp', pods.red3[family], '7001', String(8 << 20)])
          assert.equal(tcp.stdout, 'ok\n', tcp.stderr)
        } finally {
          stop()
        }
      }
      for (const node of [1, 2])
        lab.node(node, 'ethtool', '-K', 'eth0', 'tx', 'on', 'tso', 'on', 'gso', 'on', 'gro', 'on')
    })

    it('the two tenants have the same subnet, and a blue pod never sees what red sends', () => {
      assert.match(pods.red1.ip4, /^10\.1\./)
      assert.match(pods.blue1.ip4, /^10\.1\./)
      const before = receivedBy(pods.blue1)
      lab.ping(pods.red1, pods.blue1.ip4)
      lab.ping(pods.red3, pods.blue1.ip4)
      lab.ping(pods.red1, pods.blue1.ip6)
      assert.equal(receivedBy(pods.blue1), before)
    })

    it('a custom network without SNAT reaches its own node, and neither others nor the underlay', async () => {
      lab.expectDrops('Discards')
      const reached = () =>
        ['172.30.0.1', '172.30.0.11', '172.30.0.12'].filter((address) => lab.ping(pods.red1, address).status === 0)
      const silent = twoTenants.replaceAll(/^( {2}subnets:)$/gm, '  fabricSNAT: false\n$1')
      assert.deepEqual(reached(), ['172.30.0.1', '172.30.0.11', '172.30.0.12'])
      lab.apply(silent)
      await eventually(() => {
        assert.deepEqual(reached(), ['172.30.0.11'])
        return true
      })
      lab.apply(twoTenants)
      await eventually(() => reached().length === 3)
    })

    it('the gateway and the service address answer ARP, NS and ping', () => {
      for (const address of ['10.1.0.1', '10.1.0.2', 'fd01::1', 'fd01::2']) {
        const outcome = lab.ping(pods.red1, address)
        assert.equal(outcome.status, 0, `${address}: ${outcome.stdout}${outcome.stderr}`)
      }
      const neighbours = lab.inPod(pods.red1, ['ip', 'neigh']).stdout
      assert.match(neighbours, /10\.1\.0\.1 dev eth0 lladdr 00:00:5e:00:01:00/)
    })

    it('a neighbour on the same node is resolved to its own MAC, one on another node to the router MAC', () => {
      for (const pod of [pods.red2, pods.red3]) assert.equal(lab.ping(pods.red1, pod.ip4).status, 0)
      const neighbours = lab.inPod(pods.red1, ['ip', 'neigh']).stdout
      assert.match(neighbours, new RegExp(`${pods.red2.ip4} dev eth0 lladdr 02:`))
      assert.match(neighbours, new RegExp(`${pods.red3.ip4} dev eth0 lladdr 00:00:5e:00:01:00`))
    })

    it('a hop limit that runs out is reported by the gateway, across nodes', () => {
      for (const address of [pods.red3.ip4, pods.red3.ip6]) {
        const outcome = lab.ping(pods.red1, address, '-t', '1')
        assert.match(outcome.stdout, /Time (to live )?exceeded/, outcome.stdout)
      }
    })

    it('a packet that does not fit the tunnel is answered with the MTU that does', async () => {
      lab.node(1, 'ip', 'link', 'set', 'eth0', 'mtu', '1400')
      try {
        const four = await eventually(() => {
          const said = lab.ping(pods.red1, pods.red3.ip4, '-M', 'do', '-s', '1400')
          return /mtu ?= ?1368/.test(`${said.stdout}${said.stderr}`) ? said.stdout : undefined
        })
        assert.match(four, /From 10\.1\.0\.1|local error/)
        await eventually(() => {
          const said = lab.ping(pods.red1, pods.red3.ip6, '-M', 'do', '-s', '1400')
          return /mtu ?= ?1368/.test(`${said.stdout}${said.stderr}`)
        })
      } finally {
        lab.node(1, 'ip', 'link', 'set', 'eth0', 'mtu', '1500')
      }
    })

    it('a pod that lies about its address or MAC is not heard, and the drops say so', () => {
      lab.expectDrops('Invalid Source')
      const before = lab.drops(1).get('Invalid Source') ?? 0
      lab.inPod(pods.red1, ['ip', 'addr', 'add', '10.1.99.99/32', 'dev', 'eth0'])
      assert.notEqual(lab.ping(pods.red1, pods.red2.ip4, '-I', '10.1.99.99').status, 0)
      lab.inPod(pods.red1, ['ip', 'addr', 'del', '10.1.99.99/32', 'dev', 'eth0'])
      const between = lab.drops(1).get('Invalid Source') ?? 0
      assert.ok(between > before, 'spoofed IP: not counted')
      const mac = JSON.parse(lab.inPod(pods.red1, ['ip', '-j', 'link', 'show', 'eth0']).stdout)[0].address as string
      lab.inPod(pods.red1, ['ip', 'link', 'set', 'eth0', 'address', '02:00:00:00:00:99'])
      assert.notEqual(lab.ping(pods.red1, pods.red2.ip4).status, 0)
      lab.inPod(pods.red1, ['ip', 'link', 'set', 'eth0', 'address', mac])
      assert.ok((lab.drops(1).get('Invalid Source') ?? 0) > between, 'spoofed MAC: not counted')
      assert.equal(lab.ping(pods.red1, pods.red2.ip4).status, 0)
    })
  })

  function receivedBy(pod: TestPod): number {
    const link = JSON.parse(lab.inPod(pod, ['ip', '-j', '-s', 'link', 'show', 'eth0']).stdout)[0]
    return link.stats64.rx.packets as number
  }
})
