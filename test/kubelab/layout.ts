/**
 * Where a Kubernetes lab keeps its things, and what is called how. What is small lies under /run/kube-vrouter-kubelab/NAME, the disks of its
 * nodes under /var/lib/kube-vrouter-kubelab/NAME. All its processes live in one pid namespace, its network and its mounts in namespaces
 * without a name: they end with its first process. Only its cgroups are seen by the machine; their name holds a random suffix.
 */
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'
import { checkName } from '../lab/layout.ts'

export const repository = resolve(import.meta.dirname, '../..')
export const labsDirectory = '/run/kube-vrouter-kubelab'
export const disksDirectory = '/var/lib/kube-vrouter-kubelab'
export const defaultName = 'kubelab'
export const imageArchive = join(repository, 'build/kube-vrouter.tar')

const cache = process.env['KUBE_VROUTER_CACHE'] ?? join(homedir(), '.cache/kube-vrouter')

/** What hack/kubernetes built or unpacked. */
export const tools = {
  cache,
  bin: join(cache, 'bin'),
  containerd2: join(cache, 'bin/containerd2'),
  debian: join(cache, 'root'),
  images: join(cache, 'images'),
} as const

/** The underlay: a bridge in the fabric namespace is the nodes' gateway; the API server listens on its address; nodes count from .11. */
export const underlay = {
  api4: '10.10.0.1',
  api6: 'fd00:10::1',
  apiPort: 6443,
  prefix4: '10.10.0',
  prefix6: 'fd00:10::',
  subnet4: '10.10.0.0/24',
  subnet6: 'fd00:10::/64',
} as const

/** A host outside of the cluster, behind the fabric. It has routes to the nodes' subnet only, none to any pod. */
export const outside = {
  address4: '192.0.2.10',
  address6: '2001:db8::10',
  gateway4: '192.0.2.1',
  gateway6: '2001:db8::1',
} as const

export const maximumNodes = 16

export interface Ranges {
  readonly pods: string
  readonly services: string
}

export function clusterRanges(dualStack: boolean): Ranges {
  return dualStack
    ? { pods: '10.244.0.0/16,fd00:244::/56', services: '10.96.0.0/16,fd00:96::/112' }
    : { pods: '10.244.0.0/16', services: '10.96.0.0/16' }
}

/** The cluster's DNS, as kubelets tell their pods. */
export const clusterDns = { ip4: '10.96.0.10', ip6: 'fd00:96::a' } as const

/** What a command that is suggested to the user needs to mean this lab. */
export function nameFlag(lab: string): string {
  return lab === defaultName ? '' : ` --name ${lab}`
}

export interface LabPaths {
  readonly root: string
  readonly disks: string
  readonly state: string
  readonly holder: string
  readonly holderLog: string
  readonly pki: string
  readonly adminKubeconfig: string
  readonly controlPlane: string
}

export function labPaths(name: string): LabPaths {
  const root = join(labsDirectory, checkName('lab name', name))
  const pki = join(root, 'pki')
  return {
    root,
    disks: join(disksDirectory, name),
    state: join(root, 'lab.json'),
    holder: join(root, 'holder.pid'),
    holderLog: join(root, 'holder.log'),
    pki,
    adminKubeconfig: join(pki, 'admin.kubeconfig'),
    controlPlane: join(root, 'control-plane'),
  }
}

/** What may be another after a boot. */
export interface NodeIdentity {
  readonly name: string
  readonly address4: string
  readonly address6: string
}

export interface NodePaths extends NodeIdentity {
  readonly number: number
  /** The node's own /etc (what differs from the machine's), /opt, /var/lib and /var/log; they outlive a reboot. */
  readonly disk: string
  readonly init: string
  readonly pid: string
  readonly console: string
  readonly mac: string
}

export function nodePaths(lab: string, number: number): NodePaths {
  const { root, disks } = labPaths(lab)
  const name = `node${number}`
  return {
    number,
    name,
    disk: join(disks, name),
    init: join(root, `${name}.init`),
    pid: join(root, `${name}.pid`),
    console: join(root, `${name}.console`),
    address4: `${underlay.prefix4}.${10 + number}`,
    address6: `${underlay.prefix6}${10 + number}`,
    mac: `02:00:0a:0a:00:${(10 + number).toString(16).padStart(2, '0')}`,
  }
}

/** The name that a node's machine may get later: the API server knows a token for it, too. */
export function otherName(node: string): string {
  return `${node}b`
}

export function nodesOf(lab: string, count: number): NodePaths[] {
  return Array.from({ length: count }, (_, index) => nodePaths(lab, index + 1))
}
