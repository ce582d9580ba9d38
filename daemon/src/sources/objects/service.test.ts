import assert from 'node:assert/strict'
import type { EndpointSlice, Service } from '../../model/objects.ts'
import { parseText } from '../directory/documents.ts'
import { decode, idOf } from './decode.ts'
import { sloppyAddress, sloppyCidr } from './sloppy-address.ts'

function decoded(text: string) {
  return decode(parseText(text).documents[0], 'k8s')
}

/** `field (value) message` of what is wrong; none: it is ignored or accepted. */
function issues(text: string): string[] {
  const result = decoded(text)
  return result.ok ? [] : result.issues.map(({ field, value, message }) => `${field} (${value}) ${message}`)
}

const isIgnored = (text: string) => {
  const result = decoded(text)
  return !result.ok && result.isIgnored === true
}

const serviceText = (spec: string, more = '', metadata = '') =>
  `{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop${metadata}}, spec: ${spec}${more}}`

function service(spec: string, more = '', metadata = ''): Service {
  const result = decoded(serviceText(spec, more, metadata))
  assert.ok(result.ok && result.item.kind === 'Service', JSON.stringify(result))
  return result.item.object
}

describe('Services', () => {
  it('are read with all that a proxy needs, and the defaults of Kubernetes', () => {
    assert.deepEqual(service('{clusterIP: 10.96.0.7, ports: [{port: 80}]}', '', ', uid: u1'), {
      namespace: 'shop',
      name: 'web',
      uid: 'u1',
      type: 'ClusterIP',
      clusterIps: ['10.96.0.7'],
      ports: [{ name: '', protocol: 'TCP', port: 80 }],
      externalIps: [],
      loadBalancerIps: [],
      sourceRanges: [],
      internalTrafficPolicy: 'Cluster',
      externalTrafficPolicy: 'Cluster',
    })
    const whole = service(
      '{type: LoadBalancer, clusterIP: "FD00:96::7", clusterIPs: ["FD00:96::7", 10.96.0.7], ' +
        'ipFamilies: [IPv6, IPv4], ipFamilyPolicy: RequireDualStack, selector: {app: web}, trafficDistribution: PreferSameZone, ' +
        'ports: [{name: http, port: 80, targetPort: http, nodePort: 30080, appProtocol: http}, {name: dns, protocol: UDP, port: 80, nodePort: 0}], ' +
        'externalIPs: [192.0.2.9], loadBalancerSourceRanges: [" 10.1.2.3/8"], internalTrafficPolicy: Local, ' +
        'externalTrafficPolicy: Local, healthCheckNodePort: 31000, sessionAffinity: ClientIP, ' +
        'sessionAffinityConfig: {clientIP: {timeoutSeconds: 60}}, publishNotReadyAddresses: true, allocateLoadBalancerNodePorts: false}',
      ', status: {loadBalancer: {ingress: [{ip: 192.0.2.1}, {ip: 192.0.2.2, ipMode: VIP}, {ip: 192.0.2.3, ipMode: Proxy}, {hostname: lb.example}]}}',
    )
    assert.equal(whole.type, 'LoadBalancer')
    assert.deepEqual(whole.clusterIps, ['fd00:96::7', '10.96.0.7'])
    assert.deepEqual(whole.ports, [
      { name: 'http', protocol: 'TCP', port: 80, nodePort: 30080 },
      { name: 'dns', protocol: 'UDP', port: 80 },
    ])
    assert.deepEqual(whole.externalIps, ['192.0.2.9'])
    assert.deepEqual(whole.loadBalancerIps, ['192.0.2.1', '192.0.2.2'])
    assert.deepEqual(whole.sourceRanges, ['10.0.0.0/8'])
    assert.deepEqual([whole.internalTrafficPolicy, whole.externalTrafficPolicy], ['Local', 'Local'])
    assert.deepEqual([whole.affinitySeconds, whole.healthCheckNodePort], [60, 31000])
    const affine = service('{clusterIP: 10.96.0.7, sessionAffinity: ClientIP}')
    assert.equal(affine.affinitySeconds, 10_800)
  })

  it('without an address of their own, or for another proxy, are none of ours', () => {
    for (const text of [
      serviceText('{clusterIP: None, ports: [{port: 80}]}'),
      serviceText('{clusterIPs: [None]}'),
      serviceText('{type: ExternalName, externalName: a.example}'),
      serviceText('{clusterIP: 10.96.0.7}', '', ', labels: {service.kubernetes.io/service-proxy-name: other}'),
      serviceText('{clusterIP: 10.96.0.7}', '', ', labels: {service.kubernetes.io/service-proxy-name: ""}'),
      serviceText('{clusterIP: 10.96.0.7}', '', ', labels: {service.kubernetes.io/headless: ""}'),
    ])
      assert.ok(isIgnored(text), text)
  })

  it('of another type have no node ports and no load balancer’s address', () => {
    const left = service(
      '{type: ClusterIP, clusterIP: 10.96.0.7, ports: [{port: 80, nodePort: 30080}]}',
      ', status: {loadBalancer: {ingress: [{ip: 192.0.2.1}]}}',
    )
    assert.deepEqual([left.ports[0]!.nodePort, left.loadBalancerIps], [undefined, []])
  })

  it('say which field of which value is wrong, and the remedy', () => {
    const ip = 'clusterIP: 10.96.0.7'
    for (const [spec, issue] of [
      ['{ports: [{port: 80}]}', /^spec\.clusterIP .* is required: an address of a ServiceCIDR, or None/],
      ['{clusterIP: 10.96.0}', /^spec\.clusterIPs\[0\] \("10\.96\.0"\) is not an IPv4 or IPv6 address/],
      ['{clusterIPs: [10.96.0.7, 10.96.0.8]}', /^spec\.clusterIPs\[1\] .* is of the family of 10\.96\.0\.7/],
      [`{${ip}, ports: [{}]}`, /^spec\.ports\[0\]\.port .* is required/],
      [`{${ip}, ports: [{port: 70000}]}`, /^spec\.ports\[0\]\.port \(70000\) must be <= 65535/],
      [`{${ip}, port: 80}`, /^spec\.port \(80\) unknown field; did you mean ports\?/],
      [`{${ip}, ports: [{port: 80, protocol: tcp}]}`, /must be one of TCP, UDP, SCTP; did you mean TCP\?/],
      [`{${ip}, ports: [{port: 80}, {port: 81, name: b}]}`, /^spec\.ports\[0\]\.name .* is required where there are/],
      [
        `{${ip}, ports: [{port: 80, name: a}, {port: 81, name: a}]}`,
        /^spec\.ports\[1\]\.name \("a"\) is the name of spec\.ports\[0\] too/,
      ],
      [
        `{${ip}, ports: [{port: 80, name: a}, {port: 80, name: b}]}`,
        /^spec\.ports\[1\]\.port \(80\) is the TCP port of spec\.ports\[0\] too/,
      ],
      [`{${ip}, externalIPs: [127.0.0.1]}`, /^spec\.externalIPs\[0\] \("127\.0\.0\.1"\) is a loopback address/],
      [`{${ip}, externalIPs: ["fe80::1"]}`, /is a link-local address/],
      [`{${ip}, loadBalancerSourceRanges: [10.0.0.0]}`, /^spec\.loadBalancerSourceRanges\[0\] .* is not a CIDR/],
      [`{${ip}, sessionAffinity: Client}`, /did you mean ClientIP\?/],
    ] as const)
      assert.match(issues(serviceText(spec))[0] ?? 'accepted', issue, spec)
  })

  it('have addresses in one spelling, whatever an API server of former years let in', () => {
    const known = service('{clusterIP: 010.096.000.007, externalIPs: ["192.0.02.9", "192.0.2.9"]}')
    assert.deepEqual([known.clusterIps, known.externalIps], [['10.96.0.7'], ['192.0.2.9']])
    for (const [text, address] of [
      ['10.0.0.1', '10.0.0.1'],
      ['010.000.00.1', '10.0.0.1'],
      ['::ffff:10.0.0.01', '10.0.0.1'],
      ['64:ff9b::010.0.0.1', '64:ff9b::a00:1'],
      ['FD00:0:0::0A', 'fd00::a'],
      ['0010.0.0.1', '10.0.0.1'],
      ['10.0.0.256', undefined],
      ['10.0.0', undefined],
      ['', undefined],
    ] as const)
      assert.equal(sloppyAddress(text), address, text)
    for (const [text, cidr] of [
      [' 10.1.2.3/08\t', '10.0.0.0/8'],
      ['010.0.0.0/8', '10.0.0.0/8'],
      ['fd00:1::5/64', 'fd00:1::/64'],
      ['::ffff:10.1.0.0/112', '10.1.0.0/16'],
      ['0.0.0.0/0', '0.0.0.0/0'],
      ['10.0.0.0', undefined],
      ['10.0.0.0/33', undefined],
      ['10.0.0.0/8/8', undefined],
    ] as const)
      assert.equal(sloppyCidr(text), cidr, text)
  })
})

