/**
 * The layouts against golden files that were transcribed from the vRouter reference's samples (§3): byte for byte, since operators'
 * scripts cut these lines by column.
 */

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import {
  FLOW_ACTIVE,
  FLOW_DNAT,
  FLOW_DPAT,
  FLOW_SNAT,
  FLOW_SPAT,
  NH_COMPOSITE,
  NH_DISCARD,
  NH_ENCAP,
  NH_RCV,
  NH_TUNNEL,
  NH_VRF_TRANSLATE,
  VIF_L3_ENABLED,
  VIF_MORE_ADDRESSES,
} from '../maps/constants.ts'
import type { VrfStatsStruct } from '../maps/structs.ts'
import { etherNtoa } from './columns.ts'
import { DROP_REASONS, formatDropstats, sumOfDrops } from './format-dropstats.ts'
import {
  type FlowDetails,
  type FlowView,
  formatFlow,
  formatFlowDetails,
  formatFlowHeader,
  formatFlowRate,
  formatFlowStatistics,
} from './format-flow.ts'
import { formatMpls } from './format-mpls.ts'
import { formatNexthop } from './format-nh.ts'
import { formatBridge, formatMatch, formatRoute, formatRoutes } from './format-rt.ts'
import { formatCleared, formatVif, formatVifHeader, formatVifRates, type VifRecord } from './format-vif.ts'
import { formatVrfStats, hasNoTraffic } from './format-vrfstats.ts'
import { formatVrouterInfo } from './format-vrouter.ts'

const golden = (name: string) => readFileSync(new URL(`testdata/${name}`, import.meta.url), 'utf8')

describe('vif layout', () => {
  const counters = (packets: number, bytes: number) => ({ packets, bytes, errors: 0 })
  const vifs: VifRecord[] = [
    {
      id: 0,
      name: 'ens3',
      ifindex: 2,
      type: 2,
      vrf: 0,
      multicastVrf: 65535,
      flags: 0x2002e0,
      nexthop: 4,
      mac: '52:54:00:11:22:33',
      ip4: '0.0.0.0',
      references: 17,
      rx: counters(190321, 81920113),
      tx: counters(77120, 12403311),
      drops: 12,
      speed: 10000,
      duplex: 1,
    },
    {
      id: 1,
      name: 'vhost0',
      ifindex: 3,
      type: 0,
      vrf: 0,
      multicastVrf: 65535,
      flags: 0x200141,
      nexthop: 5,
      mac: '52:54:00:11:22:33',
      ip4: '192.0.2.11',
      references: 8,
      rx: counters(75110, 11820077),
      tx: counters(180004, 80110203),
      drops: 3,
    },
    {
      id: 2,
      name: 'pkt0',
      ifindex: 4,
      type: 1,
      vrf: 65535,
      multicastVrf: 65535,
      flags: 0x200040,
      nexthop: 0,
      mac: '00:00:5e:00:01:00',
      ip4: '0.0.0.0',
      references: 3,
      rx: counters(931, 80066),
      tx: counters(1201, 154021),
      drops: 0,
    },
    {
      id: 4,
      name: 'tapeth0-1a2b3c',
      ifindex: 9,
      type: 3,
      vrf: 2,
      multicastVrf: 2,
      flags: 0x2001c1,
      nexthop: 22,
      mac: '00:00:5e:00:01:00',
      ip4: '10.47.255.252',
      references: 6,
      rx: counters(42, 3210),
      tx: counters(40, 3100),
      drops: 3,
    },
  ]

  it('prints the table', () => {
    assert.equal(formatVifHeader() + vifs.map((vif) => formatVif(vif)).join(''), golden('vif-list.txt'))
  })

  it('prints an IPv6 address on its own line, the core before the counters, and NULL without flags', () => {
    const text = formatVif({ ...vifs[3]!, ip6: 'fd00::5', flags: 0 }, 1)
    assert.match(text, /IPaddr:10\.47\.255\.252\n {12}IP6addr:fd00::5\n/)
    assert.match(text, /Flags:NULL QOS/)
    assert.match(text, /\n {12}Core 1 RX packets:42 {2}bytes:3210 errors:0\n {12}Core 1 TX packets:40/)
  })

  it('prints a vif whose device is gone with blanks instead of "OS: "', () => {
    assert.ok(formatVif({ ...vifs[2]!, ifindex: 0 }).startsWith('vif0/2          pkt0\n'))
  })

  it('prints no flag of the original for a bit that means something else here', () => {
    assert.match(formatVif({ ...vifs[3]!, flags: VIF_L3_ENABLED | VIF_MORE_ADDRESSES }), / Flags:L3 QOS/)
    assert.match(formatVifHeader(), /Ml=MAC-IP Learning Enabled/)
  })

  it('aligns rates with their titles', () => {
    const lines = formatVifRates([
      { id: 4, name: 'tap1', type: 3, rxErrors: 1, rxPackets: 20, txErrors: 3, txPackets: 40 },
    ]).split('\n')
    assert.deepEqual(lines.slice(0, 3), ['Interface rate statistics', '-'.repeat(25), ''])
    assert.equal(lines[3]!.indexOf('RX'), 60)
    assert.equal(lines[4]!.indexOf('Errors'), 54)
    assert.equal(
      lines[6],
      `${'Virtual: tap1'.padEnd(30)}${'vif0/4'.padEnd(24)}${'1        20     '.padEnd(30)}${'3        40     '.padEnd(25)}`,
    )
  })

  it('confirms --clear in the old words', () => {
    assert.equal(formatCleared(undefined, 2), '\nVif stats cleared successfully on core 2 for all interfacess \n\n')
    assert.equal(formatCleared('tap1', undefined), '\nVif stats cleared successfully for tap1 on all cores \n\n')
  })
})

