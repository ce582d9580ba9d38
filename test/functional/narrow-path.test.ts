/**
 * A router with a smaller MTU between the nodes: what is too large for it is told to the pods, which then send less. Both ends of a
 * connection know nothing but their own MTU, which the tunnel would take.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { nodePaths, repository } from '../lab/layout.ts'
import { eventually, nodeProgram, skipIfMissing, TestLab, type TestPod, tenant } from './lab.ts'

const peer = [nodeProgram, '--no-warnings', join(repository, 'test/functional/peer.ts')]
const PATH = 1400

describe('a smaller MTU between the nodes', function () {
  this.timeout(180_000)
  let lab: TestLab
  let near: TestPod
  let far: TestPod
  const fabric = (...command: string[]) => lab.run(['exec', 'fabric', '--', ...command])

  before(async function () {
    skipIfMissing(this)
    lab = TestLab.up()
    lab.apply(tenant('red', '10.1.0.0/16', 'fd01::/64'))
    // Large packets are lost until it is known what fits, and all of them while the underlay is rebuilt.
    lab.expectDrops('Fragment errors', 'Invalid NH')
    near = lab.addPod('near', 1, 'red')
    far = lab.addPod('far', 2, 'red')
    // The second node's wire leaves the bridge: the fabric routes between the two, and answers for each to the other.
    const [one, two] = [1, 2].map((node) => nodePaths(lab.name, node))
    fabric(
      'sysctl',
      '-qw',
      'net.ipv4.ip_forward=1',
      'net.ipv4.conf.br0.proxy_arp=1',
      'net.ipv4.conf.all.send_redirects=0',
    )
    fabric('ip', 'link', 'set', two!.name, 'nomaster')
    fabric(
      'sysctl',
      '-qw',
      `net.ipv4.conf.${two!.name}.proxy_arp=1`,
      `net.ipv4.neigh.${two!.name}.proxy_delay=0`,
      'net.ipv4.neigh.br0.proxy_delay=0',
    )
    fabric('ip', 'route', 'add', `${two!.address4}/32`, 'dev', two!.name, 'mtu', 'lock', String(PATH))
    fabric('ip', 'route', 'add', `${one!.address4}/32`, 'dev', 'br0', 'mtu', 'lock', String(PATH))
    await eventually(() => lab.ping(near, far.ip4).status === 0 && lab.ping(far, near.ip4).status === 0, 60_000)
  })
  after(() => lab?.close())

  for (const family of ['ip4', 'ip6'] as const) {
    it(`TCP of ${family} goes through, also where the path was wide when it began`, async () => {
      const child = await lab.startServer(`pod/${far.name}`, [...peer, 'serve', far[family], '7000'])
      try {
        const outcome = lab.inPod(near, [...peer, 'tcp', far[family], '7000', String(4 << 20)])
        assert.equal(outcome.stdout, 'ok\n', outcome.stderr)
      } finally {
        child.kill('SIGKILL')
      }
    })

    it(`a datagram of ${family} that may not be cut is told how much fits`, async () => {
      await eventually(() => {
        const said = lab.ping(near, far[family], '-M', 'do', '-s', '1400')
        return /mtu ?= ?1368/.test(`${said.stdout}${said.stderr}`)
      }, 30_000)
      assert.equal(
        lab.ping(near, far[family], '-M', 'do', '-s', String(PATH - 32 - (family === 'ip4' ? 28 : 48))).status,
        0,
      )
      // The other pod learns it for its answers as this one did: by what is lost.
      await eventually(() => lab.ping(near, far[family], '-s', '8000').status === 0, 30_000)
    })
  }

  it('is shown with the tunnel', () => {
    assert.match(lab.node(1, 'nh', '--list'), /Dip:172\.30\.0\.12\n\s+Path MTU:1400 for \d+ s/)
  })
})
