/** What the chart makes of values. */
import assert from 'node:assert/strict'
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parse } from 'yaml'
import { loadConfig } from '../../daemon/src/config/load.ts'
import { Metrics } from '../../daemon/src/health/metrics.ts'
import {
  assertGolden,
  containersOf,
  differences,
  type KubeObject,
  nameOf,
  one,
  podSpecs,
  rendered,
  skipWithoutHelm,
} from './chart.ts'

const SETS: Readonly<Record<string, readonly string[]>> = {
  'api-server': ['k8sServiceHost=fd00::1', 'k8sServicePort=443'],
  'dual-stack': ['ipam.podCIDRs={10.32.0.0/12,fd00:32::/56}'],
  k3s: [
    'cni.binPath=/var/lib/rancher/k3s/data/cni',
    'cni.confPath=/var/lib/rancher/k3s/agent/etc/cni/net.d',
    'paths.netns=/var/run/netns',
    'controller.replicas=1',
  ],
  registry: [
    `image.digest=sha256:${'0123456789abcdef'.repeat(4)}`,
    'image.repository=registry.example/kube-vrouter',
    'imagePullSecrets[0].name=registry',
    'commonLabels.team=network',
  ],
  monitored: [
    'metrics.enabled=true',
    'metrics.serviceMonitor.enabled=true',
    'metrics.serviceMonitor.labels.release=prometheus',
  ],
  bare: [
    'rbac.create=false',
    'serviceAccounts.create=false',
    'crds.install=false',
    'cleanup.enabled=false',
    'vrouter.mountBpf=false',
    'vrouter.preflight=false',
    'cni.skipBinaries=true',
    'controller.pdb.enabled=false',
    'rollOutOnConfigChange=false',
  ],
  tuned: [
    'config.limits.flows4=1000000',
    'vrouter.privileged=true',
    'vrouter.podAnnotations.a=b',
    'vrouter.extraEnv[0].name=X',
    'vrouter.extraEnv[0].value=y',
    'vrouter.nodeSelector.pool=a',
  ],
}

