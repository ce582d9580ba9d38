import assert from 'node:assert/strict'
import { ip4Number, ip6Bytes, macBytes } from '../maps/addresses.ts'
import { LABEL_NONE, ROUTE_ARP_FLOOD, ROUTE_ARP_PROXY, ROUTE_HAS_MAC } from '../maps/constants.ts'
import { route4KeyCodec, route6KeyCodec, routeCodec } from '../maps/structs.ts'
import { encode } from '../maps/table.ts'
import { MovedAddresses } from './moved-addresses.ts'

const [X, Y] = ['02:00:00:00:00:0a', '02:00:00:00:00:0b']

function route(flags: number, mac = '00:00:00:00:00:00', nh = 5): string {
  const value = { nh, label: LABEL_NONE, macIndex: LABEL_NONE, mac: macBytes(mac), flags, plen: 32 }
  return Buffer.from(encode(routeCodec, value)).toString('latin1')
}
const local = (mac: string) => route(ROUTE_ARP_PROXY | ROUTE_HAS_MAC, mac)
const remote = route(ROUTE_ARP_PROXY)
const key4 = Buffer.from(encode(route4KeyCodec, { vrf: 2, ip: ip4Number('10.1.0.5') })).toString('latin1')
const key6 = Buffer.from(encode(route6KeyCodec, { vrf: 2, ip: ip6Bytes('fd01::5') })).toString('latin1')

describe('MovedAddresses', () => {
  it('tells of an address that goes to another pod of this node, to one of another node, and back', () => {
    const moved = new MovedAddresses()
    moved.note('route4_host', key4, local(X), local(Y))
    moved.note('route6_host', key6, local(X), remote)
    assert.deepEqual(moved.take(), [
      { vrf: 2, address: '10.1.0.5', mac: Y },
      { vrf: 2, address: 'fd01::5' },
    ])
    moved.note('route6_host', key6, remote, local(X))
    assert.deepEqual(moved.take(), [{ vrf: 2, address: 'fd01::5', mac: X }])
    assert.deepEqual(moved.take(), [])
  })

  it('remembers whose an address was while it is nobody’s', () => {
    const moved = new MovedAddresses()
    moved.note('route4_host', key4, local(X), undefined)
    moved.note('route4_host', key4, undefined, local(Y))
    assert.deepEqual(moved.take(), [{ vrf: 2, address: '10.1.0.5', mac: Y }])
    moved.note('route4_host', key4, local(Y), undefined)
    moved.note('route4_host', key4, undefined, remote)
    assert.deepEqual(moved.take(), [{ vrf: 2, address: '10.1.0.5' }])
  })

  it('says nothing of first owners, of the same one again, of remote pods that move, and of what nobody answers for', () => {
    const moved = new MovedAddresses()
    moved.note('route4_host', key4, undefined, local(X))
    moved.note('route4_host', key4, local(X), undefined)
    moved.note('route4_host', key4, undefined, local(X))
    moved.note('route6_host', key6, remote, route(ROUTE_ARP_PROXY, undefined, 6))
    moved.note('route6_host', key6, remote, undefined)
    moved.note('route6_host', key6, undefined, remote)
    moved.note('route6_host', key6, local(X), route(ROUTE_ARP_PROXY | ROUTE_ARP_FLOOD))
    moved.note('route4_lpm', key4, local(X), local(Y))
    assert.deepEqual(moved.take(), [])
  })
})
