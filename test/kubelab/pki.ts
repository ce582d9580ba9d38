/** Who is who in a lab: its authority, the API server's certificate, the key of service accounts, a token and a kubeconfig for each of its parts. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { run, together } from './command.ts'
import { type LabPaths, nodesOf, otherName, underlay } from './layout.ts'

interface Identity {
  readonly file: string
  readonly user: string
  readonly groups: readonly string[]
}

/** Parts that speak to the API server by token. The token is the name of the file: nobody outside of the fabric can reach it. */
function identities(nodes: readonly string[]): Identity[] {
  return [
    { file: 'admin', user: 'admin', groups: ['system:masters'] },
    { file: 'controller-manager', user: 'system:kube-controller-manager', groups: [] },
    { file: 'scheduler', user: 'system:kube-scheduler', groups: [] },
    { file: 'proxy', user: 'system:kube-proxy', groups: [] },
    ...nodes.map((node) => ({ file: node, user: `system:node:${node}`, groups: ['system:nodes'] })),
  ]
}

/** Lines of the API server's --token-auth-file. */
export function tokenLines(nodes: readonly string[]): string {
  return identities(nodes)
    .map(({ file, user, groups }) => `${file}-token,${user},${file},"${groups.join(',')}"\n`)
    .join('')
}

export function kubeconfig(token: string, authority: string): string {
  return `apiVersion: v1
kind: Config
clusters: [{name: lab, cluster: {server: "https://${underlay.api4}:${underlay.apiPort}", certificate-authority: "${authority}"}}]
users: [{name: me, user: {token: "${token}"}}]
contexts: [{name: lab, context: {cluster: lab, user: me}}]
current-context: lab
`
}

const apiNames = [
  `IP:${underlay.api4}`,
  `IP:${underlay.api6}`,
  'IP:127.0.0.1',
  'IP:10.96.0.1',
  'IP:fd00:96::1',
  'DNS:localhost',
  'DNS:kubernetes',
  'DNS:kubernetes.default',
  'DNS:kubernetes.default.svc',
  'DNS:kubernetes.default.svc.cluster.local',
]

export async function makePki(paths: LabPaths, name: string, nodeCount: number, signal?: AbortSignal): Promise<void> {
  const { pki } = paths
  const file = (entry: string) => join(pki, entry)
  mkdirSync(pki, { mode: 0o700 })
  const openssl = (...words: string[]) => run(['openssl', ...words], { signal })
  const newKey = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '30']
  await openssl(
    ...['req', '-x509', ...newKey, '-keyout', file('ca.key'), '-out', file('ca.crt'), '-subj', '/CN=kubelab'],
    ...['-addext', 'keyUsage=critical,keyCertSign,cRLSign'],
  )
  const certificate = (entry: string, subject: string, extension: string) =>
    openssl(
      ...['req', '-x509', ...newKey, '-CA', file('ca.crt'), '-CAkey', file('ca.key'), '-subj', subject],
      ...['-keyout', file(`${entry}.key`), '-out', file(`${entry}.crt`)],
      ...['-addext', 'basicConstraints=critical,CA:FALSE', '-addext', extension],
    )
  await together([
    openssl('genrsa', '-out', file('sa.key'), '2048').then(() =>
      openssl('rsa', '-in', file('sa.key'), '-pubout', '-out', file('sa.pub')),
    ),
    certificate('apiserver', '/CN=kube-apiserver', `subjectAltName=${apiNames.join(',')}`),
    certificate('kubelet-client', '/O=system:masters/CN=kube-apiserver', 'extendedKeyUsage=clientAuth'),
    certificate('front-proxy', '/CN=front-proxy', 'extendedKeyUsage=clientAuth'),
  ])
  const nodes = nodesOf(name, nodeCount).flatMap((node) => [node.name, otherName(node.name)])
  writeFileSync(file('tokens.csv'), tokenLines(nodes))
  for (const { file: entry } of identities(nodes))
    writeFileSync(file(`${entry}.kubeconfig`), kubeconfig(`${entry}-token`, file('ca.crt')))
}