describe('rt layout', () => {
  const routes = [
    { address: '0.0.0.0', prefixLength: 8, programmedPrefixLength: 0, flags: 2, nexthop: 1 },
    {
      address: '10.47.255.252',
      prefixLength: 32,
      programmedPrefixLength: 32,
      flags: 6,
      nexthop: 22,
      stitchedMac: '02:6f:6e:91:05:03',
      macIndex: 151132,
    },
    { address: '10.47.255.253', prefixLength: 32, programmedPrefixLength: 32, flags: 3, label: 25, nexthop: 18 },
  ]

  it('prints inet routes', () => assert.equal(formatRoutes('inet', 2, routes), golden('rt-dump-inet.txt')))

  it('prints the match of --get', () => {
    const text = formatMatch('inet', 2, '10.47.255.253/32') + formatRoutes('inet', 2, routes.slice(2))
    assert.equal(text, golden('rt-get.txt'))
  })

  it('prints bridge entries', () => {
    const text = formatBridge(2, [
      { index: 151132, mac: '02:6f:6e:91:05:03', flags: 0x5, nexthop: 22, packets: 1042n },
      { index: 31804, mac: 'ff:ff:ff:ff:ff:ff', flags: 0x7, label: 5, nexthop: 31, packets: 17n },
    ])
    assert.equal(text, golden('rt-dump-bridge.txt'))
  })

  it('does not pad a destination that is longer than its column', () => {
    const row = {
      address: 'fd00:1111:2222:3333::5',
      prefixLength: 128,
      programmedPrefixLength: 128,
      flags: 0,
      nexthop: 7,
    }
    assert.ok(formatRoute(row).startsWith('fd00:1111:2222:3333::5/128 128 '))
  })

  it('shows L2c rows as L2cMl', () => {
    assert.match(
      formatBridge(2, [{ index: 1, mac: '02:00:00:00:00:01', flags: 0x11, nexthop: 1, packets: 0 }]),
      / L2cMl /,
    )
  })

  it('prints a MAC without zero padding', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 6, maxLength: 6 }), (bytes) => {
        const padded = [...bytes].map((byte) => byte.toString(16).padStart(2, '0')).join(':')
        const octets = etherNtoa(padded).split(':')
        assert.deepEqual(
          octets.map((octet) => Number.parseInt(octet, 16)),
          [...bytes],
        )
        assert.ok(octets.every((octet) => octet === '0' || !octet.startsWith('0')))
      }),
    )
  })
})

