import assert from 'node:assert/strict'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { labPaths, nodePaths } from '../lab/layout.ts'
import { eventually, skipIfMissing, TestLab, twoTenants } from './lab.ts'

function network(name: string, subnets: string, more = ''): string {
  return `apiVersion: vrouter.dev/v1alpha1
kind: VirtualNetwork
metadata: { name: ${name}, namespace: ${name} }
spec:
  ${more}
  subnets: ${subnets}
---
apiVersion: v1
kind: Namespace
metadata: { name: ${name}, annotations: { vrouter.dev/network: ${name} } }
`
}

describe('bad input: a clear error, and the rest keeps working', function () {
  this.timeout(120_000)
  let lab: TestLab

  before(function () {
    skipIfMissing(this)
    lab = TestLab.up()
    lab.expectLog(/VirtualNetwork|Namespace|manifest|yaml|BLOCK|set aside|reject/i)
    lab.apply(twoTenants)
  })

  after(() => lab?.close())

  function logged(node: number): string {
    return lab
      .logOf(node)
      .map((line) => JSON.stringify(line))
      .join('\n')
  }

  const manifests: [what: string, manifest: string, wanted: RegExp[]][] = [
    [
      'an unknown key, with a suggestion',
      network('k1', '[{ cidr: 10.9.0.0/24 }]', 'subnet: x'),
      [/spec\.subnet\b/, /subnets/],
    ],
    ['a VN without a subnet', network('k2', '[]'), [/k2/, /subnets/]],
    [
      'overlapping subnets inside one VN',
      network('k3', '[{ cidr: 10.9.0.0/24 }, { cidr: 10.9.0.128/25 }]'),
      [/k3/, /overlap/],
    ],
    [
      'a gateway outside the subnet',
      network('k4', '[{ cidr: 10.9.0.0/24, gateway: 10.8.0.1 }]'),
      [/k4/, /gateway/, /10\.8\.0\.1/],
    ],
    ['a CIDR that is none', network('k5', '[{ cidr: 10.9.0.0/44 }]'), [/k5/, /10\.9\.0\.0\/44/]],
  ]
  for (const [what, manifest, wanted] of manifests) {
    it(`${what}: named in the log once; good objects go on`, async () => {
      lab.apply(manifest)
      await eventually(() => wanted.every((pattern) => pattern.test(logged(1))), 5000)
      const pod = lab.addPod('good', 1, 'red')
      assert.equal(lab.ping(pod, '10.1.0.1').status, 0)
      lab.run(['pod', 'del', 'good'])
    })
  }

  it('an unreadable manifest among good ones', async () => {
    writeFileSync(join(labPaths(lab.name).store, 'broken.yaml'), 'kind: VirtualNetwork\n  metadata: [')
    await eventually(() => /broken\.yaml/.test(logged(1)))
    const pod = lab.addPod('good', 1, 'red')
    lab.run(['pod', 'del', 'good'])
    assert.match(pod.ip4, /^10\.1\./)
  })

  it('a namespace that names a missing VN: ADD says which, and what to do', () => {
    lab.apply(
      'apiVersion: v1\nkind: Namespace\nmetadata: { name: lost, annotations: { vrouter.dev/network: nowhere } }\n',
    )
    const outcome = lab.tryRun(['pod', 'add', 'lost-1', '--node', '1', '--namespace', 'lost'])
    assert.equal(outcome.status, 1)
    assert.match(outcome.stderr, /nowhere/)
  })

  it('a switch that is neither on nor off, or a mistyped key: no pod starts in the open default network, until it is mended', async () => {
    const namespace = (annotation: string) =>
      `apiVersion: v1\nkind: Namespace\nmetadata: { name: unclear, annotations: { ${annotation} } }\n`
    const add = () => lab.tryRun(['pod', 'add', 'unclear-1', '--node', '1', '--namespace', 'unclear'])
    lab.apply(namespace('vrouter.dev/netwrok: red'))
    await eventually(() => /netwrok is not known; did you mean vrouter.dev\/network\?/.test(logged(1)))
    const mistyped = add()
    assert.equal(mistyped.status, 1)
    assert.match(mistyped.stderr, /vrouter\.dev\/netwrok/)
    lab.apply(namespace('vrouter.dev/isolation: "yes"'))
    await eventually(() => /vrouter.dev\/isolation is .*yes.*, neither true nor false/.test(logged(1)))
    const unclear = add()
    assert.equal(unclear.status, 1)
    assert.match(unclear.stderr, /neither true nor false/)
    lab.apply(namespace('vrouter.dev/network: red/red'))
    await eventually(() => add().status === 0)
    lab.run(['pod', 'del', 'unclear-1'])
  })

  it('an exhausted subnet: the pod that does not fit is refused by name; an address that becomes free is given again', async () => {
    lab.apply(network('tiny', '[{ cidr: 10.9.9.0/29 }]', 'blockSize4: 29'))
    const made = ['t-1', 't-2', 't-3', 't-4'].map((name) => lab.addPod(name, 1, 'tiny').ip4)
    assert.equal(new Set(made).size, 4)
    const outcome = lab.tryRun(['pod', 'add', 't-5', '--node', '1', '--namespace', 'tiny'])
    assert.equal(outcome.status, 1)
    assert.match(outcome.stderr, /tiny/)
    assert.match(outcome.stderr, /exhaust|no free|full/i)
    lab.run(['pod', 'del', 't-1'])
    await eventually(() => lab.tryRun(['pod', 'add', 't-6', '--node', '1', '--namespace', 'tiny']).status === 0, 60_000)
    for (const name of ['t-2', 't-3', 't-4', 't-6']) lab.run(['pod', 'del', name])
  })

  it('a corrupt state file: moved aside, ids and pods are kept, traffic goes on', async () => {
    lab.expectLog(/corrupt|aside|are lost|is lost|can't be used/i)
    const a = lab.addPod('c-1', 1, 'red')
    const b = lab.addPod('c-2', 2, 'red')
    const before = lab.node(1, 'rt', '--dump', '2')
    const { state } = nodePaths(lab.name, 1)
    lab.run(['daemon', '1', 'kill'])
    for (const file of readdirSync(state).filter((name) => name.endsWith('.json')))
      writeFileSync(join(state, file), '{"half": ')
    lab.run(['daemon', '1', 'start'])
    assert.equal(lab.ping(a, b.ip4).status, 0)
    assert.equal(lab.node(1, 'rt', '--dump', '2'), before)
    assert.ok(
      readdirSync(state).some((name) => name.includes('corrupt')),
      'the corrupt file was kept aside',
    )
    for (const name of ['c-1', 'c-2']) lab.run(['pod', 'del', name])
  })

  it('vrouter --uninstall under a running daemon: refused, and nothing is touched', () => {
    const outcome = lab.onNode(1, ['vrouter', '--uninstall'])
    assert.equal(outcome.status, 1)
    assert.match(outcome.stdout, /DAEMON_RUNNING.*Stop the daemon of this node first/)
    assert.match(lab.node(1, 'ip', '-br', 'addr', 'show', 'vhost0'), /172\.30\.0\.11\//)
  })

  it('configuration: a wrong key is an error with a suggestion, and nothing is touched', () => {
    const { root } = nodePaths(lab.name, 1)
    const file = join(root, 'wrong.yaml')
    writeFileSync(file, 'node: x\nunderlay: { interfaces: eth0 }\n')
    const outcome = lab.onNode(1, ['vrouter', 'run', '--config', file])
    assert.notEqual(outcome.status, 0)
    assert.match(`${outcome.stderr}${outcome.stdout}`, /underlay\.interfaces/)
    assert.match(`${outcome.stderr}${outcome.stdout}`, /interface\b/)
    assert.ok(existsSync(root))
  })
})
