import assert from 'node:assert/strict'
import fc from 'fast-check'
import type { Published } from '../../model/objects.ts'
import { parseText } from '../directory/documents.ts'
import { fileName, textOf } from '../directory/manifest-files.ts'
import { decode, idOf } from './decode.ts'

/** The issues of a manifest, as `field: message`. */
function issues(text: string): string[] {
  return parseText(text).documents.flatMap((document) => {
    const decoded = decode(document, 'k8s')
    return decoded.ok ? [] : decoded.issues.map(({ field, value, message }) => `${field} (${value}) ${message}`)
  })
}

const network = (spec: string) =>
  `{apiVersion: vrouter.dev/v1alpha1, kind: VirtualNetwork, metadata: {name: red, namespace: shop}, spec: ${spec}}`

describe('manifests', () => {
  it('give networks their names and default addresses', () => {
    const [document] = parseText(
      network('{subnets: [{cidr: 10.1.0.0/16}, {cidr: "FD00:1::/64", gateway: "fd00:1::00ff"}]}'),
    ).documents
    const decoded = decode(document, 'k8s')
    assert.ok(decoded.ok && decoded.item.kind === 'VirtualNetwork')
    const { fqName, subnets, blockSize4, blockSize6, uuid } = decoded.item.object
    assert.equal(fqName, 'default-domain:k8s-shop:red')
    assert.match(uuid, /^[0-9a-f-]{36}$/)
    assert.deepEqual([blockSize4, blockSize6], [26, 122])
    assert.deepEqual(subnets, [
      { cidr: '10.1.0.0/16', gateway: '10.1.0.1', service: '10.1.0.2' },
      { cidr: 'fd00:1::/64', gateway: 'fd00:1::ff', service: 'fd00:1::2' },
    ])
  })

  it('give networks their labels, SNAT and VNI; the VNI in use stands in the status', () => {
    const spec = 'spec: {subnets: [{cidr: 10.1.0.0/16}], fabricSNAT: false, virtualNetworkNetworkID: 5000}'
    const head = 'apiVersion: vrouter.dev/v1alpha1, kind: VirtualNetwork, metadata: {name: red, labels: {a: b}}'
    const vni = (text: string) => {
      const decoded = decode(parseText(text).documents[0], 'k8s')
      assert.ok(decoded.ok && decoded.item.kind === 'VirtualNetwork')
      const { labels, fabricSnat } = decoded.item.object
      assert.deepEqual([labels, fabricSnat], [{ a: 'b' }, false])
      return decoded.item.object.vni
    }
    assert.equal(vni(`{${head}, ${spec}}`), 5000)
    assert.equal(vni(`{${head}, ${spec}, status: {virtualNetworkNetworkID: 5001, state: Success}}`), 5001)
  })

  it('make pools of load balancer addresses of networks and ranges, both families', () => {
    const pool = (spec: string) =>
      `{apiVersion: vrouter.dev/v1alpha1, kind: LoadBalancerPool, metadata: {name: public}, spec: ${spec}}`
    const decoded = decode(
      parseText(pool('{addresses: [192.0.2.64/28, "2001:DB8::1-2001:db8::00ff"], isDefault: true}')).documents[0],
      'k8s',
    )
    assert.ok(decoded.ok && decoded.item.kind === 'LoadBalancerPool')
    assert.equal(idOf(decoded.item), 'LoadBalancerPool public')
    assert.deepEqual(decoded.item.object, {
      name: 'public',
      ranges: [
        { first: '192.0.2.64', last: '192.0.2.79' },
        { first: '2001:db8::1', last: '2001:db8::ff' },
      ],
      autoAssign: true,
      isDefault: true,
    })
    assert.deepEqual(issues(pool('{addresses: [192.0.2.1, 192.0.2.1-x, 192.0.2.1/24]}')), [
      'spec.addresses[0] ("192.0.2.1") is not a CIDR such as 192.0.2.64/28, or a range of one family such as 192.0.2.10-192.0.2.20',
      'spec.addresses[1] ("192.0.2.1-x") is not a CIDR such as 192.0.2.64/28, or a range of one family such as 192.0.2.10-192.0.2.20',
      'spec.addresses[2] ("192.0.2.1/24") is not a network: its host bits must be zero (192.0.2.0/24)',
    ])
    assert.deepEqual(issues(pool('{addresses: [192.0.2.9-192.0.2.1, 126.0.0.1-128.0.0.1]}')), [
      'spec.addresses[0] ("192.0.2.9-192.0.2.1") ends before it begins: write 192.0.2.1-192.0.2.9',
      'spec.addresses[1] ("126.0.0.1-128.0.0.1") holds a loopback address: give addresses that others can be reached at',
    ])
  })

  it('make network routers, whose selectors are checked as Kubernetes checks them', () => {
    const router = (spec: string) =>
      `{apiVersion: vrouter.dev/v1alpha1, kind: VirtualNetworkRouter, metadata: {name: r, namespace: shop}, spec: ${spec}}`
    const text = router(
      '{type: hub, virtualNetworkSelector: {matchLabels: {vn: web}}, import: {virtualNetworkRouters: ' +
        '[{virtualNetworkRouterSelector: {}, namespaceSelector: {matchExpressions: [{key: k, operator: In, values: [v]}]}}]}}',
    )
    const decoded = decode(parseText(text).documents[0], 'k8s')
    assert.ok(decoded.ok)
    assert.equal(idOf(decoded.item), 'VirtualNetworkRouter shop/r')
    const none = { matchLabels: {}, matchExpressions: [] }
    assert.deepEqual(decoded.item.object, {
      namespace: 'shop',
      name: 'r',
      type: 'hub',
      labels: {},
      networks: { matchLabels: { vn: 'web' }, matchExpressions: [] },
      imports: [
        { routers: none, namespaces: { ...none, matchExpressions: [{ key: 'k', operator: 'In', values: ['v'] }] } },
      ],
    })
    for (const [spec, issue] of [
      ['{virtualNetworkSelector: {}}', /^spec\.type .* is required/],
      ['{type: star, virtualNetworkSelector: {}}', /must be one of mesh, hub, spoke/],
      ['{type: mesh}', /^spec\.virtualNetworkSelector .* is required/],
      [
        '{type: mesh, virtualNetworkSelector: {matchExpressions: [{key: a, operator: In}]}}',
        /^spec\.virtualNetworkSelector\.matchExpressions\[0\]\.values .* is required for In/,
      ],
      [
        '{type: mesh, virtualNetworkSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}}',
        /must be empty for Exists/,
      ],
    ] as const)
      assert.match(issues(router(spec))[0] ?? 'accepted', issue, spec)
  })

  it('say which field of which value is wrong, and the remedy', () => {
    const cases: readonly (readonly [spec: string, issue: RegExp])[] = [
      ['{}', /^spec\.subnets \(undefined\) is required$/],
      ['{subnets: []}', /^spec\.subnets \(\[\]\) must have at least 1 item/],
      ['{subnet: []}', /^spec\.subnet \(\[\]\) unknown field; did you mean subnets\?$/],
      ['{subnets: [{cidr: 10.1.0.0}]}', /^spec\.subnets\[0\]\.cidr \("10\.1\.0\.0"\) is not a CIDR/],
      ['{subnets: [{cidr: 10.1.0.9/16}]}', /host bits must be zero \(10\.1\.0\.0\/16\)/],
      ['{subnets: [{cidr: 10.1.0.0/30}]}', /is too small for pods: at most \/29/],
      [
        '{subnets: [{cidr: 10.1.0.0/16, gateway: 10.2.0.1}]}',
        /^spec\.subnets\[0\]\.gateway \(10\.2\.0\.1\) lies outside the subnet 10\.1\.0\.0\/16/,
      ],
      ['{subnets: [{cidr: 10.1.0.0/16, gateway: "fd00::1"}]}', /gateway \(fd00::1\) lies outside/],
      ['{subnets: [{cidr: 10.1.0.0/16, gateway: 10.1.255.255}]}', /network or broadcast address/],
      [
        '{subnets: [{cidr: 10.1.0.0/16, gateway: 10.1.0.2}]}',
        /^spec\.subnets\[0\]\.service \(10\.1\.0\.2\) is the gateway's address too/,
      ],
      [
        '{subnets: [{cidr: 10.1.0.0/16}, {cidr: 10.1.4.0/24}]}',
        /^spec\.subnets\[1\]\.cidr \(10\.1\.4\.0\/24\) overlaps spec\.subnets\[0\] \(10\.1\.0\.0\/16\)/,
      ],
      ['{subnets: [{cidr: 10.1.0.0/16}], blockSize4: 31}', /^spec\.blockSize4 \(31\) must be <= 30/],
      ['{subnets: [{cidr: 10.1.0.0/16}], fqName: red}', /^spec\.fqName \("red"\) is not an FQ name/],
    ]
    for (const [spec, issue] of cases) {
      const found = issues(network(spec))
      assert.ok(
        found.some((text) => issue.test(text)),
        `${spec}: ${found.join(' | ')}`,
      )
    }
  })

  it('of unknown kinds are refused with a suggestion', () => {
    assert.match(
      issues('{kind: VirtualNetwrk, metadata: {name: a}}')[0]!,
      /unknown kind; did you mean VirtualNetwork\?/,
    )
    assert.match(issues('{kind: Pod, metadata: {name: a}}')[0]!, /unknown kind; known are Namespace,/)
    assert.match(issues('{metadata: {name: a}}')[0]!, /^kind \(undefined\) is required/)
    assert.match(issues('just text')[0]!, /is not a manifest/)
    assert.match(
      issues('{apiVersion: v1, kind: VirtualNetwork, metadata: {name: a}, spec: {subnets: [{cidr: 10.0.0.0/8}]}}')[0]!,
      /apiVersion/,
    )
  })

  it('may be lists, and several in a file', () => {
    const list = `kind: List\nitems:\n- {apiVersion: v1, kind: Namespace, metadata: {name: a}}\n- {apiVersion: v1, kind: Namespace, metadata: {name: b}}\n---\n# nothing\n---\n{apiVersion: v1, kind: Namespace, metadata: {name: c}}\n`
    const { documents, errors } = parseText(list)
    assert.deepEqual(errors, [])
    assert.deepEqual(
      documents.map((document) => {
        const decoded = decode(document, 'k8s')
        return decoded.ok ? idOf(decoded.item) : ''
      }),
      ['Namespace a', 'Namespace b', 'Namespace c'],
    )
  })

  it('don’t let an alias bomb through', () => {
    const bomb = [
      'a: &a [x,x,x,x,x,x,x,x,x,x]',
      ...'bcdefghi'.split('').map((c, i) => `${c}: &${c} [${Array(9).fill(`*${'abcdefgh'[i]}`)}]`),
    ].join('\n')
    assert.match(parseText(bomb).errors[0]!, /is not YAML: Excessive alias count/)
  })

  it('never throw, whatever the text', () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.string(), fc.json(), fc.string({ unit: fc.constantFrom(...'{}[]:,-"\n &*!|>a1') })),
        (text) => {
          for (const document of parseText(text).documents) decode(document, 'k8s')
        },
      ),
      { numRuns: 1000 },
    )
    fc.assert(
      fc.property(
        fc.constantFrom('Namespace', 'VirtualNetwork', 'IPAMBlock', 'VirtualMachineInterface', 'VirtualRouter'),
        fc.object(),
        (kind, rest) => {
          assert.ok(!decode({ ...rest, kind, metadata: rest['metadata'] ?? 7 }, 'k8s').ok)
        },
      ),
    )
  })
})

