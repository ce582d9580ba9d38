import assert from 'node:assert/strict'
import { fieldOf, fieldsOf } from './json.ts'

describe('a key of a JSON object', () => {
  it('is found in any case: the exact spelling first, of others the last', () => {
    assert.equal(fieldOf({ HOSTPORT: 1, hostPort: 2, hostport: 3 }, 'hostPort'), 2)
    assert.equal(fieldOf({ HOSTPORT: 1, hostport: 3, HostPort: 4 }, 'hostPort'), 4)
    assert.equal(fieldOf({ hostPorts: 1 }, 'hostPort'), undefined)
    assert.deepEqual(fieldsOf({ Dst: 'a', GW: null }, 'dst', 'gw', 'mtu'), { dst: 'a', gw: null, mtu: undefined })
  })

  it('is nothing that every object has', () => {
    assert.equal(fieldOf({}, 'constructor'), undefined)
    assert.equal(fieldOf({}, '__proto__'), undefined)
  })
})
