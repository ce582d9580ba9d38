/** A lab as a whole: up, down, status. */
import { existsSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { createFabric, createNode } from './fabric.ts'
import { writeWhole } from './files.ts'
import { processesOfLab } from './holder.ts'
import { labPaths, labsDirectory, nameFlag, nodePaths, underlay } from './layout.ts'
import { askDaemon, isDaemonRunning, nodesOf, startDaemon, stopDaemon, waitUntilReady, writeConfig } from './node.ts'
import { listPods } from './pod.ts'
import { end, processesIn } from './process.ts'
import { attempt } from './shell.ts'
import { list } from './store.ts'

export interface LabState {
  readonly name: string
  readonly nodes: number
}

/** Inside the lab's mount namespace: fabric, nodes, daemons; returns when every daemon can serve ADD. */
export async function up(name: string, nodes: number, extraConfig = ''): Promise<void> {
  writeWhole(labPaths(name).state, JSON.stringify({ name, nodes } satisfies LabState))
  createFabric()
  for (const node of nodesOf(name, nodes)) {
    createNode(node)
    writeConfig(name, node, extraConfig)
    startDaemon(node)
  }
  await Promise.all(nodesOf(name, nodes).map((node) => waitUntilReady(node)))
}

export function readState(name: string): LabState {
  const { state } = labPaths(name)
  // Absent between the first two steps of `up`.
  return existsSync(state) ? (JSON.parse(readFileSync(state, 'utf8')) as LabState) : { name, nodes: 0 }
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
  await Promise.all(nodesOf(name, readState(name).nodes).map((node) => stopDaemon(node, 'SIGTERM')))
  const netns = readdirSync('/run/netns').filter((entry) => !entry.startsWith('.'))
  const own = readlinkSync('/proc/self/ns/net')
  const inodes = netns.map((entry) => inodeOf(`/run/netns/${entry}`)).filter((inode) => inode !== own)
  killAll(processesIn('net', new Set(inodes.filter((inode) => inode !== undefined))))
  for (const entry of netns) attempt(['ip', 'netns', 'del', entry])
}

/** Last step, from outside: whatever still runs in the lab, and its folder. Works for a lab that is half up or long dead. */
export async function clear(name: string): Promise<void> {
  const { root } = labPaths(name)
  await end(`${root}/holder.pid`, 'SIGKILL')
  const deadline = Date.now() + 60_000
  for (let pids = processesOfLab(name); pids.length > 0; pids = processesOfLab(name)) {
    if (Date.now() > deadline) throw new Error(`lab ${name}: these processes won't end: ${pids.join(', ')}`)
    killAll(pids)
    await sleep(5)
  }
  rmSync(root, { recursive: true, force: true })
  attempt(['rmdir', '--ignore-fail-on-non-empty', labsDirectory])
}

function killAll(pids: readonly number[]): void {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch {
      // it ended by itself meanwhile
    }
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
    `lab ${answer.name}: underlay ${underlay.prefix4}.0/${underlay.prefixLength4}, gateway ${underlay.gateway4}; introspect is reached from inside: hack/lab exec node/1${nameFlag(answer.name)} -- curl URL`,
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
