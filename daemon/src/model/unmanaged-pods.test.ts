import assert from 'node:assert/strict'
import { builtInNetworks } from './built-in-networks.ts'
import type { Port } from './facts.ts'
import type { Pod } from './objects.ts'
import { networkNow, unmanagedPods } from './unmanaged-pods.ts'

const pod = (name: string, more: Partial<Pod> = {}): Pod => ({
  namespace: 'dev',
  name,
  uid: `uid-${name}`,
  labels: {},
  annotations: {},
  hostNetwork: false,
  phase: 'Running',
  addresses: ['10.0.0.5'],
  ...more,
})
const port = (name: string, more: Partial<Port> = {}): Port => ({
  uuid: name,
  containerId: name,
  ifname: 'eth0',
  namespace: 'dev',
  pod: { name, uid: `uid-${name}` },
  vn: '',
  mac: '02:00:00:00:00:01',
  addresses: [],
  tap: 'tap',
  mtu: 1468,
  labels: {},
  createdAt: '',
  ...more,
})

describe('pods that aren’t as they would be if they started now', () => {
  it('have addresses and no port', () => {
    const pods = [
      pod('ours'),
      pod('host', { hostNetwork: true }),
      pod('done', { phase: 'Succeeded' }),
      pod('new', { phase: 'Pending', addresses: [] }),
      pod('static', { uid: 'mirror' }),
      pod('old'),
      pod('starting', { phase: 'Pending' }),
    ]
    const found = unmanagedPods(pods, [port('ours'), port('static')])
    assert.deepEqual(
      found.map(({ name }) => name),
      ['old', 'starting'],
    )
  })

  it('are in another network than the one that is named now', () => {
    const namespace = (isolation: string) => ({
      name: 'dev',
      labels: {},
      annotations: { 'vrouter.dev/isolation': isolation },
    })
    const [standard, own] = ['true', 'true'].map(
      (_, i) => builtInNetworks('k8s', ['10.244.0.0/16'], [namespace('true')])[i]!,
    )
    const state = (isolation: string, pods: readonly Pod[] = []) => ({
      namespaces: new Map([['dev', namespace(isolation)]]),
      virtualNetworks: new Map([standard!, own!].map((vn) => [vn.fqName, vn])),
      pods: new Map(pods.map((one) => [one.uid, one])),
    })
    const isolated = port('a', { vn: own!.fqName, networkFrom: 'isolation' })
    const plain = port('a', { vn: standard!.fqName, networkFrom: 'default' })
    assert.equal(networkNow(isolated, state('true'), 'k8s'), undefined)
    assert.equal(networkNow(isolated, state('false'), 'k8s'), standard!.fqName)
    assert.equal(networkNow(plain, state('true'), 'k8s'), own!.fqName)
    // A pod's own annotation counts, where it is known.
    const named = port('a', { vn: standard!.fqName, networkFrom: 'pod' })
    assert.equal(networkNow(named, state('true'), 'k8s'), undefined)
    const annotations = { 'vrouter.dev/network': 'default/k8s-default-pod-network' }
    assert.equal(networkNow(named, state('true', [pod('a', { annotations })]), 'k8s'), undefined)
    assert.equal(networkNow(named, state('true', [pod('a')]), 'k8s'), own!.fqName)
    // A record of an older daemon says nothing.
    assert.equal(networkNow(port('a', { vn: own!.fqName }), state('false'), 'k8s'), undefined)
  })

  it('are judged by the first interface, and by another one where its network is named', () => {
    const networks = builtInNetworks('k8s', ['10.244.0.0/16'], [])
    const blue = { ...networks[0]!, name: 'blue', fqName: 'default-domain:k8s-dev:blue' }
    const green = { ...networks[0]!, name: 'green', fqName: 'default-domain:k8s-dev:green' }
    const state = (annotations: Record<string, string>) => ({
      namespaces: new Map([['dev', { name: 'dev', labels: {}, annotations: {} }]]),
      virtualNetworks: new Map([...networks, blue, green].map((vn) => [vn.fqName, vn])),
      pods: new Map([['uid-a', pod('a', { annotations })]]),
    })
    const listed = (networks: string) => state({ 'vrouter.dev/networks': networks })
    // Restored from its interface object: nothing says any more who named its network.
    const second = port('a', { ifname: 'eth1', vn: blue.fqName, isSecondary: true })
    assert.equal(networkNow(second, state({}), 'k8s'), undefined)
    assert.equal(networkNow(second, listed('blue@eth1'), 'k8s'), undefined)
    assert.equal(networkNow(second, listed('green@eth1'), 'k8s'), green.fqName)
    assert.equal(networkNow(second, listed('green@eth2'), 'k8s'), undefined)
    const first = port('a', { vn: networks[0]!.fqName, networkFrom: 'default' })
    assert.equal(networkNow(first, listed('green@eth1'), 'k8s'), undefined)
    assert.equal(networkNow(first, listed('green@eth0'), 'k8s'), green.fqName)
  })
})