describe('nh layout', () => {
  const inet = { family: 2, vrf: 2 }

  it('prints records of every kind in the samples', () => {
    const records = [
      { ...inet, id: 0, type: NH_DISCARD, flags: 1, vrf: 0, references: 4110 },
      {
        ...inet,
        id: 22,
        type: NH_ENCAP,
        flags: 0x200003,
        references: 6,
        oif: 4,
        rewrite: [0x02, 0x6f, 0x6e, 0x91, 0x05, 0x03, 0x00, 0x00, 0x5e, 0x00, 0x01, 0x00, 0x08, 0x00],
      },
      {
        ...inet,
        id: 18,
        type: NH_TUNNEL,
        flags: 0x200041,
        vrf: 0,
        references: 3,
        oif: 0,
        rewrite: [0x52, 0x54, 0x00, 0xaa, 0xbb, 0xcc, 0x52, 0x54, 0x00, 0x11, 0x22, 0x33, 0x08, 0x00],
        source: '192.0.2.11',
        destination: '192.0.2.12',
      },
      {
        ...inet,
        id: 31,
        type: NH_COMPOSITE,
        flags: 0x401,
        references: 2,
        members: [
          { nexthop: 22, label: 25 },
          { nexthop: 18, label: 26 },
        ],
      },
    ]
    assert.equal(records.map(formatNexthop).join(''), golden('nh-list.txt'))
  })

  it('says what a router made known of the path of a tunnel', () => {
    const common = { family: 2, vrf: 0, id: 18, type: NH_TUNNEL, flags: 1, references: 1, oif: 0 }
    const ends = { source: '192.0.2.11', destination: '192.0.2.12', pathMtu: { bytes: 1400, seconds: 532 } }
    assert.match(
      formatNexthop({ ...common, ...ends }),
      /\n {14}Sip:192\.0\.2\.11 Dip:192\.0\.2\.12\n {14}Path MTU:1400 for 532 s\n\n$/,
    )
  })

  it('names the lists of a fan-out', () => {
    const bridge = { family: 7, vrf: 2, references: 1, type: NH_COMPOSITE }
    const text = (id: number, flags: number, members: { nexthop: number; label?: number }[]) =>
      formatNexthop({ ...bridge, id, flags, members })
    assert.match(
      text(40, 0x21, [{ nexthop: 41 }, { nexthop: 42 }]),
      /Type:Composite {6}Fmly:AF_BRIDGE .*\n {14}Flags:Valid, Multicast, \n {14}Sub NH\(label\): 41 42\n\n$/,
    )
    assert.match(text(41, 0x2001, [{ nexthop: 21 }]), /Flags:Valid, Encap, \n/)
    assert.match(
      text(42, 0x1001, [{ nexthop: 18, label: 26 }]),
      /Flags:Valid, Evpn, \n {14}Sub NH\(label\): 18\(26\)\n/,
    )
  })

  it('breaks a long list of members and keeps each of them', () => {
    const members = Array.from({ length: 40 }, (_, at) => ({ nexthop: 100 + at, label: 20 + at }))
    const text = formatNexthop({ ...inet, id: 31, type: NH_COMPOSITE, flags: 0x401, references: 2, members })
    const list = text.slice(text.indexOf('Sub NH(label): ') + 'Sub NH(label): '.length).trim()
    const lines = list.split(`\n${' '.repeat(28)}`)
    assert.ok(lines.length > 1 && lines.every((line) => line.length <= 70))
    assert.deepEqual(
      lines.flatMap((line) => line.split(' ')),
      members.map((member) => `${member.nexthop}(${member.label})`),
    )
  })

  it('prints VRF_TRANSLATE with its target, RCV with its interface, and None without flags', () => {
    assert.match(
      formatNexthop({ ...inet, id: 5, type: NH_VRF_TRANSLATE, flags: 1, references: 1 }),
      /\n {14}Vrf:2\n\n$/,
    )
    const receive = formatNexthop({ ...inet, id: 6, type: NH_RCV, flags: 0, references: 1, oif: 1 })
    assert.match(receive, /Flags:None\n {14}Oif:1\n\n$/)
  })
})

describe('mpls layout', () => {
  it('prints the label map', () => {
    const rows = [
      { label: 25, nexthop: 22 },
      { label: 26, nexthop: 27 },
    ]
    assert.equal(formatMpls(rows), golden('mpls-dump.txt'))
  })
})

