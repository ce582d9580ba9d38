/** A lab as a whole: up, down, status. */
import { existsSync, mkdirSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { createFabric, createNode, fabricNetns } from './fabric.ts'
import { holderOf, startHolder } from './holder.ts'
import { labPaths, labsDirectory, nodePaths, underlay } from './layout.ts'
import { askDaemon, isDaemonRunning, nodesOf, startDaemon, stopDaemon, waitUntilReady, writeConfig } from './node.ts'
import { listPods } from './pod.ts'
import { end, processesIn } from './process.ts'
import { attempt } from './shell.ts'
import { list } from './store.ts'

export interface LabState {
  readonly name: string
  readonly nodes: number
}

/** First half of `up`, outside the lab's mount namespace. */
export function prepare(name: string): void {
  if (holderOf(name) !== undefined)
    throw new Error(`lab ${name} is up already: hack/lab down --name ${name}, or give another --name`)
  if (existsSync(labPaths(name).root)) {
    throw new Error(
      `${labPaths(name).root} is left from a lab that ended badly: hack/lab down --name ${name} clears it away`,
    )
  }
  startHolder(name)
}

/** Second half, inside it: fabric, nodes, daemons; returns when every daemon can serve ADD. */
export async function up(name: string, nodes: number, extraConfig = ''): Promise<void> {
  writeFileSync(labPaths(name).state, JSON.stringify({ name, nodes } satisfies LabState))
  mkdirSync(labPaths(name).store, { recursive: true })
  createFabric()
  for (const node of nodesOf(name, nodes)) {
    createNode(node)
    writeConfig(name, node, extraConfig)
    startDaemon(node)
  }
  await Promise.all(nodesOf(name, nodes).map((node) => waitUntilReady(node)))
}

export function readState(name: string): LabState {
  return JSON.parse(readFileSync(labPaths(name).state, 'utf8')) as LabState
}

function inodeOf(path: string): string | undefined {
  try {
    return `net:[${statSync(path).ino}]`
  } catch {
    return undefined
  }
}

/** Inside the mount namespace: ends everything that runs in the lab's network namespaces and deletes those. */
export async function down(name: string): Promise<void> {
  const state: LabState = existsSync(labPaths(name).state) ? readState(name) : { name, nodes: 0 }
  const nodes = nodesOf(name, state.nodes)
  await Promise.all(nodes.map((node) => stopDaemon(node, 'SIGTERM')))
  const netns = [
    fabricNetns,
    ...nodes.map((node) => node.netns),
    ...listPods(name).map((pod) => `/run/netns/pod-${pod.name}`),
  ]
  const own = readlinkSync('/proc/self/ns/net')
  const inodes = new Set(netns.map(inodeOf).filter((inode): inode is string => inode !== undefined && inode !== own))
  for (const pid of processesIn('net', inodes)) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // it ended by itself meanwhile
    }
  }
  for (const path of netns) {
    if (existsSync(path)) attempt(['ip', 'netns', 'del', path.slice('/run/netns/'.length)])
  }
}

/** Last step, from outside: the holder and the folder. Works for a lab that is half up or long dead. */
export async function clear(name: string): Promise<void> {
  const { root } = labPaths(name)
  await end(`${root}/holder.pid`, 'SIGKILL')
  rmSync(root, { recursive: true, force: true })
  if (existsSync(labsDirectory)) {
    attempt(['rmdir', '--ignore-fail-on-non-empty', labsDirectory])
  }
}

export interface Status {
  readonly name: string
  readonly nodes: readonly {
    readonly node: number
    readonly name: string
    readonly address: string
    readonly address6: string
    readonly daemon: 'ready' | 'not ready' | 'stopped'
    readonly introspect: string
    readonly log: string
  }[]
  readonly pods: readonly {
    readonly name: string
    readonly namespace: string
    readonly node: number
    readonly addresses: readonly string[]
  }[]
  readonly objects: readonly string[]
}

export async function status(name: string): Promise<Status> {
  const state = readState(name)
  const nodes = await Promise.all(
    nodesOf(name, state.nodes).map(async (node, index) => {
      const answer = await askDaemon(node, { op: 'status' })
      return {
        node: index + 1,
        name: node.name,
        address: node.address4,
        address6: node.address6,
        daemon: !isDaemonRunning(node)
          ? ('stopped' as const)
          : answer?.['ok'] === true
            ? ('ready' as const)
            : ('not ready' as const),
        introspect: `http://${node.address4}:8085/`,
        log: node.log,
      }
    }),
  )
  const pods = listPods(name).map((pod) => ({
    name: pod.name,
    namespace: pod.namespace,
    node: pod.node,
    addresses: pod.result.ips.map((ip) => ip.address),
  }))
  return { name, nodes, pods, objects: list(name) }
}

export function printStatus(answer: Status): string {
  const lines = [
    `lab ${answer.name}: underlay ${underlay.prefix4}.0/${underlay.prefixLength4}, gateway ${underlay.gateway4}`,
  ]
  for (const node of answer.nodes) {
    lines.push(
      `  node ${node.node}  ${node.address.padEnd(14)} ${node.address6.padEnd(10)} daemon ${node.daemon.padEnd(9)} ${node.introspect}`,
    )
  }
  lines.push(answer.pods.length === 0 ? '  no pods' : '  pods:')
  for (const pod of answer.pods) {
    lines.push(`    ${pod.name.padEnd(16)} ${pod.namespace.padEnd(12)} node ${pod.node}  ${pod.addresses.join(' ')}`)
  }
  lines.push(`  objects: ${answer.objects.length === 0 ? 'none' : answer.objects.join(' ')}`)
  return lines.join('\n')
}

/** Node I of the lab, checked. */
export function nodeOf(name: string, text: string | number): ReturnType<typeof nodePaths> {
  const count = readState(name).nodes
  const number = Number(text)
  if (!Number.isInteger(number) || number < 1 || number > count) {
    throw new Error(`node ${JSON.stringify(text)}: lab ${name} has nodes 1 to ${count}`)
  }
  return nodePaths(name, number)
}
