/** Values that are wrong are refused before anything is installed, by name. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { loadConfig } from '@kube-vrouter/daemon/config/load'
import { type KubeObject, one, rendered, skipWithoutHelm } from './chart.ts'

const WRONG: readonly (readonly [set: string, message: RegExp])[] = [
  ['vroutr.privileged=true', /vroutr/],
  ['vrouter.privilegd=true', /privilegd/],
  ['vrouter.privileged=yes', /\/vrouter\/privileged|vrouter\.privileged/],
  ['image.pullPolicy=Sometimes', /pullPolicy/],
  ['image.digest=sha256:12', /digest/],
  ['k8sServiceHost=https://10.0.0.1', /k8sServiceHost/],
  ['health.port=0', /health.port/],
  ['controller.replicas=0', /replicas/],
  ['cni.binPath=opt/cni/bin', /binPath/],
  ['cni.chained={portmap,firewall}', /chained/],
  ['ipam.podCIDRs={10.0.0.0}', /podCIDRs/],
  ['ipam.podCIDRs=10.32.0.0/12', /podCIDRs/],
  ['logLevel=verbose', /logLevel/],
  ['snat.ports=61000', /snat.ports/],
  ['snat.ports=70000-80000', /snat.ports/],
  ['snat.ports=0-65535', /snat.ports/],
  ['services.clusterIPRanges={10.96.0.0}', /clusterIPRanges/],
  ['services.clusterIPRanges=10.96.0.0/12', /clusterIPRanges/],
  ['config.services.clusterIPRanges={10.96.0.0/99}', /clusterIPRanges/],
  ['tunnels.peers={fd00::1}', /tunnels.peers/],
  ['config.tunnels.peers={192.0.2.256}', /tunnels.peers/],
  ['snat.ports=61000-65536', /snat.ports/],
  ['ipam.podCIDRs={10.244.0.0/99}', /podCIDRs/],
  ['ipam.podCIDRs={10.244.0.0/30}', /podCIDRs/],
  ['ipam.podCIDRs={10.244.0.256/16}', /podCIDRs/],
  ['ipam.podCIDRs={10.244.0/16}', /podCIDRs/],
  ['ipam.podCIDRs={fd00::/129}', /podCIDRs/],
  ['ipam.podCIDRs={fd00::/126}', /podCIDRs/],
  ['ipam.podCIDRs={fd00::}', /podCIDRs/],
  ['config.defaultNetwork.subnets={10.244.0.0/99}', /defaultNetwork/],
  ['config.snat.ports=70000-80000', /snat.ports/],
  ['config.introspect.addresses={localhost}', /introspect/],
  ['config.underlay.gateway=10.0.0', /gateway/],
  ['config.cluster.name=K8s', /cluster.name/],
  ['underlay.gateway=10.0.0', /underlay.gateway/],
  ['underlay.gateway=10.0.0.256', /underlay.gateway/],
  ['underlay.gateway=fe80::1', /underlay.gateway/],
  ['underlay.interface=eth0/1', /underlay.interface/],
  ['underlay.interface=a-name-of-17-chars', /underlay.interface/],
  ['underlay.watchSeconds=-1', /watchSeconds/],
  ['cluster.name=-k8s', /cluster.name/],
  [`cluster.name=${'k'.repeat(64)}`, /cluster.name/],
  ['cluster.domain=cluster_local', /cluster.domain/],
  ['k8sServiceHost=10.0.0.256', /k8sServiceHost/],
  ['k8sServiceHost=api.example.org:6443', /k8sServiceHost/],
  ['k8sServiceHost=10.0.0.1:6443', /k8sServiceHost/],
  ['k8sServicePort=0', /k8sServicePort/],
  ['k8sServicePort=65536', /k8sServicePort/],
  ['introspect.addresses={localhost}', /introspect.addresses/],
  ['introspect.addresses={10.0.0.300}', /introspect.addresses/],
  ['introspect.port=65536', /introspect.port/],
  ['metrics.addresses={any}', /metrics.addresses/],
  ['metrics.serviceMonitor.interval=0s', /interval/],
  ['metrics.serviceMonitor.interval=30', /interval/],
  ['controller.pdb.maxUnavailable=110%', /maxUnavailable/],
  ['controller.health.port=70000', /controller.health.port/],
  ['vrouter.priorityClassName=System', /priorityClassName/],
  ['vrouter.podLabels.team=a b', /podLabels/],
  ['commonLabels.team=-a', /commonLabels/],
  ['serviceAccounts.vrouter=vRouter', /serviceAccounts/],
  ['image.repository=example.org/kube-vrouter:v1', /repository/],
  ['image.tag=v1:2', /image.tag/],
  ['cni.logFile=/var/log/', /logFile/],
  ['config.limits.flows4=63', /flows4/],
  ['config.limits.flow4=1', /flow4/],
  ['config.limits.flows4=many', /flows4/],
  ['vrouter.updateStrategy.type=Recreate', /updateStrategy/],
  ['cleanup.timeoutSeconds=1', /timeoutSeconds/],
  ['imagePullSecrets[0]=registry', /imagePullSecrets/],
]

/** Values that are right each for itself, and not together: the schema can't tell. */
const CONTRADICTIONS: readonly (readonly [set: string, message: RegExp])[] = [
  ['snat.ports=65535-61000', /snat\.ports: 65535-61000 has its larger port first/],
  ['config.snat.ports=65535-61000', /snat\.ports: 65535-61000 has its larger port first/],
  ['snat.ports=6000-7000', /snat\.ports: 6000-7000 holds 6635, a port of tunnels/],
  ['snat.ports=4000-5000', /snat\.ports: 4000-5000 holds 4789, a port of tunnels/],
  ['snat.ports=50000-65535,tunnels.oldPort=true', /snat\.ports: 50000-65535 holds 51234, a port of tunnels/],
  ['ipam.podCIDRs={10.244.0.5/16}', /ipam\.podCIDRs: 10\.244\.0\.5\/16 is no network/],
  ['ipam.podCIDRs={10.244.8.0/20}', /is no network/],
  ['ipam.podCIDRs={fd00::1/64}', /ipam\.podCIDRs: fd00::1\/64 is no network/],
  ['ipam.podCIDRs={fd00:0:0:8000::/48}', /is no network/],
  ['ipam.podCIDRs={10.244.0.0/16,10.0.0.0/8}', /10\.244\.0\.0\/16 and 10\.0\.0\.0\/8 overlap/],
  ['ipam.podCIDRs={fd00::/48,10.0.0.0/8,fd00:0:0:1::/64}', /fd00::\/48 and fd00:0:0:1::\/64 overlap/],
  ['ipam.podCIDRs={fd00::1::/64}', /fd00::1:: is no IPv6 address/],
  ['ipam.podCIDRs={fd00/64}', /podCIDRs/],
  ['ipam.podCIDRs={1:2:3:4:5:6:7:8:9/64}', /is no IPv6 address/],
  ['ipam.podCIDRs={fd00:12345::/64}', /is no IPv6 address/],
  ['introspect.addresses={::1::}', /introspect\.addresses: ::1:: is no IPv6 address/],
  ['k8sServiceHost=[fd00:1]', /k8sServiceHost: fd00:1 is no IPv6 address/],
  ['introspect.port=9485', /introspect\.port: 9485 is health\.port already/],
  ['controller.health.port=8085', /controller\.health\.port: 8085 is introspect\.port already/],
]

