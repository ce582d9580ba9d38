/**
 * Where a lab keeps its things, and what is called how. Everything of lab NAME lies under /run/kube-vrouter-lab/NAME; its network
 * namespaces and its bpffs exist only in a mount namespace of its own, so labs can't see each other and leave nothing on the machine.
 */
import { join, resolve } from 'node:path'

export const repository = resolve(import.meta.dirname, '../..')
export const labsDirectory = '/run/kube-vrouter-lab'

const namePattern = /^[a-z0-9]([a-z0-9-]{0,28}[a-z0-9])?$/

/** The underlay: a bridge in the fabric namespace is the gateway, nodes count from .11. */
export const underlay = {
  prefix4: '172.30.0',
  prefixLength4: 24,
  gateway4: '172.30.0.1',
  prefix6: 'fd30::',
  prefixLength6: 64,
  gateway6: 'fd30::1',
  mtu: 1500,
} as const

export function checkName(what: string, name: string): string {
  if (!namePattern.test(name)) {
    throw new Error(
      `${what} ${JSON.stringify(name)}: use lower case letters, digits and '-', 30 at the most, beginning and ending with a letter or digit`,
    )
  }
  return name
}

/** What a command that is suggested to the user needs to mean this lab. */
export function nameFlag(lab: string): string {
  return lab === 'lab' ? '' : ` --name ${lab}`
}

export interface LabPaths {
  readonly root: string
  readonly state: string
  readonly store: string
  readonly pods: string
  readonly bpf: string
}

export function labPaths(name: string): LabPaths {
  const root = join(labsDirectory, checkName('lab name', name))
  return {
    root,
    state: join(root, 'lab.json'),
    store: join(root, 'store'),
    pods: join(root, 'pods'),
    bpf: join(root, 'bpf'),
  }
}

export interface NodePaths {
  readonly name: string
  readonly netns: string
  readonly root: string
  readonly config: string
  readonly state: string
  readonly run: string
  readonly socket: string
  readonly pins: string
  readonly log: string
  readonly pid: string
  readonly address4: string
  readonly address6: string
}

export function nodePaths(lab: string, node: number): NodePaths {
  const paths = labPaths(lab)
  const name = `node${node}`
  const root = join(paths.root, name)
  return {
    name,
    netns: `/run/netns/${name}`,
    root,
    config: join(root, 'config.yaml'),
    state: join(root, 'state'),
    run: join(root, 'run'),
    socket: join(root, 'run', 'cni.sock'),
    pins: join(paths.bpf, name),
    log: join(root, 'daemon.log'),
    pid: join(root, 'daemon.pid'),
    address4: `${underlay.prefix4}.${10 + node}`,
    address6: `${underlay.prefix6}${10 + node}`,
  }
}

export function podNetns(pod: string): string {
  return `/run/netns/pod-${checkName('pod name', pod)}`
}
