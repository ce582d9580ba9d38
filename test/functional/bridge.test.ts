/**
 * Bridge tables have the network's pods of other nodes, and what is sent to their MACs gets there. Nobody is told those MACs: ARP and neighbour discovery
 * go on answering with the router's.
 */
import assert from 'node:assert/strict'
import { eventually, type TestLab as Lab, skipIfMissing, TestLab, type TestPod, tenant } from './lab.ts'

interface BridgeRow {
  readonly mac: string
  readonly label?: number
  readonly nexthop: number
  readonly packets: number
}

describe('the bridge table of a network', function () {
  this.timeout(120_000)
  let lab: Lab
  let pod: TestPod
  let near: TestPod
  let far: TestPod

  before(function () {
    skipIfMissing(this)
    lab = TestLab.up(2)
    lab.apply(tenant('red', '10.1.0.0/16', 'fd01::/64'))
    pod = lab.addPod('pod', 1, 'red')
    near = lab.addPod('near', 1, 'red')
    far = lab.addPod('far', 2, 'red')
    for (const other of [near, far]) assert.equal(lab.ping(pod, other.ip4).status, 0)
  })
  after(() => lab?.close())

  const macOf = (of: TestPod) =>
    (JSON.parse(lab.inPod(of, ['ip', '-j', 'link', 'show', 'eth0']).stdout) as { address: string }[])[0]!.address
  const rows = () =>
    (JSON.parse(lab.node(1, 'rt', '--dump', '2', '--family', 'bridge', '--json')) as { entries: BridgeRow[] }).entries
  const entryOf = (mac: string) => rows().find((row) => row.mac === mac)

  it('has pods of this node and of others, and no longer than they live', async () => {
    const gone = lab.addPod('gone', 2, 'red')
    const mac = macOf(gone)
    const entry = await eventually(() => entryOf(mac))
    assert.ok(entry.label !== undefined)
    assert.match(lab.node(1, 'nh', '--get', String(entry.nexthop)), /Type:Tunnel .*\n.*MPLSoUDP/)
    assert.equal(entryOf(macOf(near))!.label, undefined)
    assert.match(lab.node(1, 'rt', '--get', mac, '--vrf', '2', '--family', 'bridge'), new RegExp(` ${entry.label} `))
    for (const page of ['Snh_BridgeRouteReq?x=2', 'Snh_Layer2RouteReq?x=2', 'Snh_EvpnRouteReq?x=2'])
      assert.ok(lab.fetch(1, page).includes(mac), page)
    lab.run(['pod', 'del', 'gone'])
    await eventually(() => entryOf(mac) === undefined)
  })

  it('leads there, and nobody is told', () => {
    const mac = macOf(far)
    const neighbours = () => lab.inPod(pod, ['ip', 'neigh']).stdout
    for (const address of [far.ip4, far.ip6]) {
      assert.equal(lab.ping(pod, address).status, 0)
      assert.match(neighbours(), new RegExp(`^${address} .*lladdr 00:00:5e:00:01:00`, 'm'))
      const before = Number(entryOf(mac)!.packets)
      lab.inPod(pod, ['ip', 'neigh', 'replace', address, 'lladdr', mac, 'dev', 'eth0', 'nud', 'permanent'])
      // Bridged: no router on the way counts the TTL.
      for (const ttl of ['1', '64']) assert.equal(lab.ping(pod, address, '-t', ttl).status, 0, `${address} TTL ${ttl}`)
      assert.ok(Number(entryOf(mac)!.packets) > before, address)
    }
  })
})
