/** One node of a lab: number 1 of namespaces of its own, with containerd and kubelet in it. `powerOff` is a power loss; `boot` starts it again. */
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { end, isRunning, readProcess } from '../lab/process.ts'
import { makeCgroups, removeCgroups } from './cgroups.ts'
import { run, until } from './command.ts'
import { enter, enterLab, startNamespaces } from './holder.ts'
import { labPaths, type NodePaths } from './layout.ts'
import {
  containerdConfig,
  diskFolders,
  initScript,
  kubeletConfig,
  type NodeOptions,
  nodeFiles,
  nodePath,
  proxyConfig,
  resolvConf,
} from './node-config.ts'
import { kubeconfig } from './pki.ts'

/** The node's disk with its configuration, before its first boot. Runs inside of the lab where the disk is a tmpfs: see `writeInLab`. */
export async function prepareDisk(lab: string, node: NodePaths, options: NodeOptions): Promise<void> {
  const { pki } = labPaths(lab)
  const files: readonly (readonly [string, string])[] = [
    [nodeFiles.containerd, containerdConfig()],
    [nodeFiles.kubelet, kubeletConfig(node, options)],
    [nodeFiles.kubeconfig, kubeconfig(`${node.name}-token`, nodeFiles.authority)],
    [nodeFiles.proxy, proxyConfig(node, options)],
    [nodeFiles.proxyKubeconfig, kubeconfig('proxy-token', nodeFiles.authority)],
    [nodeFiles.authority, readFileSync(join(pki, 'ca.crt'), 'utf8')],
    [nodeFiles.resolv, resolvConf],
  ]
  const staged = join(labPaths(lab).root, `${node.name}.files`)
  for (const [path, text] of files) {
    const file = join(staged, path)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
  }
  mkdirSync(join(staged, 'etc/cni/net.d'), { recursive: true })
  writeFileSync(node.init, initScript(node, options))
  const folders = diskFolders.map((folder) => join(node.disk, folder))
  await run([
    ...enterLab(lab),
    ...['sh', '-ec', 'staged=$1; disk=$2; shift 2; mkdir -p "$@"; cp -a "$staged/etc/." "$disk/etc/"', 'sh'],
    ...[staged, node.disk, ...folders],
  ])
}

export function isUp(node: NodePaths): boolean {
  return isRunning(readProcess(node.pid))
}

/** Starts the node; returns when its containerd answers. */
export async function boot(lab: string, node: NodePaths, options: NodeOptions, signal?: AbortSignal): Promise<void> {
  if (isUp(node)) throw new Error(`${node.name} is up already`)
  // Groups of containers that died with the node make the kubelet look for each of them for seconds.
  removeCgroups(`${options.cgroup}/${node.name}`)
  makeCgroups(options.cgroup, node.name)
  const kinds = ['--mount', '--net', '--pid', '--uts', '--ipc']
  await startNamespaces(kinds, ['bash', node.init], node.console, node.pid, enterLab(lab))
  const command = onNode(node, ['ctr', 'version'], options.containerd)
  await until(`containerd of ${node.name}`, () => run(command, { timeoutMs: 30_000 }), {
    timeoutMs: 180_000,
    everyMs: 50,
    signal,
    explain: () => `see ${node.console} and ${join(node.disk, 'var-log/containerd.log')}`,
  })
}

/** What a power loss is to a machine: everything of it ends at once; the disk stays. @returns whether it was up */
export async function powerOff(node: NodePaths, options: NodeOptions): Promise<boolean> {
  const wasUp = await end(node.pid, 'SIGKILL')
  await until(`${node.name} to be gone`, () => removeCgroups(`${options.cgroup}/${node.name}`).length === 0, {
    timeoutMs: 120_000,
    everyMs: 20,
  })
  return wasUp
}

/** Puts a command onto the node, in all of its namespaces. */
export function onNode(node: NodePaths, command: readonly string[], containerd: 1 | 2): string[] {
  const id = readProcess(node.pid)
  if (id === undefined || !isRunning(id)) throw new Error(`${node.name} is down`)
  const environment = [`PATH=${nodePath(containerd)}`, `HOME=/root`]
  return [...enter(id.pid, ['mount', 'net', 'pid', 'uts', 'ipc']), '--wd=/', 'env', ...environment, ...command]
}

/** Imports an image archive into the node's containerd. */
export async function loadImage(
  node: NodePaths,
  archive: string,
  options: NodeOptions,
  signal?: AbortSignal,
): Promise<void> {
  if (!existsSync(archive)) throw new Error(`${archive}: no such file`)
  const file = openSync(archive, 'r')
  try {
    const command = ['ctr', '-n', 'k8s.io', 'images', 'import', '-']
    await run(onNode(node, command, options.containerd), { stdin: file, timeoutMs: 300_000, signal })
  } finally {
    closeSync(file)
  }
}
