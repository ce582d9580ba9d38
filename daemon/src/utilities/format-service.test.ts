import assert from 'node:assert/strict'
import { type FrontDetails, type FrontView, formatService, formatServices } from './format-service.ts'

const front: FrontView = {
  ...{ service: 12, vrf: 3, address: '10.96.0.10', protocol: 6, port: 80 },
  ...{ inside: { first: 40, count: 2 }, outside: { first: 40, count: 2 } },
  ...{ dropsInside: false, dropsOutside: false, hasRanges: false, affinitySeconds: 0 },
}
const counts = { connections: 5n, refused: 1n, dropped: 0n }
const backs = [
  { address: '10.244.0.4', port: 8080, isHost: false, vrf: 4, nexthop: 22 },
  { address: '10.244.1.4', port: 8080, isHost: false, vrf: 4, nexthop: 18, label: 30 },
]
const details: FrontDetails = { ...front, insideBacks: backs, outsideBacks: backs }

describe('service layout', () => {
  it('has a line for each front', () => {
    const itself = { ...front, protocol: 0, port: 0, inside: { first: 0, count: 0 }, outside: { first: 0, count: 0 } }
    const other = {
      ...{ ...front, vrf: 0, address: 'fd00:96::10', protocol: 17, port: 53, affinitySeconds: 10800, hasRanges: true },
      dropsOutside: true,
    }
    assert.equal(
      formatServices([itself, front, other].map((one) => ({ ...one, ...counts }))),
      `vRouter services
Flags: Di/Do=Without backs inside/outside: silence, R=Source ranges, A=Announced by this node

 Service    Vrf  Address:Port                                    Proto  Inside  Outside  Flags   Affinity   Connections    Refused    Dropped
---------------------------------------------------------------------------------------------------------------------------------------------
      12      3  10.96.0.10                                      *           0        0  -              -             5          1          0
      12      3  10.96.0.10:80                                   TCP         2        2  -              -             5          1          0
      12      0  [fd00:96::10]:53                                UDP         2        2  DoR        10800             5          1          0
`,
    )
  })

  it('shows what a front chooses from, once where that is the same for all', () => {
    assert.equal(
      formatService({ service: 12, ...counts, sources: [], fronts: [details] }),
      `Service:12  Connections:5  Refused:1  Dropped:0
        10.96.0.10:80 TCP  Vrf:3  Flags:-
          Backs from 40:
            10.244.0.4:8080                                 Vrf:4  Nexthop:22
            10.244.1.4:8080                                 Vrf:4  Nexthop:18  Label:30

`,
    )
  })

  it('shows both sides where they differ, who may come, and endpoints of the underlay', () => {
    const local: FrontDetails = {
      ...{ ...details, vrf: 0, address: '198.51.100.7', outside: { first: 0, count: 0 }, outsideBacks: [] },
      ...{ dropsOutside: true, hasRanges: true, affinitySeconds: 60 },
      insideBacks: [
        { address: '192.0.2.11', port: 6443, isHost: true, nexthop: 0 },
        { ...backs[0]!, vrf: undefined },
      ],
    }
    assert.equal(
      formatService({ service: 7, ...counts, sources: ['192.0.2.0/24', '203.0.113.0/24'], fronts: [local] }),
      `Service:7  Connections:5  Refused:1  Dropped:0
        Sources 192.0.2.0/24, 203.0.113.0/24
        198.51.100.7:80 TCP  Vrf:0  Flags:DoR  Affinity:60 s
          Inside from 40:
            192.0.2.11:6443                                 Host
            10.244.0.4:8080                                 Vrf:-  Nexthop:22
          Outside: none

`,
    )
  })
})
