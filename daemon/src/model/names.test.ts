import assert from 'node:assert/strict'
import fc from 'fast-check'
import {
  blockName,
  defaultPodNetwork,
  interfaceObjectName,
  interfaceUuid,
  isolatedPodNetwork,
  metadataAddress,
  networkFqName,
  podMac,
  tapName,
  uuidOf,
  virtualMachineName,
  vrfOfNetwork,
} from './names.ts'

describe('names', () => {
  it('follow the old system', () => {
    assert.equal(networkFqName('k8s', 'default', 'red'), 'default-domain:k8s-default:red')
    assert.equal(vrfOfNetwork('default-domain:k8s-default:red'), 'default-domain:k8s-default:red:red')
    assert.equal(defaultPodNetwork('k8s'), 'default-domain:k8s-default:k8s-default-pod-network')
    assert.equal(isolatedPodNetwork('k8s', 'dev'), 'default-domain:k8s-dev:k8s-dev-pod-network')
    assert.equal(virtualMachineName('k8s', 'dev', 'web-0'), 'k8s__dev__web-0')
  })

  it('give every node the same uuid, of version 5, and another one for another name or kind', () => {
    const uuid = uuidOf('vn', 'default-domain:k8s-default:red')
    // Fixed for ever: every node, and every later version, must print it.
    assert.equal(uuid, 'a3f960da-25b1-5aa4-aa12-cf595a937d2c')
    assert.match(uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    assert.notEqual(uuidOf('vrf', 'default-domain:k8s-default:red'), uuid)
    assert.notEqual(interfaceUuid('c1', 'eth0'), interfaceUuid('c1', 'eth1'))
  })

  it('make MACs that are local and unicast, from the first five bytes of the uuid', () => {
    assert.equal(podMac('4b6d1c9e-52f0-11ef-9a01-525400a1b2c3'), '02:4b:6d:1c:9e:52')
    assert.throws(() => podMac('nonsense'), TypeError)
  })

  it('make tap names of the longest length that Linux allows', () => {
    assert.match(tapName('c1', 'eth0'), /^tap[0-9a-f]{12}$/)
    assert.equal(tapName('c1', 'eth0').length, 15)
    assert.notEqual(tapName('c1', 'eth0'), tapName('c1', 'eth1'))
  })

  it('make metadata addresses of vif ids, over 255 too', () => {
    assert.equal(metadataAddress(3), '169.254.0.3')
    assert.equal(metadataAddress(1000), '169.254.3.232')
    assert.throws(() => metadataAddress(65_536), RangeError)
  })

  it('make block names that are DNS names', () => {
    assert.equal(blockName('default-domain:k8s-default:red', '10.1.0.64/26'), '10-1-0-64-26.red.k8s-default')
    assert.equal(blockName('k8s-pod-ipam', 'fd00:1::40/122'), 'fd00-1-x-40-122.k8s-pod-ipam')
    assert.equal(blockName('k8s-pod-ipam', '::/122'), 'x-122.k8s-pod-ipam')
  })

  it('never give two blocks one name', () => {
    const part = fc.string({ minLength: 1, maxLength: 5, unit: fc.constantFrom('a', 'b', '-', '.', 'A', '_') })
    const pool = fc.tuple(fc.constantFrom('default-domain', 'other'), part, part).map((parts) => parts.join(':'))
    const cidr = fc.constantFrom(
      '10.1.0.0/26',
      '10.10.0.0/26',
      '101.0.0.0/26',
      'fd00:1::/122',
      'fd00::1:0/122',
      '::1/128',
    )
    fc.assert(
      fc.property(fc.tuple(pool, cidr), fc.tuple(pool, cidr), (a, b) => {
        const names = [blockName(...a), blockName(...b)]
        for (const name of names) assert.match(name, /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/)
        assert.equal(names[0] === names[1], a[0] === b[0] && a[1] === b[1])
      }),
      { numRuns: 2000 },
    )
  })

  it('keep object names and file names within what file systems take', () => {
    assert.ok(interfaceObjectName('p'.repeat(253), 'tap0123456789ab').length <= 220)
  })
})