const sliceText = (body: string, labels = 'kubernetes.io/service-name: web', type = 'IPv4') =>
  `{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: web-x, namespace: shop, labels: {${labels}}}, addressType: ${type}, ${body}}`

function slice(body: string, type = 'IPv4'): EndpointSlice {
  const result = decoded(sliceText(body, undefined, type))
  assert.ok(result.ok && result.item.kind === 'EndpointSlice', JSON.stringify(result))
  assert.equal(idOf(result.item), 'EndpointSlice shop/web-x')
  return result.item.object
}

describe('EndpointSlices', () => {
  it('are read with what isn’t said as Kubernetes means it', () => {
    assert.deepEqual(slice('ports: [{port: 8080}], endpoints: [{addresses: [010.1.0.5, 10.1.0.6]}]'), {
      namespace: 'shop',
      name: 'web-x',
      service: 'web',
      family: 4,
      ports: [{ name: '', protocol: 'TCP', port: 8080 }],
      endpoints: [{ address: '10.1.0.5', isReady: true, isServing: true, isTerminating: false }],
    })
    const { ports, endpoints } = slice(
      'ports: [{name: a, port: 1, protocol: UDP}, {name: all}], endpoints: [' +
        '{addresses: ["FD00::5"], conditions: {ready: false, serving: true, terminating: true}, nodeName: n1, zone: z1, ' +
        'hints: {forZones: [{name: z1}], forNodes: [{name: n1}]}, targetRef: {kind: Pod, namespace: shop, name: web-0, uid: u}}, ' +
        '{addresses: ["fd00::6"], conditions: {}, targetRef: {kind: Pod, namespace: other, name: web-1}}, ' +
        '{addresses: ["fd00::7"], conditions: {ready: false}, targetRef: {kind: Node, name: n1}, hints: {}}]',
      'IPv6',
    )
    assert.deepEqual(ports, [{ name: 'a', protocol: 'UDP', port: 1 }])
    assert.deepEqual(endpoints, [
      {
        ...{ address: 'fd00::5', isReady: false, isServing: true, isTerminating: true, node: 'n1', zone: 'z1' },
        ...{ hintedZones: ['z1'], hintedNodes: ['n1'], pod: 'web-0' },
      },
      { address: 'fd00::6', isReady: true, isServing: true, isTerminating: false },
      { address: 'fd00::7', isReady: false, isServing: true, isTerminating: false },
    ])
    assert.deepEqual(slice('ports: null, endpoints: null').endpoints, [])
  })

  it('of no Service, of one that isn’t served, or of names, are none of ours', () => {
    const labels = 'kubernetes.io/service-name: web'
    for (const text of [
      sliceText('endpoints: []', ''),
      sliceText('endpoints: []', 'multicluster.kubernetes.io/service-name: web'),
      sliceText('endpoints: []', `${labels}, service.kubernetes.io/headless: ""`),
      sliceText('endpoints: []', `${labels}, service.kubernetes.io/service-proxy-name: x`),
      sliceText('endpoints: [{addresses: [a.example]}]', labels, 'FQDN'),
    ])
      assert.ok(isIgnored(text), text)
  })

  it('say which field of which value is wrong, and the remedy', () => {
    for (const [body, issue] of [
      ['endpoints: [{addresses: []}]', /^endpoints\[0\]\.addresses \(\[\]\) must have at least 1 item/],
      ['endpoints: [{addresses: ["fd00::1"]}]', /^endpoints\[0\]\.addresses\[0\] \("fd00::1"\) is not IPv4, as/],
      ['endpoints: [{addresses: [a]}]', /^endpoints\[0\]\.addresses\[0\] \("a"\) is not an IPv4 or IPv6 address/],
      [
        'endpoints: [{addresses: [169.254.169.254]}]',
        /is a link-local address: give one that others can be reached at/,
      ],
      ['endpoint: []', /unknown field; did you mean endpoints\?/],
      ['ports: [{port: 80, protocol: tcp}]', /^ports\[0\]\.protocol \("tcp"\) must be one of/],
    ] as const)
      assert.match(issues(sliceText(body))[0] ?? 'accepted', issue, body)
  })
})

describe('ServiceCIDRs', () => {
  it('are read as ranges, and refused when they are none', () => {
    const text = (cidrs: string) =>
      `{apiVersion: networking.k8s.io/v1, kind: ServiceCIDR, metadata: {name: more}, spec: {cidrs: ${cidrs}}}`
    const result = decoded(text('[10.96.0.0/12, "FD00:96::/108"]'))
    assert.ok(result.ok)
    assert.equal(idOf(result.item), 'ServiceCIDR more')
    assert.deepEqual(result.item.object, { name: 'more', cidrs: ['10.96.0.0/12', 'fd00:96::/108'] })
    assert.match(issues(text('[10.96.0.0]'))[0]!, /^spec\.cidrs\[0\] \("10\.96\.0\.0"\) is not a CIDR/)
  })
})