describe('vrfstats layout', () => {
  const none: VrfStatsStruct = {
    discards: 0n,
    resolves: 0n,
    receives: 0n,
    l2Receives: 0n,
    vrfTranslates: 0n,
    unknownUnicastFloods: 0n,
    ecmpComposites: 0n,
    l2McastComposites: 0n,
    fabricComposites: 0n,
    encapComposites: 0n,
    evpnComposites: 0n,
    udpTunnels: 0n,
    udpMplsTunnels: 0n,
    greMplsTunnels: 0n,
    vxlanTunnels: 0n,
    pbbTunnels: 0n,
    mplsOverMplsTunnels: 0n,
    l2Encaps: 0n,
    encaps: 0n,
    gros: 0n,
    diags: 0n,
    arpVirtualProxys: 0n,
    arpVirtualStitchs: 0n,
    arpVirtualFloods: 0n,
    arpPhysicalStitchs: 0n,
    arpTorProxys: 0n,
    arpPhysicalFloods: 0n,
  }

  it('prints one VRF', () => {
    const counters = {
      ...none,
      l2Receives: 41n,
      l2McastComposites: 3n,
      encapComposites: 3n,
      evpnComposites: 3n,
      udpMplsTunnels: 20n,
      l2Encaps: 18n,
      encaps: 2n,
      gros: 31n,
      arpVirtualProxys: 4n,
      arpVirtualStitchs: 1n,
    }
    assert.equal(formatVrfStats(2, counters), golden('vrfstats-get.txt'))
  })

  it('notices traffic in any counter', () => {
    assert.ok(hasNoTraffic(none))
    for (const counter of Object.keys(none)) assert.ok(!hasNoTraffic({ ...none, [counter]: 1n }), counter)
  })
})

describe('flow layout', () => {
  const flow = {
    family: 'inet',
    source: '10.47.255.252',
    keyNexthop: 22,
    vrf: 2,
    flags: 0x401f,
    dropReason: 0,
    tcpFlags: 0,
    sourceNexthop: 22,
    sourceInfo: '4.0.0.0',
  } as const
  it('shows what a Service has become: N(DPd), and its way back', () => {
    const service = {
      ...{
        ...flow,
        index: 7,
        sourcePort: 40022,
        destination: '10.96.0.10',
        destinationPort: 80,
        protocol: 6,
        action: 3,
      },
      ...{ destinationVrf: 2, generation: 1, packets: 1n, bytes: 60n, udpSourcePort: 50000 },
    }
    const actionOf = (flags: number) => /Action:([^,]*),/.exec(formatFlow({ ...service, flags }))![1]
    assert.equal(actionOf(FLOW_ACTIVE | FLOW_DNAT | FLOW_DPAT), 'N(DPd)')
    assert.equal(actionOf(FLOW_ACTIVE | FLOW_DNAT), 'N(D)')
    assert.equal(actionOf(FLOW_ACTIVE | FLOW_SNAT | FLOW_SPAT), 'N(SPs)')
    assert.equal(actionOf(FLOW_ACTIVE | FLOW_SNAT | FLOW_DNAT | FLOW_DPAT), 'N(SDPd)')
  })

  const flows: FlowView[] = [
    {
      ...flow,
      index: 1204,
      reverseIndex: 90112,
      sourcePort: 40022,
      destination: '169.254.169.254',
      destinationPort: 53,
      protocol: 17,
      destinationVrf: 0,
      generation: 2,
      action: 3,
      packets: 3n,
      bytes: 212n,
      udpSourcePort: 52113,
    },
    {
      ...flow,
      index: 64812,
      reverseIndex: 212344,
      sourcePort: 43210,
      destination: '10.47.255.251',
      destinationPort: 80,
      protocol: 6,
      destinationVrf: 3,
      generation: 5,
      action: 2,
      flags: 0x4001,
      tcpFlags: 0x78,
      packets: 12n,
      bytes: 1204n,
      udpSourcePort: 61223,
    },
  ]
  const totals = {
    size: 161218560,
    entries: 629760,
    created: 118n,
    added: 118n,
    deleted: 96n,
    changed: 140n,
    createdPerCpu: [30n, 22n, 41n, 25n],
  }

  it('prints the table', () => {
    assert.equal(formatFlowHeader(totals) + flows.map(formatFlow).join(''), golden('flow-list.txt'))
  })

  it('names the filter', () => {
    const filter = { source: { address: '10.1.1.1', port: 80 }, destination: {}, protocol: 6, vrf: 2 }
    assert.match(
      formatFlowHeader(totals, filter),
      /\n\nListing flows matching \(\[10\.1\.1\.1\]:80, \[\*\]:\*, Protocol TCP, VRF 2\)\n\n {4}Index/,
    )
  })

  it('leaves room for the missing reverse flow, and four more blanks in IPv6', () => {
    const { reverseIndex: _, ...single } = flows[1]!
    const lines = formatFlow({ ...single, family: 'inet6', source: 'fd00::1', destination: 'fd00::2' }).split('\n')
    assert.equal(lines[0], `    64812${' '.repeat(16)}${'fd00::1:43210    '.padEnd(46)}      6 (2->3)`)
    assert.equal(lines[1], `${' '.repeat(25)}fd00::2:80       `)
  })

  it('gives the reason of a drop', () => {
    assert.match(formatFlow({ ...flows[1]!, action: 0, dropReason: 0x17 }), /Action:D\(SG\), /)
    assert.match(formatFlow({ ...flows[1]!, action: 0, dropReason: 99 }), /Action:D\(99\), /)
  })

  it('prints one flow in detail', () => {
    const tap = { vif: 4, vrf: 2, device: 'tapeth0-1a2b3c', counters: { out: 40n, in: 42n, errors: 0n } }
    const encap = { id: 22, vrf: 2, type: 'ENCAP', interface: tap }
    const details: FlowDetails = {
      flow: flows[0]!,
      reverse: {
        ...flows[0]!,
        source: '192.0.2.53',
        sourcePort: 53,
        destination: '192.0.2.11',
        destinationPort: 52113,
      },
      expectedSource: encap,
      source: { vrf: 2, layer3: { route: '10.47.255.252/32', nexthop: encap } },
      destination: {
        vrf: 0,
        layer3: { route: '192.0.2.53/32', nexthop: { id: 18, vrf: 0, type: 'TUNNEL', tunnelSource: '192.0.2.11' } },
      },
      systemWideDrops: 69n,
      reversePathFailures: 2n,
      flowBlockDrops: 40n,
    }
    assert.equal(formatFlowDetails(details), golden('flow-get.txt'))
  })

  it('prints rates and statistics in fixed columns', () => {
    const now = new Date(2024, 2, 26, 9, 5, 7, 42)
    const rate = formatFlowRate(now, { entries: 12, rate: -3, forward: 4, reverse: 5, deleted: 6, hold: 0 })
    assert.equal(
      rate,
      '2024-03-26 09:05:07.042:  Entries =       12 Rate =     -3 (Fwd =        4 Rev =        5 Del =        6) ' +
        'Hold =        0 Free Burst Tokens =        0 Total Hold Entries        0\n',
    )
    const census = { total: 12, active: 11, hold: 0, forward: 9, drop: 1, nat: 1, created: 0n, added: 0n, deleted: 0n }
    const rates = { active: -2, newTotal: 1, newActive: 0, newHold: 0, setup: 5, teardown: 4 }
    const text = formatFlowStatistics(now, census, rates)
    assert.match(text, /\n {4}Total {2}Entries {2}--- Total = {6}12, new = {7}1 \n/)
    assert.match(text, / {8}current rate {6}= {7}-2\n/)
  })
})