const name = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?$/)
const vn = fc.tuple(name, name).map(([project, last]) => `default-domain:${project}:${last}`)
const label = fc.integer({ min: 16, max: 1_048_575 })
const published: fc.Arbitrary<Published> = fc.oneof(
  fc
    .record({ name, vn, cidr: fc.constantFrom('10.1.0.0/26', 'fd00::40/122'), node: name }, { noNullPrototype: true })
    .map((object) => ({ kind: 'IPAMBlock' as const, object })),
  fc
    .record(
      {
        name,
        namespace: name,
        uuid: fc.uuid(),
        vn,
        node: name,
        pod: fc.record({ name, uid: fc.uuid() }, { noNullPrototype: true }),
        containerId: fc.stringMatching(/^[0-9a-f]{64}$/),
        ifname: fc.constantFrom('eth0', 'net1'),
        mac: fc.constant('02:00:5e:10:00:01'),
        addresses: fc.constantFrom(['10.1.0.5'], ['10.1.0.5', 'fd00::41']),
        label,
      },
      { noNullPrototype: true },
    )
    .map((object) => ({ kind: 'VirtualMachineInterface' as const, object })),
  fc
    .record(
      {
        name,
        address: fc.constantFrom('192.0.2.11', '192.0.2.12'),
        encapsulations: fc.constant(['MPLSoUDP' as const]),
        vrfLabels: fc.dictionary(vn, label, { noNullPrototype: true }),
        vhostLabel: label,
        serviceLabel: label,
      },
      { noNullPrototype: true, requiredKeys: ['name', 'address', 'encapsulations', 'vrfLabels', 'vhostLabel'] },
    )
    .map((object) => ({ kind: 'VirtualRouter' as const, object })),
)

describe('what is published', () => {
  it('is read back as it was, from text that is YAML too', () => {
    fc.assert(
      fc.property(published, (one) => {
        const text = textOf(one)
        const decoded = decode(parseText(text).documents[0], 'k8s')
        assert.ok(decoded.ok, JSON.stringify(decoded))
        assert.deepEqual({ kind: decoded.item.kind, object: decoded.item.object }, one)
        assert.deepEqual(parseText(`# not JSON any more\n${text}`).documents, parseText(text).documents)
        assert.match(fileName(one.kind, one.object.name), /^[A-Za-z]+-[a-z0-9-]+\.yaml$/)
      }),
    )
  })

  it('stays inside its folder, whatever its name', () => {
    assert.ok(!fileName('IPAMBlock', '../../etc/passwd').includes('/'))
  })
})