/** At the border of what is right, on either side. */
const BORDERLINE: readonly string[] = [
  ...[
    '10.0.0.0/8',
    '10.244.0.0/29',
    '0.0.0.0/1',
    '10.244.128.0/17',
    'fd00::/8',
    'fd00::/125',
    '::/1',
    'fd00:1:2:3:4:5:6:0/112',
  ],
  ...[
    '10.244.0.0/01',
    'FD00:0:0:8000::/49',
    '1:2:3:4:5:6:7:8/125',
    '::8/125',
    '10.0.0.0/7',
    'fd00::/0',
    '10.244.0.0/16,10.245.0.0/16',
  ],
].map((cidrs) => `ipam.podCIDRs={${cidrs}}`)

describe('values of the chart', function () {
  this.timeout(60_000)

  before(function () {
    skipWithoutHelm(this)
  })

  for (const [set, message] of WRONG) {
    it(`are refused: ${set}`, () => {
      assert.throws(
        () => rendered(set),
        (error: Error) => {
          assert.match(error.message, /values don't meet the specifications of the schema/)
          assert.match(error.message.replaceAll('/', '.'), message)
          return true
        },
      )
    })
  }

  for (const [set, message] of CONTRADICTIONS) {
    it(`are refused: ${set}`, () => {
      assert.throws(
        () => rendered(set),
        (error: Error) => {
          assert.match(error.message, message)
          return true
        },
      )
    })
  }

  for (const set of [
    ...BORDERLINE,
    'snat.ports=1-4788',
    'snat.ports=6636-65535',
    'snat.ports=7-7',
    'snat.ports=00061-61000',
    'underlay.gateway=192.0.2.1',
    'underlay.interface=enp0s31f6.4094x',
    'introspect.addresses={::1,192.0.2.1}',
    'introspect.addresses={::ffff:0:1}',
    `cluster.name=${'k'.repeat(63)}`,
    'cluster.domain=a.b-c.d0',
    'cluster.domain=a..b',
    'k8sServiceHost=api.1example.org',
    'k8sServiceHost=1node',
    'k8sServiceHost=2001:db8::1',
    'k8sServiceHost=[2001:db8::1]',
    'k8sServiceHost=0x7f',
  ]) {
    it(`are taken by the daemon if the chart takes them: ${set}`, () => {
      let objects: KubeObject[]
      try {
        objects = rendered(set)
      } catch (error) {
        // Refused by helm in words of the chart, not by a template that broke.
        assert.match((error as Error).message, /specifications of the schema|: ipam\.podCIDRs: /)
        return
      }
      const folder = mkdtempSync(join(tmpdir(), 'kv-values-'))
      try {
        const file = join(folder, 'vrouter.yaml')
        writeFileSync(file, one(objects, 'ConfigMap', 'vrouter-config')['data']['vrouter.yaml'])
        const { source } = loadConfig({ file, env: { VROUTER_NODE: 'n1' } })
        if (source.server !== '') new URL(source.server)
      } finally {
        rmSync(folder, { recursive: true })
      }
    })
  }

  it('may name what the schema of the daemon knows', () => {
    rendered('config.ageing.otherSeconds=60', 'config.limits.vifs=2048')
  })
})