describe('dropstats layout', () => {
  const counters: number[] = new Array(64).fill(0)
  counters[16] = 12
  counters[11] = 40
  counters[1] = 15
  counters[38] = 2

  it('prints what is not zero, in the order of the vRouter', () => {
    assert.equal(formatDropstats({ counters }), golden('dropstats.txt'))
  })

  it('prints the heading of one core twice', () => {
    const heading = 'Statistics for core 1\n\n'
    assert.equal(formatDropstats({ counters, core: 1 }), heading + heading + golden('dropstats.txt'))
  })

  it('prints only Cloned Original with --debug', () => {
    assert.equal(formatDropstats({ counters, isDebug: true }), 'Cloned Original               0\n')
  })

  it('knows each reason once, and adds them all up', () => {
    assert.equal(new Set(DROP_REASONS.map(({ reason }) => reason)).size, DROP_REASONS.length)
    assert.equal(sumOfDrops(counters), 69n)
    assert.equal(sumOfDrops({ length: 64, 35: 7n }), 7n)
  })
})

describe('vrouter layout', () => {
  it('prints limits and settings', () => {
    const values = {
      interfaces: 4355,
      vrfs: 4096,
      nexthops: 524288,
      labels: 5120,
      bridgeEntries: 262144,
      bridgeOverflow: 53248,
      flows: 524288,
      flowOverflow: 105472,
      mirrors: 255,
      vifBridgeEntries: 1024,
      vifBridgeOverflow: 512,
      dropLogSize: 200,
      dropLogInfra: 1,
      gro: 1,
      softwareSegmentation: 1,
      mssFromVm: 1,
      mssToVm: 1,
      perfr2: 1,
      perfr3: 1,
      perfp: 1,
      flowHoldLimit: 8192,
      usedFlows: 118,
      usedBridgeEntries: 64,
      dropLog: 1,
      dropLogMinimum: 1,
    }
    const info = { version: '5.2', builtBy: 'root@build', builtOn: '2024-03-26', values }
    assert.equal(formatVrouterInfo(info), golden('vrouter-info.txt'))
  })
})
