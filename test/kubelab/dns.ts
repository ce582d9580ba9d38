/** The cluster's DNS in a lab: CoreDNS as hack/kubernetes builds it, behind the Service that kubelets tell their pods. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestCluster } from './cluster.ts'
import { keptImage, program } from './images.ts'
import { clusterDns, tools } from './layout.ts'

const image = 'kubelab.test/coredns:1'

/** @returns the archive, made anew where CoreDNS is another one */
export function dnsImage(): string {
  const binary = program('coredns', join(tools.bin, 'coredns'))
  return keptImage('coredns', image, { Entrypoint: ['/coredns'] }, [binary], readFileSync(import.meta.filename))
}

const corefile = `.:53 {
    errors
    health {
        lameduck 5s
    }
    ready
    kubernetes cluster.local in-addr.arpa ip6.arpa {
        pods insecure
        fallthrough in-addr.arpa ip6.arpa
        ttl 5
    }
    cache 5
    reload
    loadbalance
}
`

const named = { name: 'coredns', namespace: 'kube-system' }
const labels = { 'k8s-app': 'kube-dns' }

/** What kubeadm installs, as far as a lab needs it. */
export function dnsObjects(dualStack: boolean): object[] {
  const { ip4, ip6 } = clusterDns
  return [
    { apiVersion: 'v1', kind: 'ServiceAccount', metadata: named },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRole',
      metadata: { name: 'system:coredns' },
      rules: [
        { apiGroups: [''], resources: ['services', 'pods', 'namespaces'], verbs: ['list', 'watch'] },
        { apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: ['list', 'watch'] },
      ],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: { name: 'system:coredns' },
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name: 'system:coredns' },
      subjects: [{ kind: 'ServiceAccount', ...named }],
    },
    { apiVersion: 'v1', kind: 'ConfigMap', metadata: named, data: { Corefile: corefile } },
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { ...named, labels },
      spec: { replicas: 2, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: podSpec } },
    },
    {
      apiVersion: 'v1',
      kind: 'Service',
      metadata: { ...named, name: 'kube-dns', labels },
      spec: {
        selector: labels,
        clusterIP: ip4,
        ...(dualStack && {
          clusterIPs: [ip4, ip6],
          ipFamilies: ['IPv4', 'IPv6'],
          ipFamilyPolicy: 'RequireDualStack',
        }),
        ports: [
          { name: 'dns', port: 53, protocol: 'UDP' },
          { name: 'dns-tcp', port: 53, protocol: 'TCP' },
        ],
      },
    },
  ]
}

const podSpec = {
  serviceAccountName: named.name,
  dnsPolicy: 'Default',
  topologySpreadConstraints: [
    {
      maxSkew: 1,
      topologyKey: 'kubernetes.io/hostname',
      whenUnsatisfiable: 'ScheduleAnyway',
      labelSelector: { matchLabels: labels },
    },
  ],
  containers: [
    {
      name: 'coredns',
      image,
      imagePullPolicy: 'Never',
      args: ['-conf', '/etc/coredns/Corefile'],
      volumeMounts: [{ name: 'config', mountPath: '/etc/coredns', readOnly: true }],
      readinessProbe: { httpGet: { path: '/ready', port: 8181 }, periodSeconds: 1 },
      livenessProbe: { httpGet: { path: '/health', port: 8080 }, initialDelaySeconds: 60, failureThreshold: 5 },
    },
  ],
  volumes: [{ name: 'config', configMap: { name: named.name } }],
}

/** Returns when it answers: by then its pods have reached the API server by its Service. */
export async function installDns(lab: TestCluster, dualStack: boolean, signal?: AbortSignal): Promise<void> {
  await lab.apply({ apiVersion: 'v1', kind: 'List', items: dnsObjects(dualStack) })
  await lab.untilAvailable('kube-system', 'coredns', undefined, signal)
}
