/** Manifests of the pods that the tests run: `nettool serve` in all of them, so each answers with the address that it sees. */
import { boxImage } from '../kubelab/images.ts'

export interface PodWanted {
  readonly name: string
  readonly namespace: string
  /** `node1`; absent: the scheduler's choice. */
  readonly node?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly hostNetwork?: boolean
  /** Default: `nettool serve`; for a pod of the host's network on ports that are free there. */
  readonly command?: readonly string[]
  /** More keys of the container: probes. */
  readonly container?: object
}

/** Ports that `nettool serve` uses in a pod of the host's network: the others belong to the host. */
export const hostPorts = { http: 18080, tcp: 18007, udp: 18007 } as const

export function podManifest(pod: PodWanted): object {
  const serveOnHost = ['-http', `${hostPorts.http}`, '-tcp', `${hostPorts.tcp}`, '-udp', `${hostPorts.udp}`]
  const command = pod.command ?? ['nettool', 'serve', ...(pod.hostNetwork === true ? serveOnHost : [])]
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: pod.name,
      namespace: pod.namespace,
      labels: { app: pod.name, ...pod.labels },
      annotations: pod.annotations ?? {},
    },
    spec: {
      ...(pod.node !== undefined && { nodeName: pod.node }),
      ...(pod.hostNetwork === true && { hostNetwork: true }),
      terminationGracePeriodSeconds: 1,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      tolerations: [{ operator: 'Exists' }],
      containers: [
        {
          name: 'box',
          image: boxImage,
          imagePullPolicy: 'Never',
          command,
          readinessProbe: {
            tcpSocket: { port: pod.hostNetwork === true ? hostPorts.http : 80 },
            periodSeconds: 1,
          },
          ...pod.container,
        },
      ],
    },
  }
}

export function namespaceManifest(
  name: string,
  annotations: Readonly<Record<string, string>> = {},
  labels: Readonly<Record<string, string>> = {},
): object {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name, annotations, labels } }
}

export function networkManifest(
  namespace: string,
  name: string,
  subnets: readonly string[],
  labels: Readonly<Record<string, string>> = {},
  more: object = {},
): object {
  return {
    apiVersion: 'vrouter.dev/v1alpha1',
    kind: 'VirtualNetwork',
    metadata: { name, namespace, labels },
    spec: { subnets: subnets.map((cidr) => ({ cidr })), ...more },
  }
}
