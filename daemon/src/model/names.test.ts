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

  it('make names of interface objects that every API server takes, of whatever a pod is called', () => {
    const hash = tapName('c1', 'eth0').slice(3)
    const of = (pod: string) => interfaceObjectName(pod, 'c1', 'eth0')
    assert.equal(of('web-0'), `web-0-${hash}`)
    assert.equal(of('a.b'), `a.b-${hash}`)
    assert.equal(of('my_web'), `my-web-${hash}`)
    assert.equal(of('Web'), `web-${hash}`)
    assert.equal(of('___'), `pod-${hash}`)
    const pod = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 400 }),
      fc.stringMatching(/^[a-z.-]{1,300}$/),
      fc.stringMatching(/^[a-z]{195,204}[.-][a-z]{0,60}$/),
    )
    fc.assert(
      fc.property(pod, (text) => {
        const name = of(text)
        assert.ok(name.length <= 220, name)
        assert.match(name, /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/)
        assert.equal(name, of(text))
        assert.notEqual(name, interfaceObjectName(text, 'c1', 'eth1'))
        assert.notEqual(name, interfaceObjectName(text, 'c2', 'eth0'))
      }),
    )
  })
})
