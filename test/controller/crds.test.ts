/**
 * The CRDs: the API server must refuse what the daemons would set aside and take what they understand. Field by field against the schemas of the
 * manifests, and value by value on a real kube-apiserver.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { API_VERSIONS, decode, type Kind, SCHEMAS } from '@kube-vrouter/daemon/sources/objects/decode'
import { parse } from 'yaml'
import { ApiServer, CRDS, skipWithoutApiServer } from './api-server.ts'

interface Schema {
  readonly type?: string
  readonly description?: string
  readonly properties?: Readonly<Record<string, Schema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: boolean | Schema
  readonly items?: Schema
  readonly enum?: readonly string[]
  readonly format?: string
  readonly pattern?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly minItems?: number
  readonly maxItems?: number
  readonly propertyNames?: object
  readonly 'x-kubernetes-validations'?: readonly { readonly rule: string }[]
}

interface Crd {
  readonly metadata: { readonly name: string }
  readonly spec: {
    readonly scope: string
    readonly names: {
      readonly kind: string
      readonly shortNames: readonly string[]
      readonly categories: readonly string[]
    }
    readonly versions: readonly {
      readonly schema: { readonly openAPIV3Schema: Schema }
      readonly subresources: object
    }[]
  }
}

const crds = readdirSync(CRDS).map((file) => parse(readFileSync(join(CRDS, file), 'utf8')) as Crd)
const schemaOf = (kind: string) =>
  crds.find((crd) => crd.spec.names.kind === kind)!.spec.versions[0]!.schema.openAPIV3Schema

/** How the CRDs say the formats of the manifests' schemas: by pattern, or by a rule whose text holds this. */
const FORMATS: Readonly<Record<string, readonly string[]>> = {
  ip: ['isIP(self)'],
  cidr: ['isCIDR(self)', 'cidr(self) == cidr(self).masked()'],
  'address-range': ['isCIDR(self)', 'isIP(one)', 'cidr(self) == cidr(self).masked()', '.family() =='],
  mac: ['^([0-9a-f]{2}:){5}[0-9a-f]{2}$'],
  uuid: ['^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$'],
  'fq-name': ['^[^:\\s]+:[^:\\s]+:[^:\\s]+$'],
  'dns-name': ['^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$'],
}

/** Differences between the schema of a manifest and that of the CRD. */
function differences(path: string, ours: Schema, theirs: Schema): string[] {
  const found: string[] = []
  const same = (what: string, a: unknown, b: unknown) => {
    if (JSON.stringify(a) !== JSON.stringify(b))
      found.push(`${path} ${what}: ${JSON.stringify(a)} and ${JSON.stringify(b)}`)
  }
  same('type', ours.type ?? 'string', theirs.type)
  same('required', [...(ours.required ?? [])].sort(), [...(theirs.required ?? [])].sort())
  same('enum', ours.enum, theirs.enum)
  for (const bound of ['minimum', 'maximum', 'minLength', 'minItems'] as const) same(bound, ours[bound], theirs[bound])
  // The API server wants bounds where it computes the cost of rules.
  if (ours.maxLength !== undefined) same('maxLength', ours.maxLength, theirs.maxLength)
  for (const needed of ours.format === undefined ? [] : FORMATS[ours.format]!) {
    const rules = (theirs['x-kubernetes-validations'] ?? []).map(({ rule }) => rule.replaceAll('\\\\', '\\'))
    if (![theirs.pattern ?? '', ...rules].some((text) => text.includes(needed)))
      found.push(`${path}: nothing says ${needed}`)
  }
  if (theirs.description === undefined && !/(\[\]|\{\})$/.test(path)) found.push(`${path}: has no description`)
  same('fields', Object.keys(ours.properties ?? {}).sort(), Object.keys(theirs.properties ?? {}).sort())
  for (const [name, schema] of Object.entries(ours.properties ?? {})) {
    const other = theirs.properties?.[name]
    if (other !== undefined) found.push(...differences(`${path}.${name}`, schema, other))
  }
  if (ours.items !== undefined) found.push(...differences(`${path}[]`, ours.items, theirs.items ?? {}))
  if (typeof ours.additionalProperties === 'object') {
    found.push(...differences(`${path}{}`, ours.additionalProperties, theirs.additionalProperties as Schema))
  }
  return found
}

