import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { parse } from 'yaml'
import { partArguments, parts } from './control-plane.ts'
import { clusterRanges, labPaths, maximumNodes, nodePaths, nodesOf } from './layout.ts'
import { containerdConfig, initScript, kubeletConfig, type NodeOptions, nodePath, proxyConfig } from './node-config.ts'
import { kubeconfig, tokenLines } from './pki.ts'
import { conflist } from './reference-cni.ts'

const options: NodeOptions = { cgroup: 'kubelab-x-0123', containerd: 2, dualStack: false, kubeProxy: false }
const node = nodePaths('x', 2)

describe('what a node of a Kubernetes lab is made of', () => {
  it('gives every node its own name, addresses, MAC and files', () => {
    const nodes = nodesOf('x', maximumNodes)
    for (const key of ['name', 'disk', 'pid', 'address4', 'address6', 'mac'] as const)
      assert.equal(new Set(nodes.map((each) => each[key])).size, maximumNodes, key)
    assert.equal(node.address4, '10.10.0.12')
    for (const each of nodes) assert.match(each.mac, /^02(:[0-9a-f]{2}){5}$/)
  })

  it('keeps labs apart', () => {
    assert.notEqual(labPaths('x').root, labPaths('y').root)
    assert.notEqual(nodePaths('x', 1).disk, nodePaths('y', 1).disk)
    assert.throws(() => labPaths('../x'), /lower case letters/)
  })

  it('has a first process that bash can read, whatever is switched on', () => {
    for (const kubeProxy of [true, false]) {
      const script = initScript(node, { ...options, kubeProxy })
      execFileSync('bash', ['-n'], { input: script })
      assert.equal(/keep kube-proxy/.test(script), kubeProxy)
    }
  })

  it('tells the kubelet its addresses: IPv6 only where the cluster has it', () => {
    assert.match(initScript(node, options), /--node-ip=10\.10\.0\.12 /)
    assert.match(initScript(node, { ...options, dualStack: true }), /--node-ip=10\.10\.0\.12,fd00:10::12 /)
  })

  it('hides the machine behind its own mounts before anything is started', () => {
    const script = initScript(node, options)
    const order = [
      'mount -t bpf',
      'overlay /usr',
      'overlay /etc',
      'tmpfs /run',
      '/var/lib\n',
      'rshared',
      'keep containerd',
    ]
    const at = order.map((step) => script.indexOf(step))
    assert.ok(!at.includes(-1), `${at}`)
    assert.deepEqual(
      at,
      at.toSorted((a, b) => a - b),
    )
  })

  it('puts containerd 2 before the one of Debian only when it is meant', () => {
    assert.match(nodePath(2), /^[^:]*\/bin\/containerd2:/)
    assert.doesNotMatch(nodePath(1), /containerd2/)
  })

  it('configures kubelet and kube-proxy in YAML that says what is meant', () => {
    const kubelet = parse(kubeletConfig(node, options)) as Record<string, unknown>
    assert.equal(kubelet['cgroupRoot'], '/kubelab-x-0123/node2')
    assert.equal(kubelet['failCgroupV1'], false)
    const proxy = parse(proxyConfig(node, { ...options, dualStack: true })) as Record<string, unknown>
    assert.equal(proxy['hostnameOverride'], 'node2')
    assert.equal(proxy['clusterCIDR'], clusterRanges(true).pods)
    assert.match(containerdConfig(), /restrict_oom_score_adj = true/)
  })

  it('knows each part of the cluster by a token of its own', () => {
    const lines = tokenLines(['node1', 'node2']).trim().split('\n')
    assert.equal(new Set(lines.map((line) => line.split(',')[0])).size, lines.length)
    assert.ok(lines.includes('node2-token,system:node:node2,node2,"system:nodes"'))
    const config = parse(kubeconfig('node2-token', '/ca.crt')) as { users: { user: { token: string } }[] }
    assert.equal(config.users[0]!.user.token, 'node2-token')
  })

  it('starts the control plane for one family or two', () => {
    for (const part of parts)
      for (const argument of partArguments(part, labPaths('x'), { dualStack: true })) assert.match(argument, /^--[a-z]/)
    const services = (dualStack: boolean) =>
      partArguments('kube-apiserver', labPaths('x'), { dualStack }).find((word) => word.includes('service-cluster-ip'))
    assert.equal(services(false), '--service-cluster-ip-range=10.96.0.0/16')
    assert.equal(services(true), '--service-cluster-ip-range=10.96.0.0/16,fd00:96::/112')
  })

  it('gives the reference plugin a range and a default route per family', () => {
    const { plugins } = JSON.parse(conflist(['10.244.1.0/24', 'fd00:244:0:1::/64'])) as {
      plugins: { ipam: { ranges: object; routes: object } }[]
    }
    assert.deepEqual(plugins[0]!.ipam.ranges, [[{ subnet: '10.244.1.0/24' }], [{ subnet: 'fd00:244:0:1::/64' }]])
    assert.deepEqual(plugins[0]!.ipam.routes, [{ dst: '0.0.0.0/0' }, { dst: '::/0' }])
  })
})
