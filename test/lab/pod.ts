/** Pods of a lab: a namespace, and the CNI binary called as a container runtime calls it. */
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { HostPortWanted } from './command-line.ts'
import { writeWhole } from './files.ts'
import { checkName, labPaths, nameFlag, nodePaths, podNetns } from './layout.ts'
import { cniBinary, inNode } from './node.ts'
import { attempt, run } from './shell.ts'

export interface Pod {
  readonly name: string
  readonly namespace: string
  readonly node: number
  readonly ifname: string
  readonly containerId: string
  readonly uid: string
  readonly labels: string
  readonly annotations: Readonly<Record<string, string>>
  readonly hostPorts?: readonly HostPortWanted[]
  readonly result: CniResult
}

export interface CniResult {
  readonly cniVersion: string
  readonly interfaces: readonly { readonly name: string; readonly mac?: string; readonly sandbox?: string }[]
  readonly ips: readonly { readonly address: string; readonly gateway?: string; readonly interface?: number }[]
}

export class CniError extends Error {
  readonly code: number
  constructor(code: number, message: string) {
    super(message)
    this.code = code
  }
}

function uidOf(lab: string, namespace: string, name: string, containerId: string): string {
  const hex = createHash('sha256').update(`${lab}/${namespace}/${name}/${containerId}`).digest('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}

function podFile(lab: string, name: string): string {
  return join(labPaths(lab).pods, `${checkName('pod name', name)}.json`)
}

function callCni(lab: string, command: 'ADD' | 'DEL', pod: Omit<Pod, 'result'>): string {
  const node = nodePaths(lab, pod.node)
  const args = [
    'IgnoreUnknown=1',
    `K8S_POD_NAMESPACE=${pod.namespace}`,
    `K8S_POD_NAME=${pod.name}`,
    `K8S_POD_INFRA_CONTAINER_ID=${pod.containerId}`,
    `K8S_POD_UID=${pod.uid}`,
  ]
  if (pod.labels !== '') args.push(`VROUTER_LABELS=${pod.labels.replaceAll(',', ':')}`)
  const config = {
    cniVersion: '1.1.0',
    name: 'kube-vrouter',
    type: 'vrouter-cni',
    socket: node.socket,
    stateDir: node.state,
    runtimeConfig: {
      'io.kubernetes.cri.pod-annotations': pod.annotations,
      // Spelled as containerd spells them.
      portMappings: (pod.hostPorts ?? []).map(({ hostPort, containerPort, protocol, hostIp }) => ({
        ...{ HostPort: hostPort, ContainerPort: containerPort, Protocol: protocol, HostIP: hostIp },
      })),
    },
  }
  const outcome = attempt(inNode(node, [cniBinary]), {
    input: JSON.stringify(config),
    env: {
      CNI_COMMAND: command,
      CNI_CONTAINERID: pod.containerId,
      CNI_NETNS: podNetns(pod.name),
      CNI_IFNAME: pod.ifname,
      CNI_PATH: join(cniBinary, '..'),
      CNI_ARGS: args.join(';'),
    },
  })
  if (outcome.status !== 0) {
    let error: { code?: number; msg?: string; details?: string } = {}
    try {
      error = JSON.parse(outcome.stdout)
    } catch {
      error = { msg: `${outcome.stdout}${outcome.stderr}`.trim() || `exit ${outcome.status}` }
    }
    throw new CniError(
      error.code ?? -1,
      `CNI ${command} of ${pod.namespace}/${pod.name}: ${error.msg}${error.details ? `: ${error.details}` : ''}`,
    )
  }
  return outcome.stdout
}

export interface AddPod {
  readonly name: string
  readonly node: number
  readonly namespace?: string
  readonly labels?: string
  readonly annotations?: Readonly<Record<string, string>>
  readonly ifname?: string
  readonly hostPorts?: readonly HostPortWanted[]
}

/** Makes the pod's namespace and runs ADD; on a failure nothing is left. Returns the CNI result. */
export function addPod(lab: string, request: AddPod): Pod {
  const file = podFile(lab, request.name)
  if (existsSync(file))
    throw new Error(`pod ${request.name} exists already: hack/lab pod del ${request.name}${nameFlag(lab)}`)
  const namespace = request.namespace ?? 'default'
  const containerId = randomBytes(32).toString('hex')
  const pod = {
    name: request.name,
    namespace,
    node: request.node,
    ifname: request.ifname ?? 'eth0',
    containerId,
    uid: uidOf(lab, namespace, request.name, containerId),
    labels: request.labels ?? '',
    annotations: request.annotations ?? {},
    hostPorts: request.hostPorts ?? [],
  }
  run(['ip', 'netns', 'add', `pod-${pod.name}`])
  try {
    const result = JSON.parse(callCni(lab, 'ADD', pod)) as CniResult
    const made: Pod = { ...pod, result }
    writeWhole(file, JSON.stringify(made, undefined, 2))
    return made
  } catch (error) {
    attempt(['ip', 'netns', 'del', `pod-${pod.name}`])
    throw error
  }
}

export function deletePod(lab: string, name: string): void {
  const pod = findPod(lab, name)
  callCni(lab, 'DEL', pod)
  run(['ip', 'netns', 'del', `pod-${name}`])
  rmSync(podFile(lab, name), { force: true })
}

export function findPod(lab: string, name: string): Pod {
  const file = podFile(lab, name)
  if (!existsSync(file)) {
    const known = listPods(lab).map((pod) => pod.name)
    throw new Error(
      `no pod ${JSON.stringify(name)} in lab ${lab}; there ${known.length === 0 ? 'are none' : `are: ${known.join(', ')}`}`,
    )
  }
  return JSON.parse(readFileSync(file, 'utf8')) as Pod
}

export function listPods(lab: string): Pod[] {
  return readdirSync(labPaths(lab).pods)
    .filter((entry) => entry.endsWith('.json'))
    .sort()
    .map((entry) => JSON.parse(readFileSync(join(labPaths(lab).pods, entry), 'utf8')) as Pod)
}

/** The pod's own address of a family, without the prefix length. */
export function addressOf(pod: Pod, family: 4 | 6): string {
  const entry = pod.result.ips.find((ip) => ip.address.includes(':') === (family === 6))
  if (entry === undefined) throw new Error(`pod ${pod.name} has no IPv${family} address`)
  return entry.address.slice(0, entry.address.indexOf('/'))
}