describe('the CRDs', () => {
  const kinds = (Object.keys(SCHEMAS) as Kind[]).filter((kind) => API_VERSIONS[kind].startsWith('vrouter.dev/'))

  it('are one for each kind of manifest, with short names, the category and a status', () => {
    assert.deepEqual(crds.map((crd) => crd.spec.names.kind).sort(), [...kinds].sort())
    const names = Object.fromEntries(
      crds.map(({ spec: { names, scope } }) => [names.kind, [names.shortNames[0], scope]]),
    )
    assert.deepEqual(names, {
      IPAMBlock: ['ib', 'Cluster'],
      LoadBalancerPool: ['lbp', 'Cluster'],
      VirtualMachineInterface: ['vmi', 'Namespaced'],
      VirtualNetwork: ['vn', 'Namespaced'],
      VirtualNetworkRouter: ['vnr', 'Namespaced'],
      VirtualRouter: ['vr', 'Cluster'],
    })
    for (const { spec } of crds) {
      assert.deepEqual(spec.names.categories, ['vrouter'])
      assert.deepEqual(spec.versions[0]!.subresources, { status: {} })
    }
  })

  for (const kind of kinds) {
    it(`say of a ${kind} what the schema of its manifest says`, () => {
      const ours = (SCHEMAS[kind].json as Schema).properties!['spec']!
      assert.deepEqual(differences('spec', ours, schemaOf(kind).properties!['spec']!), [])
    })
  }

  it('hold no template: the chart and the release take them as they are', () => {
    for (const file of readdirSync(CRDS)) assert.doesNotMatch(readFileSync(join(CRDS, file), 'utf8'), /\{\{/)
  })
})

interface Manifest {
  readonly kind: string
  readonly spec: object
}

const network = <T extends object>(spec: T, name = 'red') => ({
  apiVersion: API_VERSIONS.VirtualNetwork,
  kind: 'VirtualNetwork',
  metadata: { name, namespace: 'default' },
  spec,
})
const subnets = (...list: object[]) => ({ subnets: list })
const vmiSpec = {
  uuid: '6ba7b810-9dad-11d1-80b4-00c04fd430c8',
  network: 'default-domain:k8s-default:red',
  node: 'n1',
  pod: { name: 'web', uid: '11111111-1111-1111-1111-111111111111' },
  containerId: 'c1',
  interface: 'eth0',
  mac: '02:00:00:00:00:01',
  addresses: ['10.1.0.5', 'fd00::5'],
  label: 17,
}
const object = (kind: Kind, spec: object, name = 'x') => ({
  apiVersion: API_VERSIONS[kind],
  kind,
  metadata: { name, ...(/Network|Interface/.test(kind) && { namespace: 'default' }) },
  spec,
})
const vrSpec = { address: '192.0.2.1', encapsulations: ['MPLSoUDP'], vrfLabels: { 'a:b:c': 20 }, vhostLabel: 16 }
const vnrSpec = { type: 'hub', virtualNetworkSelector: { matchLabels: { a: 'b' } } }
const selector = (expression: object) => ({ ...vnrSpec, virtualNetworkSelector: { matchExpressions: [expression] } })

/** Objects and what the API server must say of them; undefined: nothing, it takes them. */
const cases: readonly (readonly [object: Manifest, message: string | undefined])[] = [
  [network(subnets({ cidr: '10.1.0.0/16' }, { cidr: 'fd00:1::/64' })), undefined],
  [network(subnets({ cidr: '10.1.0.0/16', gateway: '10.1.0.254', service: '10.1.0.253' })), undefined],
  [network(subnets({ cidr: '10.1.0.0/16', gateway: '10.1.0.2', service: '10.1.0.1' })), undefined],
  [network(subnets({ cidr: '10.1.0.0/29', gateway: '10.1.0.6' })), undefined],
  [network(subnets({ cidr: '10.1.0.0/16', gateway: '10.1.0.255' })), undefined],
  [
    network({
      ...subnets({ cidr: '10.1.0.0/16' }),
      blockSize4: 24,
      blockSize6: 120,
      fqName: 'a:b:c',
      fabricSNAT: true,
    }),
    undefined,
  ],
  [network({ ...subnets({ cidr: '10.1.0.0/16' }), virtualNetworkNetworkID: 4096 }), undefined],
  [network({}), 'spec.subnets: Required value'],
  [network({ subnets: [] }), 'spec.subnets in body should have at least 1 items'],
  [network({ ...subnets({ cidr: '10.1.0.0/16' }), subnet: [] }), 'unknown field "spec.subnet"'],
  [
    network(subnets({ cidr: '10.1.0.0' })),
    'spec.subnets[0].cidr: Invalid value: "string": "10.1.0.0" is not a CIDR such as 10.1.0.0/16 or fd00:1::/64',
  ],
  [network(subnets({ cidr: '10.01.0.0/16' })), 'is not a CIDR such as'],
  [network(subnets({ cidr: '10.1.0.9/16' })), 'is not a network: its host bits must be zero'],
  [network(subnets({ cidr: '10.1.0.0/30' })), 'is too small for pods: at most /29 (IPv4) or /125 (IPv6)'],
  [network(subnets({ cidr: 'fd00::/126' })), 'is too small for pods: at most /29 (IPv4) or /125 (IPv6)'],
  [
    network(subnets({ cidr: '10.1.0.0/16', gateway: '10.2.0.1' })),
    'spec.subnets[0].gateway: Invalid value: "object": lies outside the subnet 10.1.0.0/16: choose an address inside it',
  ],
  [network(subnets({ cidr: '10.1.0.0/16', gateway: 'fd00::1' })), 'lies outside the subnet 10.1.0.0/16'],
  [
    network(subnets({ cidr: 'fd00::/64', service: 'fd00:0:0:1::1' })),
    'spec.subnets[0].service: Invalid value: "object": lies outside',
  ],
  [
    network(subnets({ cidr: '10.1.0.0/16', gateway: 'gw' })),
    'spec.subnets[0].gateway: Invalid value: "string": "gw" is not an IPv4 or IPv6 address',
  ],
  [
    network(subnets({ cidr: '10.1.0.0/16', gateway: '10.1.255.255' })),
    'is the network or broadcast address of 10.1.0.0/16: choose another',
  ],
  [
    network(subnets({ cidr: '10.1.0.0/29', service: '10.1.0.7' })),
    'is the network or broadcast address of 10.1.0.0/29: choose another',
  ],
  [network(subnets({ cidr: '10.1.0.0/16', service: '10.1.0.0' })), 'is the network or broadcast address'],
  [network(subnets({ cidr: 'fd00::/64', gateway: 'fd00::' })), 'is the network or broadcast address'],
  [
    network(subnets({ cidr: '10.1.0.0/16', gateway: '10.1.0.5', service: '10.1.0.5' })),
    "is the gateway's address too: give the service address another",
  ],
  [
    network(subnets({ cidr: '10.1.0.0/16', gateway: '10.1.0.2' })),
    'is the service address too (the second host address',
  ],
  [network(subnets({ cidr: 'fd00::/64', gateway: 'fd00::2' })), 'is the service address too (the second host address'],
  [
    network(subnets({ cidr: '10.1.0.0/16', service: '10.1.0.1' })),
    "is the gateway's address too (the first host address",
  ],
  [network(subnets({ cidr: '10.1.0.0/16' }, { cidr: '10.1.4.0/24' })), 'overlap: subnets of one network must not'],
  [
    network(subnets({ cidr: 'fd00:1::/48' }, { cidr: '10.1.0.0/16' }, { cidr: 'fd00:1:0:1::/64' })),
    'overlap: subnets of one network must not',
  ],
  [network(subnets({ cidr: '10.1.0.0/16' }, { cidr: '10.1.0.0/16' })), 'Duplicate value'],
  [network({ ...subnets({ cidr: '10.1.0.0/16' }), blockSize4: 31 }), 'should be less than or equal to 30'],
  [network({ ...subnets({ cidr: '10.1.0.0/16' }), fqName: 'red' }), 'is not an FQ name <domain>:<project>:<name>'],
  [
    network({ ...subnets({ cidr: '10.1.0.0/16' }), virtualNetworkNetworkID: 4095 }),
    'should be greater than or equal to 4096',
  ],
  [
    network({ ...subnets({ cidr: '10.1.0.0/16' }), virtualNetworkNetworkID: 16777216 }),
    'should be less than or equal to 16777215',
  ],
  [object('IPAMBlock', { network: 'a:b:c', cidr: '10.1.0.64/26', node: 'n1' }), undefined],
  [object('IPAMBlock', { network: 'a:b', cidr: '10.1.0.64/26', node: 'n1' }), 'spec.network in body should match'],
  [object('IPAMBlock', { network: 'a:b:c', cidr: '10.1.0.65/26', node: 'n1' }), 'its host bits must be zero'],
  [object('IPAMBlock', { network: 'a:b:c', cidr: '10.1.0.64/26', node: 'N1' }), 'spec.node in body should match'],
  [object('VirtualMachineInterface', vmiSpec), undefined],
  [object('VirtualMachineInterface', { ...vmiSpec, pod: { name: 'web', uid: '' } }), undefined],
  [object('VirtualMachineInterface', { ...vmiSpec, addresses: [] }), 'should have at least 1 items'],
  [
    object('VirtualMachineInterface', { ...vmiSpec, addresses: ['10.1.0'] }),
    'spec.addresses[0]: Invalid value: "string": "10.1.0" is not an IPv4 or IPv6 address',
  ],
  [object('VirtualMachineInterface', { ...vmiSpec, label: 3 }), 'should be greater than or equal to 16'],
  [object('VirtualMachineInterface', { ...vmiSpec, mac: '02:00:00:00:00:0G' }), 'spec.mac in body should match'],
  [object('VirtualMachineInterface', { ...vmiSpec, interface: 'sixteenletters16' }), 'Too long'],
  [object('VirtualMachineInterface', { ...vmiSpec, uuid: '1' }), 'spec.uuid in body should match'],
  [object('VirtualRouter', vrSpec), undefined],
  [object('VirtualRouter', { ...vrSpec, address6: 'fd00::1', vrfLabels: {} }), undefined],
  [object('VirtualRouter', { ...vrSpec, address: 'fd00::1' }), 'must be IPv4: the underlay is IPv4'],
  [object('VirtualRouter', { ...vrSpec, address6: '192.0.2.2' }), 'must be IPv6'],
  [object('VirtualRouter', { ...vrSpec, encapsulations: ['GENEVE'] }), 'supported values: "MPLSoUDP", "VXLAN"'],
  [object('VirtualRouter', { ...vrSpec, vrfLabels: { 'a:b:c': 5 } }), 'should be greater than or equal to 16'],
  [object('VirtualNetworkRouter', vnrSpec), undefined],
  [
    object('VirtualNetworkRouter', {
      ...vnrSpec,
      import: {
        virtualNetworkRouters: [{ virtualNetworkRouterSelector: {}, namespaceSelector: { matchLabels: { a: 'b' } } }],
      },
    }),
    undefined,
  ],
  [object('VirtualNetworkRouter', selector({ key: 'a', operator: 'In', values: ['b'] })), undefined],
  [object('VirtualNetworkRouter', { ...vnrSpec, type: 'star' }), 'supported values: "mesh", "hub", "spoke"'],
  [
    object('VirtualNetworkRouter', selector({ key: 'a', operator: 'In' })),
    'must name at least one value with In and NotIn',
  ],
  [
    object('VirtualNetworkRouter', selector({ key: 'a', operator: 'Exists', values: ['b'] })),
    'none with Exists and DoesNotExist',
  ],
  [
    object('LoadBalancerPool', {
      addresses: ['192.0.2.64/28', '192.0.2.10-192.0.2.20', '2001:db8::/120', '2001:db8:1::1-2001:db8:1::9'],
      namespaceSelector: { matchLabels: { team: 'shop' } },
      ...{ autoAssign: false, isDefault: true },
    }),
    undefined,
  ],
  [object('LoadBalancerPool', { addresses: [] }), 'should have at least 1 items'],
  [object('LoadBalancerPool', { addresses: ['192.0.2.64/28'], default: true }), 'unknown field "spec.default"'],
  [
    object('LoadBalancerPool', { addresses: ['192.0.2.1'] }),
    'spec.addresses[0]: Invalid value: "string": "192.0.2.1" is neither a CIDR such as 192.0.2.64/28 nor a range such as',
  ],
  [object('LoadBalancerPool', { addresses: ['192.0.2.1-192.0.2.2-192.0.2.3'] }), 'is neither a CIDR'],
  [object('LoadBalancerPool', { addresses: ['192.0.2.1-20'] }), 'is neither a CIDR'],
  [object('LoadBalancerPool', { addresses: ['192.0.2.65/28'] }), 'is not a network: its host bits must be zero'],
  [object('LoadBalancerPool', { addresses: ['192.0.2.1-2001:db8::1'] }), 'goes from one family to the other'],
  [
    object('LoadBalancerPool', {
      addresses: ['192.0.2.64/28'],
      namespaceSelector: { matchExpressions: [{ key: 'a', operator: 'In' }] },
    }),
    'must name at least one value with In and NotIn',
  ],
]

describe('the CRDs on a real API server', function () {
  this.timeout(120_000)
  let api: ApiServer

  before(async function () {
    skipWithoutApiServer(this)
    api = await ApiServer.start()
    await api.installCrds()
  })
  after(async () => api?.[Symbol.asyncDispose]())

  /** What the API server says of an object: undefined when it takes it. */
  const verdict = async (verb: 'create' | 'replace', one: object) => {
    const { status, stderr } = await api.kubectl([verb, '--dry-run=server', '-f', '-'], { input: JSON.stringify(one) })
    return status === 0 ? undefined : stderr
  }

  it('refuse what daemons would set aside, and say why; take what daemons understand', async () => {
    const wrong: string[] = []
    const judge = async ([one, message]: (typeof cases)[number]) => {
      const said = await verdict('create', one)
      const what = `${one.kind} ${JSON.stringify(one.spec)}`
      if (message === undefined ? said !== undefined : !said?.includes(message))
        wrong.push(`${what}: ${said ?? 'taken'}`)
      const decoded = decode(one, 'k8s')
      if (decoded.ok !== (message === undefined)) wrong.push(`${what}: daemons ${decoded.ok ? 'take' : 'refuse'} it`)
    }
    for (let i = 0; i < cases.length; i += 4) await Promise.all(cases.slice(i, i + 4).map(judge))
    assert.deepEqual(wrong, [])
  })

  it('let nobody change what pods rest on', async () => {
    const red = network(
      { ...subnets({ cidr: '10.1.0.0/16', gateway: '10.1.0.9' }, { cidr: 'fd00::/64' }), blockSize4: 26 },
      'rest',
    )
    await api.apply(red, object('IPAMBlock', { network: 'a:b:c', cidr: '10.1.0.64/26', node: 'n1' }, 'block'))
    await api.apply(object('VirtualMachineInterface', vmiSpec, 'vmi'))
    const changed = async (one: object, message: string | undefined) => {
      const said = await verdict('replace', one)
      assert.equal(said?.includes(message ?? '') ?? false, message !== undefined, `${JSON.stringify(one)}: ${said}`)
    }
    const spec = (more: object) => network({ ...red.spec, ...more }, 'rest')
    const [v4, v6] = red.spec.subnets as [object, object]
    await changed(spec({ subnets: [v6, v4, { cidr: '10.2.0.0/16' }] }), undefined)
    await changed(spec({ fabricSNAT: false, virtualNetworkNetworkID: 5000 }), undefined)
    await changed(spec({ subnets: [v4] }), 'no longer holds a subnet that it had')
    await changed(spec({ subnets: [{ cidr: '10.0.0.0/15' }, v6] }), 'no longer holds a subnet that it had')
    await changed(spec({ subnets: [{ cidr: '10.1.0.0/16' }, v6] }), 'pods have their default route through it')
    await changed(spec({ subnets: [{ ...v4, service: '10.1.0.8' }, v6] }), 'pods may hold the address of the old one')
    await changed(spec({ blockSize4: 25 }), 'nodes cut blocks of that size')
    await changed(spec({ blockSize6: 121 }), 'nodes cut blocks of that size')
    // The default, written out, is no change.
    await changed(spec({ blockSize6: 122 }), undefined)
    await changed(spec({ fqName: 'a:b:c' }), "it is the network's identity")
    await changed(
      object('IPAMBlock', { network: 'a:b:c', cidr: '10.1.0.64/26', node: 'n2' }, 'block'),
      'pods hold its addresses',
    )
    for (const field of ['uuid', 'network', 'containerId'] as const) {
      const other = { uuid: '6ba7b810-9dad-11d1-80b4-00c04fd430c9', network: 'a:b:c', containerId: 'c2' }[field]
      await changed(
        object('VirtualMachineInterface', { ...vmiSpec, [field]: other }, 'vmi'),
        `spec.${field}: Forbidden: can't change`,
      )
    }
    await changed(
      object('VirtualMachineInterface', { ...vmiSpec, label: 18, mac: '02:00:00:00:00:02' }, 'vmi'),
      undefined,
    )
  })

  it('show an operator what he needs', async () => {
    await api.apply(object('VirtualRouter', vrSpec, 'n1'), object('VirtualNetworkRouter', vnrSpec, 'hub'))
    const columns = async (kind: string, ...more: string[]) => {
      return (await api.run(['get', kind, ...more])).split('\n')[0]!.trim().split(/ {2,}/)
    }
    assert.deepEqual(await columns('vn'), ['NAME', 'SUBNETS', 'VNI', 'STATE', 'PODS', 'AGE'])
    assert.deepEqual(await columns('vmi'), ['NAME', 'POD', 'NETWORK', 'NODE', 'ADDRESS', 'ADDRESS2', 'MAC', 'AGE'])
    assert.deepEqual(await columns('vr'), ['NAME', 'ADDRESS', 'ENCAP', 'READY', 'AGE'])
    assert.deepEqual(await columns('vnr'), ['NAME', 'TYPE', 'NETWORKS', 'STATE', 'AGE'])
    assert.deepEqual(await columns('ib'), ['NAME', 'CIDR', 'NODE', 'NETWORK', 'AGE'])
    const row = (await api.run(['get', 'vmi'])).split('\n')[1]!
    assert.match(row, /^vmi +web +default-domain:k8s-default:red +n1 +10\.1\.0\.5 +fd00::5 +02:00:00:00:00:01 /)
    // No kind shows a list as JSON.
    assert.match(await api.run(['get', 'vr']), /\nn1 +192\.0\.2\.1 +MPLSoUDP /)
    const all = await api.run(['get', 'vrouter', '-A', '-o', 'wide'])
    assert.doesNotMatch(all, /[[\]{}"]/)
    for (const kind of [
      'virtualnetwork',
      'virtualmachineinterface',
      'virtualrouter',
      'ipamblock',
      'virtualnetworkrouter',
    ])
      assert.match(all, new RegExp(`${kind}\\.vrouter\\.dev/`))
    const chosen = await api.run(['get', 'vmi', '--field-selector', 'spec.node=n1', '-o', 'name'])
    assert.equal(chosen.trim(), 'virtualmachineinterface.vrouter.dev/vmi')
  })

  it('explain themselves', async () => {
    const text = async (what: string) => (await api.run(['explain', what])).replaceAll(/\s+/g, ' ')
    assert.match(await text('vn'), /DESCRIPTION: A tenant network: a VRF of its own on every node/)
    assert.match(
      await text('vn.spec.subnets'),
      /gateway <string> Router address, which pods have their default route through/,
    )
    assert.match(await text('vmi.spec'), /label <integer> -required- MPLS label on its node that leads to the pod/)
    assert.match(
      await text('vnr.spec.import.virtualNetworkRouters'),
      /Each entry names some; they must name this one too/,
    )
    assert.match(await text('vr.spec'), /vhostLabel <integer> -required- MPLS label that leads to the node itself/)
    assert.match(await text('ib.spec'), /node <string> -required- The node that hands out these addresses/)
  })
})
