import { strict as assert } from 'node:assert'
import { MPLS_UDP_OVERHEAD, NH_FLAG_TUNNEL_UDP_MPLS } from '../maps/constants.ts'
import { nexthopCodec } from '../maps/structs.ts'
import { encode } from '../maps/table.ts'
import { SPOKEN, type SpokenEncapsulation, tunnelMtu } from '../model/encapsulations.ts'
import type { Nexthop, Vif } from '../model/tables.ts'
import { encodeNexthop, forgetLearntMac } from './encode-nexthop.ts'

const common = { vrf: 0, flowNexthop: 0, mtu: 1500, flags: 0, maxFlows: 0, mac: '0e:00:00:00:00:01' }
const vifs = new Map<number, Vif>([
  [0, { ...common, id: 0, type: 'physical', name: 'eth0', ifindex: 2 }],
  [3, { ...common, id: 3, type: 'virtual', name: 'tap0', ifindex: 9 }],
])
const macs = { srcMac: '0e:00:00:00:00:01' } as const

function entry(nexthop: Nexthop): Uint8Array {
  return encode(nexthopCodec, encodeNexthop({ id: 20, nexthop, isValid: true, references: 1 }, vifs))
}
const tunnel = (dstMac: string, source = '192.0.2.1'): Nexthop => ({
  type: 'tunnel',
  encapsulation: 'MPLSoUDP',
  source,
  ...{ destination: '192.0.2.2', via: '192.0.2.2', dstMac, mtu: 1468 },
  ...macs,
})
const encap = (dstMac: string, vif: number): Nexthop => ({
  ...{ type: 'encap', family: 'inet', vif, vrf: 0, dstMac, policy: false, role: vif === 0 ? 'arp' : 'interface' },
  ...macs,
})

describe('encapsulations', () => {
  /** As the datapath's types.h has them: the flag of tunnel nexthops, and the bytes of the outer headers. */
  const datapath: { readonly [encapsulation in SpokenEncapsulation]: readonly [flag: number, overhead: number] } = {
    MPLSoUDP: [NH_FLAG_TUNNEL_UDP_MPLS, MPLS_UDP_OVERHEAD],
  }

  it('are to the model what they are to the datapath', () => {
    assert.ok(SPOKEN.length > 0)
    for (const encapsulation of SPOKEN) {
      const [flag, overhead] = datapath[encapsulation]
      const { flags } = encodeNexthop(
        { id: 20, nexthop: { ...tunnel('0e:00:00:00:00:02'), encapsulation } as Nexthop, isValid: true, references: 1 },
        vifs,
      )
      assert.ok((flags & flag) !== 0, encapsulation)
      assert.equal(tunnelMtu(encapsulation, 1500), 1500 - overhead, encapsulation)
    }
  })
})

describe('MACs that the datapath learns', () => {
  const known = '0e:00:00:00:00:02'
  const other = '0e:00:00:00:00:77'
  const seen = (nexthop: Nexthop, before: Nexthop): Buffer => {
    const values = Buffer.concat([Buffer.alloc(52, 0xee), entry(nexthop), Buffer.alloc(52, 0xee)])
    forgetLearntMac(values, 52, Buffer.from(entry(before)).toString('latin1'))
    assert.deepEqual(values.subarray(0, 52), Buffer.alloc(52, 0xee))
    assert.deepEqual(values.subarray(104), Buffer.alloc(52, 0xee))
    return values.subarray(52, 104)
  }

  it('are no difference of tunnels and underlay neighbours', () => {
    assert.deepEqual(seen(tunnel(other), tunnel(known)), Buffer.from(entry(tunnel(known))))
    assert.deepEqual(seen(encap(other, 0), encap(known, 0)), Buffer.from(entry(encap(known, 0))))
  })

  it('hide nothing else that was changed', () => {
    assert.deepEqual(seen(tunnel(other, '192.0.2.9'), tunnel(known)), Buffer.from(entry(tunnel(known, '192.0.2.9'))))
    assert.deepEqual(seen(encap(other, 3), encap(known, 3)), Buffer.from(entry(encap(other, 3))), 'a pod’s MAC')
  })
})
