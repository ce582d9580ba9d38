/**
 * The holder: one sleeping process per lab, whose mount namespace carries the lab's named network namespaces (/run/netns) and its bpffs.
 * Every verb runs inside it; when it ends, the kernel takes all of that away by itself.
 */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { type LabPaths, labPaths } from './layout.ts'
import { isRunning, type ProcessId, readProcess, startDetached } from './process.ts'

function holderFile(paths: LabPaths): string {
  return join(paths.root, 'holder.pid')
}

export function holderOf(name: string): ProcessId | undefined {
  const id = readProcess(holderFile(labPaths(name)))
  return isRunning(id) ? id : undefined
}

export function startHolder(name: string): void {
  const paths = labPaths(name)
  for (const folder of ['/run/netns', paths.root, paths.bpf, paths.store, paths.pods])
    mkdirSync(folder, { recursive: true })
  const script = `mount -t tmpfs tmpfs /run/netns && mount -t bpf bpf ${paths.bpf} && touch /run/netns/.lab && exec sleep infinity`
  const id = startDetached(
    ['unshare', '--mount', '--propagation', 'private', 'sh', '-c', script],
    join(paths.root, 'holder.log'),
    holderFile(paths),
  )
  const deadline = Date.now() + 5000
  while (!existsSync(`/proc/${id.pid}/root/run/netns/.lab`)) {
    if (!isRunning(id) || Date.now() > deadline) {
      throw new Error(
        `the lab's mount namespace did not come up: see ${paths.root}/holder.log (mounting tmpfs and bpf needs root)`,
      )
    }
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
  }
}

/** Whether this process runs in the lab's mount namespace. */
export function isInside(name: string): boolean {
  const holder = holderOf(name)
  return holder !== undefined && readlinkSync('/proc/self/ns/mnt') === readlinkSync(`/proc/${holder.pid}/ns/mnt`)
}

/** Runs this very command line once more, inside the lab's mount namespace; returns its exit code. */
export function runInside(name: string): number {
  const holder = holderOf(name)
  if (holder === undefined)
    throw new Error(`no lab ${JSON.stringify(name)} is up: hack/lab up${name === 'lab' ? '' : ` --name ${name}`}`)
  const command = [
    `--mount=/proc/${holder.pid}/ns/mnt`,
    `--wd=${process.cwd()}`,
    process.execPath,
    ...process.argv.slice(1),
  ]
  const result = spawnSync('nsenter', command, { stdio: 'inherit' })
  if (result.error !== undefined) throw result.error
  return result.status ?? 1
}
