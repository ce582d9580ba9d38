/** One node of a lab: its namespace, its configuration, its daemon. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { labPaths, type NodePaths, nodePaths, repository } from './layout.ts'
import { end, isRunning, readProcess, startDetached } from './process.ts'

export const toolsFolder = join(repository, 'daemon/dist/bin')
export const cniBinary = join(repository, 'cni-plugin/dist/vrouter-cni')
export const introspectPort = 8085

export function writeConfig(lab: string, node: NodePaths, extra = ''): void {
  for (const folder of [node.root, node.state, node.run]) mkdirSync(folder, { recursive: true })
  const text = `# Configuration of ${node.name} in lab ${lab}; written by hack/lab up.
node: ${node.name}
source:
  type: directory
  path: ${labPaths(lab).store}
underlay:
  interface: eth0
  watchSeconds: 5
paths:
  state: ${node.state}
  run: ${node.run}
  pins: ${node.pins}
  objects: ${join(repository, 'daemon/datapath/build')}
  cniConf: ${join(node.root, 'cni')}
introspect:
  addresses: [127.0.0.1, ${node.address4}]
  port: ${introspectPort}
${extra}`
  writeFileSync(node.config, text)
}

export function inNode(node: NodePaths, command: readonly string[]): string[] {
  return ['nsenter', `--net=${node.netns}`, ...command]
}

/** Environment of a command inside a node: the tools on the PATH, reading this node's pins. */
export function nodeEnvironment(node: NodePaths): Record<string, string> {
  return { PATH: `${toolsFolder}:${process.env.PATH ?? ''}`, VROUTER_PINS: node.pins, VROUTER_CONFIG: node.config }
}

export function startDaemon(node: NodePaths): void {
  if (isRunning(readProcess(node.pid))) throw new Error(`the daemon of ${node.name} is running already`)
  startDetached(inNode(node, [join(toolsFolder, 'vrouter'), 'run', '--config', node.config]), node.log, node.pid)
}

export async function stopDaemon(node: NodePaths, signal: 'SIGTERM' | 'SIGKILL'): Promise<boolean> {
  return await end(node.pid, signal)
}

export function isDaemonRunning(node: NodePaths): boolean {
  return isRunning(readProcess(node.pid))
}

/** One request on cni.sock; undefined when nobody answers. */
export function askDaemon(
  node: NodePaths,
  request: object,
  timeoutMs = 10_000,
): Promise<Record<string, unknown> | undefined> {
  return new Promise((settle) => {
    const socket = connect(node.socket)
    let text = ''
    const done = (answer?: Record<string, unknown>) => {
      socket.destroy()
      settle(answer)
    }
    socket.setTimeout(timeoutMs, () => done())
    socket.on('error', () => done())
    socket.on('connect', () => socket.write(`${JSON.stringify(request)}\n`))
    socket.on('data', (chunk) => {
      text += chunk.toString('utf8')
      if (text.includes('\n')) done(JSON.parse(text.slice(0, text.indexOf('\n'))) as Record<string, unknown>)
    })
    socket.on('close', () => done())
  })
}

/** Waits until the daemon says that it can serve ADD; returns how long that took, ms. */
export async function waitUntilReady(node: NodePaths, timeoutMs = 180_000): Promise<number> {
  const begun = performance.now()
  for (;;) {
    const answer = await askDaemon(node, { op: 'status' })
    if (answer?.['ok'] === true) return performance.now() - begun
    const waited = performance.now() - begun
    if (!isDaemonRunning(node) || waited > timeoutMs) {
      const why = isDaemonRunning(node)
        ? `is not ready after ${Math.round(waited)} ms (${JSON.stringify(answer ?? 'no answer')})`
        : 'has ended'
      throw new Error(`the daemon of ${node.name} ${why}; the end of ${node.log}:\n${tail(node.log, 15)}`)
    }
    await sleep(10)
  }
}

export function tail(file: string, lines: number): string {
  try {
    return readFileSync(file, 'utf8').trimEnd().split('\n').slice(-lines).join('\n')
  } catch {
    return '(no log)'
  }
}

export function nodesOf(lab: string, count: number): NodePaths[] {
  return Array.from({ length: count }, (_, index) => nodePaths(lab, index + 1))
}
