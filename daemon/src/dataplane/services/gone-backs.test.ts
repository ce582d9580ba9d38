import assert from 'node:assert/strict'
import { addressText } from '../../maps/services.ts'
import { goneKeyCodec } from '../../maps/structs.ts'
import { decode } from '../../maps/table.ts'
import type { BackSet, EndpointAddress, Front } from '../../model/tables.ts'
import { GoneBacks } from './gone-backs.ts'

const VIP = '10.96.0.1'

function front(protocol: 'TCP' | 'UDP', alive: readonly EndpointAddress[], inside: BackSet = set()): Front {
  return {
    ...{
      vrf: 3,
      address: VIP,
      listener: { protocol, port: 53 },
      kind: 'cluster-ip',
      id: 1,
      inside,
      outside: inside,
      local: inside,
    },
    ...{ service: { namespace: 'default', name: 'dns', port: '', family: 4 }, alive },
  }
}

const at = (...hosts: readonly number[]): EndpointAddress[] =>
  hosts.map((host) => ({ address: `10.1.0.${host}`, port: 5353 }))
const set = (...hosts: readonly number[]): BackSet => ({ backs: at(...hosts), whenEmpty: 'reject' })

function told(gone: GoneBacks): string[] {
  return [...gone.keys()]
    .map((key) => {
      const pair = decode(goneKeyCodec, Buffer.from(key, 'latin1'))
      const at = (ip: Uint8Array, port: number) => `${addressText(pair.family, ip)}:${port}`
      return `${pair.proto} ${at(pair.front, pair.frontPort)} ${at(pair.back, pair.backPort)}`
    })
    .sort()
}

describe('endpoints whose flows have to end', () => {
  it('are those that are no longer alive, not those that get nothing new', () => {
    const gone = new GoneBacks()
    gone.note(front('TCP', at(1, 2, 3), set(1, 2, 3)), front('TCP', at(1, 3), set(1)))
    assert.deepEqual(told(gone), ['6 10.96.0.1:53 10.1.0.2:5353'])
  })

  it('are those of both sets where nothing else is said', () => {
    const gone = new GoneBacks()
    const { alive: _, ...before } = { ...front('UDP', [], set(1)), outside: set(2) }
    const { alive: __, ...after } = front('UDP', [], set(2))
    gone.note(before, after)
    assert.deepEqual(told(gone), ['17 10.96.0.1:53 10.1.0.1:5353'])
  })

  it('are all of a front that goes where nothing knows connections', () => {
    const gone = new GoneBacks()
    gone.note(front('UDP', at(1, 2)), undefined)
    gone.note(front('TCP', at(1, 2)), undefined)
    assert.deepEqual(told(gone), ['17 10.96.0.1:53 10.1.0.1:5353', '17 10.96.0.1:53 10.1.0.2:5353'])
  })

  it('are the address itself of a front that comes, where nothing knows connections', () => {
    const gone = new GoneBacks()
    gone.note(undefined, front('UDP', at(1)))
    gone.note(undefined, front('TCP', at(1)))
    const { listener: _, ...itself } = front('UDP', at(1))
    gone.note(undefined, itself)
    assert.deepEqual(told(gone), ['17 10.96.0.1:53 10.96.0.1:53'])
  })

  it('are none that come back', () => {
    const gone = new GoneBacks()
    gone.note(front('UDP', at(1, 2)), front('UDP', at(1)))
    gone.note(front('UDP', at(1)), front('UDP', at(2)))
    assert.deepEqual(told(gone), ['17 10.96.0.1:53 10.1.0.1:5353'])
    gone.note(front('UDP', at(2)), undefined)
    gone.note(undefined, front('UDP', at(1, 2)))
    assert.deepEqual(told(gone), ['17 10.96.0.1:53 10.96.0.1:53'])
  })

  it('are none of another front', () => {
    const gone = new GoneBacks()
    gone.note(front('UDP', at(1, 2)), front('UDP', at(2)))
    const other = { ...front('UDP', at(1)), address: '10.96.0.2' }
    gone.note(other, { ...other, alive: at(1, 3) })
    gone.note(front('TCP', at(2)), front('TCP', at(1, 2)))
    assert.deepEqual(told(gone), ['17 10.96.0.1:53 10.1.0.1:5353'])
    gone.note(front('UDP', at(2)), front('UDP', at(1, 2)))
    assert.equal(gone.size, 0)
  })

  it('are looked for until no program can send to them by what it has read before', () => {
    let now = 5000
    const gone = new GoneBacks(() => now)
    gone.note(front('UDP', at(1, 2)), front('UDP', at(1)))
    gone.swept(5001)
    assert.equal(gone.size, 1)
    now = 6000
    gone.note(front('UDP', at(1)), front('UDP', []))
    gone.swept(6000)
    assert.deepEqual(told(gone), ['17 10.96.0.1:53 10.1.0.1:5353'])
  })
})