describe('the chart', function () {
  this.timeout(60_000)
  let standard: KubeObject[]

  before(function () {
    skipWithoutHelm(this)
    standard = rendered()
  })

  for (const [name, set] of Object.entries(SETS)) {
    it(`differs from its defaults as testdata/${name}.txt says`, () => {
      assertGolden(`${name}.txt`, `# ${set.join(' ')}\n${differences(standard, rendered(...set))}`)
    })
  }

  it('gives the daemon a configuration that it takes, with everything that values say', () => {
    for (const set of [[], ...Object.values(SETS)]) {
      const config = configOf(rendered(...set))
      const file = loadFrom(config)
      assert.equal(file.source.type, 'kubernetes')
      assert.equal(file.paths.sysctl, '/host/proc/sys')
    }
    const tuned = loadFrom(configOf(rendered(...SETS['tuned']!)))
    assert.equal(tuned.limits.flows4, 1_000_000)
    const six = loadFrom(configOf(rendered(...SETS['api-server']!)))
    assert.equal(six.source.server, 'https://[fd00::1]:443')
  })

  it('makes one container privileged, the one that mounts', () => {
    for (const [name, spec] of podSpecs(standard)) {
      for (const { name: container, securityContext } of containersOf(spec)) {
        assert.equal(securityContext?.privileged ?? false, container === 'mount-bpf', `${name} ${container}`)
        if (container === 'mount-bpf') continue
        assert.deepEqual(securityContext?.capabilities?.drop, ['ALL'], `${name} ${container}`)
        assert.equal(securityContext?.readOnlyRootFilesystem, true, `${name} ${container}`)
      }
    }
  })

  it('gives capabilities to those alone that work on the network', () => {
    const able = [...podSpecs(standard)].flatMap(([name, spec]) =>
      containersOf(spec)
        .filter(({ securityContext }) => (securityContext?.capabilities?.add ?? []).length > 0)
        .map(({ name: container, securityContext }) => {
          assert.deepEqual(securityContext!.capabilities!.add, ['NET_ADMIN', 'BPF', 'PERFMON', 'SYS_ADMIN'])
          return `${name} ${container}`
        }),
    )
    assert.deepEqual(able.sort(), [
      'DaemonSet kube-vrouter/vrouter preflight',
      'DaemonSet kube-vrouter/vrouter vrouter',
      'DaemonSet kube-vrouter/vrouter-cleanup uninstall',
    ])
  })

  it('lets the installer alone write the folder of plugins', () => {
    const writers = [...podSpecs(standard)].flatMap(([name, spec]) =>
      containersOf(spec)
        .filter(({ volumeMounts = [] }) => volumeMounts.some((mount) => mount.name === 'cni-bin' && !mount.readOnly))
        .map(({ name: container }) => `${name} ${container}`),
    )
    assert.deepEqual(writers.sort(), [
      'DaemonSet kube-vrouter/vrouter install',
      'DaemonSet kube-vrouter/vrouter-cleanup uninstall',
    ])
  })

  it('sees mounts that come later: namespaces of pods, the bpf file system', () => {
    const [daemon] = one(standard, 'DaemonSet', 'vrouter')['spec'].template.spec.containers
    const propagation = Object.fromEntries(
      daemon.volumeMounts.map((mount: { mountPath: string; mountPropagation?: string }) => [
        mount.mountPath,
        mount.mountPropagation,
      ]),
    )
    assert.equal(propagation['/run/netns'], 'HostToContainer')
    assert.equal(propagation['/sys/fs/bpf'], 'HostToContainer')
  })

  it('mounts the folders that the CNI binary is told of at the same place as on the node', () => {
    const objects = rendered('paths.run=/run/other', 'paths.state=/data/vrouter', 'cni.confPath=/etc/other/net.d')
    const { paths } = loadFrom(configOf(objects))
    const spec = one(objects, 'DaemonSet', 'vrouter')['spec'].template.spec
    for (const path of [paths.run, paths.state, paths.cniConf]) {
      const mount = spec.containers[0].volumeMounts.find((one: { mountPath: string }) => one.mountPath === path)
      const volume = spec.volumes.find((one: { name: string }) => one.name === mount?.name)
      assert.equal(volume?.hostPath.path, path)
    }
  })

  it('lets the daemon look at the runtime’s plugins where some are chained, where they lie on the node, and write nothing there', () => {
    for (const more of [[], ['cni.skipBinaries=true']]) {
      const objects = rendered('cni.chained={portmap}', 'cni.binPath=/opt/other/bin', ...more)
      const { paths } = loadFrom(configOf(objects))
      const spec = one(objects, 'DaemonSet', 'vrouter')['spec'].template.spec
      const mount = spec.containers[0].volumeMounts.find(({ name }: { name: string }) => name === 'cni-bin')
      assert.deepEqual([mount.mountPath, mount.readOnly, paths.cniBin], ['/opt/other/bin', true, '/opt/other/bin'])
      const volume = spec.volumes.find(({ name }: { name: string }) => name === 'cni-bin')
      assert.equal(volume.hostPath.path, '/opt/other/bin')
    }
    const plain = one(standard, 'DaemonSet', 'vrouter')['spec'].template.spec.containers[0]
    assert.ok(!plain.volumeMounts.some(({ name }: { name: string }) => name === 'cni-bin'))
  })

  it('begins to probe when a program had time to begin: each refused connection is a Warning', () => {
    for (const [kind, name] of [
      ['DaemonSet', 'vrouter'],
      ['Deployment', 'vrouter-controller'],
    ] as const)
      for (const { startupProbe, readinessProbe } of one(standard, kind, name)['spec'].template.spec.containers) {
        assert.ok(startupProbe.initialDelaySeconds >= 3)
        // Longer than the daemon lets a probe wait for its first readiness.
        assert.ok(readinessProbe.timeoutSeconds >= 5)
      }
  })

  it('asks for no right by a wildcard', () => {
    for (const object of standard) {
      for (const rule of (object['rules'] ?? []) as Record<string, string[]>[]) {
        for (const [key, values] of Object.entries(rule)) {
          assert.ok(!values.includes('*'), `${nameOf(object)}: ${key}`)
          assert.ok(values.length > 0, `${nameOf(object)}: ${key}`)
        }
      }
    }
  })

  it('gives the controller what its rbac.md asks for, and nothing else', () => {
    const text = readFileSync(resolve(import.meta.dirname, '../../daemon/src/controller/rbac.md'), 'utf8')
    const asked = [...text.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, yaml]) => parse(yaml!) as KubeObject)
    const given = (kind: string, namespace?: string) =>
      standard.find(
        (object) =>
          object.kind === kind &&
          object.metadata.name === 'vrouter-controller' &&
          object.metadata.namespace === namespace,
      )?.['rules']
    const [cluster, own, fallback] = asked
    assert.deepEqual(given('ClusterRole'), cluster!['rules'])
    assert.deepEqual(given('Role', 'kube-vrouter'), own!['rules'])
    assert.deepEqual(given('Role', 'default'), fallback!['rules'])
  })

  it('rolls the daemons out when their configuration changes, and only then', () => {
    const checksum = (objects: KubeObject[]) =>
      one(objects, 'DaemonSet', 'vrouter')['spec'].template.metadata.annotations['checksum/config'] as string
    assert.notEqual(checksum(rendered('snat.enabled=false')), checksum(standard))
    assert.equal(checksum(rendered('controller.replicas=3')), checksum(standard))
  })

  it('does not let the environment of Services near the daemon, which reads VROUTER_ variables', () => {
    for (const [name, spec] of podSpecs(standard)) assert.equal(spec.enableServiceLinks, false, name)
  })

  it('probes on the loopback of the node, where the health server listens', () => {
    for (const [kind, name] of [
      ['DaemonSet', 'vrouter'],
      ['Deployment', 'vrouter-controller'],
    ] as const) {
      const [container] = one(standard, kind, name)['spec'].template.spec.containers
      for (const probe of ['startupProbe', 'livenessProbe', 'readinessProbe']) {
        assert.equal(container[probe].httpGet.host, '127.0.0.1', `${name} ${probe}`)
      }
      assert.equal(container.livenessProbe.httpGet.path, '/healthz')
      assert.equal(container.readinessProbe.httpGet.path, '/readyz')
    }
    assert.deepEqual(loadFrom(configOf(standard)).health, { addresses: ['127.0.0.1'], port: 9485 })
    const elsewhere = rendered('metrics.enabled=true', 'metrics.addresses={192.0.2.7}')
    assert.deepEqual(loadFrom(configOf(elsewhere)).health.addresses, ['192.0.2.7', '127.0.0.1'])
    const { env } = one(elsewhere, 'Deployment', 'vrouter-controller')['spec'].template.spec.containers[0]
    assert.equal(
      env.find(({ name }: { name: string }) => name.endsWith('HEALTH_ADDRESSES')).value,
      '192.0.2.7,127.0.0.1',
    )
  })

  it('keeps the CRDs, unless it is told otherwise', () => {
    const crds = (objects: KubeObject[]) => objects.filter(({ kind }) => kind === 'CustomResourceDefinition')
    assert.equal(crds(standard).length, 6)
    for (const { metadata } of crds(standard)) assert.equal(metadata.annotations?.['helm.sh/resource-policy'], 'keep')
    for (const { metadata } of crds(rendered('crds.keep=false'))) {
      assert.equal(metadata.annotations?.['helm.sh/resource-policy'], undefined)
    }
  })

  it('selects its pods by labels that no version and no value changes', () => {
    const objects = rendered('commonLabels.team=network', 'vrouter.podLabels.a=b')
    for (const [kind, name] of [
      ['DaemonSet', 'vrouter'],
      ['Deployment', 'vrouter-controller'],
    ] as const) {
      assert.deepEqual(one(objects, kind, name)['spec'].selector, one(standard, kind, name)['spec'].selector)
    }
  })
})

