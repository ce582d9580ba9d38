/** The tools as an operator runs them: processes that read pinned maps while no daemon lives. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { skipBecause } from '../skip.ts'
import { lacking, makeVrouter, type Vrouter } from './pinned-tables.ts'

const MAIN = new URL('../../daemon/src/utilities/main.ts', import.meta.url).pathname

describe('tools on pinned maps', function () {
  this.timeout(60_000)
  let vrouter: Vrouter

  before(function () {
    skipBecause(this, lacking())
    vrouter = makeVrouter()
  })

  after(async () => {
    await vrouter?.[Symbol.asyncDispose]()
  })

  function run(...args: string[]): { status: number | null; stdout: string; stderr: string } {
    const env = { ...process.env, VROUTER_PINS: vrouter.pins }
    return spawnSync(process.execPath, [MAIN, ...args], { encoding: 'utf8', env })
  }

  function output(...args: string[]): string {
    const { status, stdout, stderr } = run(...args)
    assert.equal(`${status}${stderr}`, '0', stdout)
    return stdout
  }

  // biome-ignore lint/suspicious/noExplicitAny: the documents differ by tool
  const json = (...args: string[]): any => JSON.parse(output(...args, '--json'))

  describe('rt', () => {
    it('dumps one VRF in the order of prefixes, with the last resort first', () => {
      assert.equal(
        output('rt', '--dump', '2'),
        `Flags: L=Label Valid, P=Proxy ARP, T=Trap ARP, F=Flood ARP, Ml=MAC-IP learnt route
vRouter inet4 routing table 0/2/unicast
Destination           PPL        Flags        Label         Nexthop    Stitched MAC(Index)
0.0.0.0/0               0                       -              1        -
10.47.240.0/20         20            F          -              1        -
10.47.255.192/26       26           LP         19             18        -
10.47.255.252/32       32            P          -             22        2:6f:6e:91:5:3(7)
10.47.255.253/32       32           LP         25             18        -
`,
      )
    })

    it('dumps IPv6 and bridge tables', () => {
      assert.match(
        output('rt', '--dump', '2', '--fam', 'inet6'),
        /\n::\/0 {20}0 .*\nfd00::\/64 {14}64 .*\nfd00::fc\/128 {10}128 .*\n$/,
      )
      assert.match(
        output('rt', '--dump', '2', '--family', 'bridge'),
        /\n7 {11}2:6f:6e:91:5:3 {14}Df {20}- {11}22 {12}1042\n$/,
      )
    })

    it('looks up as the datapath does: host route, longest prefix, last resort', () => {
      const route = (target: string) => json('rt', '--get', target, '--vrf', '2').route
      assert.deepEqual([route('10.47.255.253/32').nexthop, route('10.47.255.253/32').prefixLength], [18, 32])
      assert.deepEqual([route('10.47.255.200/32').nexthop, route('10.47.255.200/32').address], [18, '10.47.255.192'])
      assert.deepEqual([route('10.47.241.1').nexthop, route('10.47.241.1').prefixLength], [1, 20])
      assert.deepEqual([route('8.8.8.8/32').nexthop, route('8.8.8.8/32').prefixLength], [1, 0])
      assert.equal(route('10.47.255.192/24').prefixLength, 20)
      const text = output('rt', '--get', 'fd00::5/128', '--vrf', '2', '--family', 'inet6')
      assert.match(text, /^Match fd00::5\/128 in vRouter inet6 table 0\/2\/unicast\n\nFlags.*\n.*\n.*\nfd00::\/64 /)
    })

    it('finds a bridge entry by a MAC without leading zeros', () => {
      const text = output('rt', '--get', '2:6f:6e:91:5:3', '--vrf', '2', '--family', 'bridge')
      assert.match(text, /^Match 2:6f:6e:91:5:3 in vRouter bridge table 0\/2\/unicast\n\n[\s\S]* 22 {15}0\n$/)
    })

    it('answers ENOENT for a VRF that is not there, and usage for nonsense', () => {
      const missing = run('rt', '--dump', '77')
      assert.deepEqual([missing.status, missing.stdout], [1, 'vRouter(Response): No such file or directory (2)\n'])
      for (const args of [['--dump', 'x'], ['--get', '10.0.0.1/32'], ['--get', '10.0.0.300/32', '--vrf', '2'], []]) {
        const { status, stderr } = run('rt', ...args)
        assert.equal(status, 1)
        assert.match(stderr, /\nUsage: rt --dump/)
      }
    })
  })

  describe('nh', () => {
    it('lists all that are in use, with references counted from the tables', () => {
      const ids = json('nh', '--list').nexthops.map((nh: { id: number }) => nh.id)
      assert.deepEqual(ids, [0, 1, 9, 18, 22, 31])
      const text = output('nh', '--list')
      // 22: two routes, the bridge entry, the label, the vif and the composite.
      assert.match(text, /\nId:22 {9}Type:Encap {10}Fmly: AF_INET {2}Rid:0 {2}Ref_cnt:6 {10}Vrf:2\n/)
      assert.match(
        text,
        / {14}Oif:0 Len:14 Data:52 54 00 aa bb cc 52 54 00 11 22 33 08 00 \n {14}Sip:192.0.2.11 Dip:192.0.2.12\n\n/,
      )
    })

    it('shows the members of a composite behind it', () => {
      const text = output('nh', '--get', '31')
      assert.match(text, /^Id:31 [\s\S]*Sub NH\(label\): 22 18\(26\)\n\nId:22 [\s\S]*\n\nId:18 [\s\S]*\n\n$/)
      assert.equal(run('nh', '--get', '30').stdout, 'vRouter(Response): No such file or directory (2)\n')
    })
  })

  describe('service', () => {
    it('dumps fronts with what was counted, of one VRF or of all', () => {
      const fronts = json('service', '--dump').fronts as { address: string; port: number; connections: number }[]
      assert.deepEqual(
        fronts.map(({ address, port, connections }) => [address, port, connections]),
        [
          ['198.51.100.7', 80, 7],
          ['10.96.0.10', 0, 7],
          ['10.96.0.10', 80, 7],
        ],
      )
      assert.match(
        output('service', '--dump', '--vrf', '0'),
        /-\n +5 +0 +198\.51\.100\.7:80 +TCP +2 +1 +DoR +60 +7 +1 +0\n$/,
      )
    })

    it('shows a service port with its backs and sources', () => {
      assert.equal(
        output('service', '--get', '5'),
        `Service:5  Connections:7  Refused:1  Dropped:0
        Sources 203.0.113.0/24
        198.51.100.7:80 TCP  Vrf:0  Flags:DoR  Affinity:60 s
          Inside from 9:
            10.47.255.252:8080                              Vrf:2  Nexthop:22
            10.47.240.9:8080                                Vrf:2  Nexthop:18  Label:26
          Outside from 9:
            10.47.255.252:8080                              Vrf:2  Nexthop:22
        10.96.0.10 *  Vrf:3  Flags:-
          Backs: none
        10.96.0.10:80 TCP  Vrf:3  Flags:-
          Backs from 9:
            10.47.255.252:8080                              Vrf:2  Nexthop:22
            10.47.240.9:8080                                Vrf:2  Nexthop:18  Label:26

`,
      )
      assert.equal(json('service', '--address', '10.96.0.10').services[0].fronts.length, 2)
    })

    it('answers ENOENT for what is not there, and usage for nonsense', () => {
      assert.match(run('service', '--get', '6').stdout, /No such file/)
      assert.match(run('service', '--address', '10.96.0.11').stdout, /No such file/)
      for (const args of [['--address', 'x'], [], ['--dump', '--get', '5']])
        assert.match(run('service', ...args).stderr, /\nUsage: service --dump/)
    })
  })

  describe('mpls, vrfstats, dropstats', () => {
    it('prints labels in use', () => {
      assert.match(output('mpls', '--dump'), /-{19}\n {6}17 {9}9\n {6}25 {8}22\n$/)
      assert.match(output('mpls', '--get', '25'), /-{19}\n {6}25 {8}22\n$/)
      assert.equal(run('mpls', '--get', '26').stdout, 'vRouter(Response): No such file or directory (2)\n')
    })

    it('dumps VRFs with traffic, and VRF -1 last', () => {
      const ids = [...output('vrfstats', '--dump').matchAll(/^Vrf: (-?\d+)$/gm)].map((match) => match[1])
      assert.deepEqual(ids, ['2', '-1'])
      assert.match(output('vrfstats', '--get', '2'), /L2 Receives 41, .*[\s\S]*\nL2 Encaps 0, Encaps 2\n/)
      assert.equal(run('vrfstats', '--get', '70000').stdout, 'vRouter(Response): Invalid argument (22)\n')
    })

    it('prints drops of all cores or one, and clears them', () => {
      const all = `${'IF Drop'.padEnd(30)}12\n${'Discards'.padEnd(30)}15\n`
      assert.equal(output('dropstats'), all)
      assert.equal(output('dropstats', '--core', '0'), `${'Statistics for core 0\n\n'.repeat(2)}${all}`)
      assert.equal(output('dropstats', '--drop-type', 'VP_DROP_DISCARD'), `${'Discards'.padEnd(30)}15\n`)
      assert.equal(run('dropstats', '--core', '9999').status, 1)
      assert.equal(output('dropstats', '--clear'), '\nDropstats counters cleared successfully on all cores \n\n')
      assert.equal(output('dropstats'), '')
    })
  })

  describe('vif', () => {
    it('lists by id', () => {
      const text = output('vif', '--list')
      assert.match(text, /^Vrouter Interface Table\n/)
      assert.ok(
        text.endsWith(`vif0/2      OS: pkt0
            Type:Agent HWaddr:00:00:5e:00:01:00 IPaddr:0.0.0.0
            Vrf:65535 Mcast Vrf:65535 Flags:PL3L2Er QOS:-1 Ref:1
            RX packets:0  bytes:0 errors:0
            TX packets:0  bytes:0 errors:0
            Drops:0

vif0/3      OS: tap0a1b2c3d4e5f NH: 22
            Type:Virtual HWaddr:00:00:5e:00:01:00 IPaddr:10.47.255.252
            IP6addr:fd00::fc
            Vrf:2 Mcast Vrf:2 Flags:PL3L2Er QOS:-1 Ref:2
            RX packets:42  bytes:3210 errors:0
            TX packets:40  bytes:3100 errors:1
            Drops:3

`),
        text,
      )
    })

    it('shows one with its drops, and exits with 0 on bad usage', () => {
      const text = output('vif', '-g3', '--get-drop-stats')
      assert.match(text, /Drops:3\n\nDiscards {22}2\nInvalid Source {16}1\n$/)
      assert.equal(run('vif', '--get', '77').stdout, 'vRouter(Response): No such file or directory (2)\n')
      assert.equal(run('vif', '--nope').status, 0)
    })

    it('counts per core and refreshes rates as often as it is told', () => {
      assert.match(output('vif', '--get', '3', '--core', '0'), /Core 0 RX packets:42 /)
      const text = output('vif', '--list', '--rate', '--count', '2')
      assert.equal(text.split('Interface rate statistics').length, 3)
    })

    it('clears one core, then all', () => {
      assert.equal(
        output('vif', '--clear', '--id', '3', '--core', '0'),
        '\nVif stats cleared successfully for tap0a1b2c3d4e5f on core 0 \n\n',
      )
      assert.match(output('vif', '--get', '3'), /RX packets:0 [\s\S]*Drops:0\n/)
      assert.equal(output('vif', '--clear'), '\nVif stats cleared successfully on all cores for all interfaces \n\n')
    })
  })

  describe('flow', () => {
    it('lists flows by index', () => {
      const text = output('flow', '-l')
      assert.match(text, /\nEntries: Created 1 Added 2 Deleted 0 Changed 0Processed 1 Used Overflow entries 0\n/)
      assert.ok(
        text.endsWith(`        4<=>5            10.47.255.252:43210                                 6 (2)
                         10.47.255.253:80   
(Gen: 5, K(nh):22, Action:F, Flags:, TCP:SSrEEr, QOS:-1, S(nh):22,  Stats:12/1204, 
 SPort 61223, TTL 0, Sinfo 3.0.0.0)

        5<=>4            10.47.255.253:80                                    6 (2)
                         10.47.255.252:43210
(Gen: 5, K(nh):18, Action:F, Flags:, TCP:SSrEEr, QOS:-1, S(nh):18,  Stats:12/1204, 
 SPort 61223, TTL 0, Sinfo 192.0.2.12)

`),
        text,
      )
    })

    it('filters', () => {
      const indices = (match: string) =>
        json('flow', '-l', '--match', match).flows.map((flow: { index: number }) => flow.index)
      assert.deepEqual(indices('10.47.255.252:43210'), [4, 5])
      assert.deepEqual(indices('10.47.255.252:*,10.47.255.253:80&proto tcp'), [4])
      assert.deepEqual(indices('proto udp'), [])
      assert.deepEqual(indices('vrf 3'), [])
    })

    it('shows one flow in detail', () => {
      const text = output('flow', '--get', '4')
      assert.match(text, /^Flow Index: {19}4\n/)
      assert.match(
        text,
        /\nExpected Source: {14}NextHop\(Index, VRF, Type\): 22, 2, ENCAP\n {30}Ingress Interface\(Index, VRF, OS\): vif0\/3, 2, tap0a1b2c3d4e5f\n/,
      )
      assert.match(
        text,
        /\n {30}Matching Route: 10\.47\.255\.253\/32\n {30}NextHop\(Index, VRF, Type\): 18, 0, TUNNEL\n {30}Tunnel Source: 192\.0\.2\.11\n/,
      )
      assert.match(text, /\n {30}SourceMAC: 02:6f:6e:91:05:03\n/)
      assert.equal(run('flow', '--get', '6').stdout, 'vRouter(Response): No such file or directory (2)\n')
    })

    it('ends a live screen at the count, and at an interrupt', async () => {
      assert.match(
        output('flow', '-s', '--count', '1'),
        /\nFlow Statistics\n-{15}\n {4}Total {2}Entries {2}--- Total = {7}2, /,
      )
      assert.equal(output('flow', '-r', '--count', '2'), '')
      const child = spawn(process.execPath, [MAIN, 'flow', '-s'], {
        env: { ...process.env, VROUTER_PINS: vrouter.pins },
      })
      child.stdout.once('data', () => child.kill('SIGINT'))
      const status = await new Promise((resolve) => child.once('exit', resolve))
      assert.equal(status, 0)
    })

    it('deletes a flow, in both directions', () => {
      assert.equal(run('flow', '--delete', '6').stdout, 'vRouter(Response): No such file or directory (2)\n')
      assert.deepEqual(json('flow', '--delete', '4'), { deleted: { index: 4, reverseIndex: 5 } })
      assert.deepEqual(json('flow', '-l').flows, [])
    })

    it('says what to do instead of changing flows', () => {
      const { status, stderr } = run('flow', '-d', '4')
      assert.equal(status, 1)
      assert.match(stderr, /^flow --drop is not supported\nflows follow routes and policy/)
    })
  })

  it('prints limits and fill with vrouter --info', () => {
    assert.match(output('vrouter', '--info'), /\n {4}VRF tables limit {21}256\n[\s\S]*\n {4}Used Flow entries {20}2\n/)
  })

  it('goes by the name of the link that calls it', () => {
    const folder = mkdtempSync(join(tmpdir(), 'kv-tools-'))
    try {
      symlinkSync(MAIN, join(folder, 'mpls'))
      const env = { ...process.env, VROUTER_PINS: vrouter.pins }
      const { stdout } = spawnSync(process.execPath, [join(folder, 'mpls'), '--dump'], { encoding: 'utf8', env })
      assert.match(stdout, /^MPLS Input Label Map\n/)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('survives a reader that stops early', async () => {
    const command = `"${process.execPath}" "${MAIN}" flow -l | head -n 1`
    const { stdout, stderr } = spawnSync('bash', ['-o', 'pipefail', '-c', command], {
      encoding: 'utf8',
      env: { ...process.env, VROUTER_PINS: vrouter.pins },
    })
    assert.deepEqual([stdout.slice(0, 11), stderr], ['Flow table(', ''])
  })

  it('names the remedy when there is no vRouter', () => {
    const { status, stderr } = spawnSync(process.execPath, [MAIN, 'rt', '--dump', '0', '--pins', '/nonexistent'], {
      encoding: 'utf8',
    })
    assert.equal(status, 1)
    assert.match(stderr, /no map is pinned at \/nonexistent\/maps\/.*\nStart the vrouter daemon once/)
  })
})