function configOf(objects: KubeObject[]): string {
  return one(objects, 'ConfigMap', 'vrouter-config')['data']['vrouter.yaml'] as string
}

function loadFrom(text: string) {
  const file = join(import.meta.dirname, `testdata/.config-${process.pid}.yaml`)
  writeFileSync(file, text)
  try {
    return loadConfig({ file, env: { VROUTER_NODE: 'node1' } })
  } finally {
    rmSync(file)
  }
}

describe('the dashboard', () => {
  it('asks for metrics that the daemon has', async () => {
    const text = readFileSync(resolve(import.meta.dirname, '../../charts/kube-vrouter/files/dashboard.json'), 'utf8')
    const asked = new Set(text.match(/\b(vrouter|process)_[a-z_]+\b/g))
    const metrics = new Metrics(
      () => ({
        ready: true,
        state: '',
        ports: 0,
        vrfs: 0,
        routes: 0,
        tables: [{ table: 'flow', used: 0, max: 1 }],
        drops: [0n, 1n],
        foreignTunnels: 0n,
        source: { inSync: true },
        problems: 0,
        rejected: 0,
      }),
      '1',
    )
    try {
      metrics.observeRound(1)
      metrics.countPublishFailure('IPAMBlock')
      const known = await metrics.text()
      for (const name of asked) assert.match(known, new RegExp(`^${name}\\b`, 'm'), name)
      assert.ok(asked.size > 8)
    } finally {
      metrics[Symbol.dispose]()
    }
  })
})
