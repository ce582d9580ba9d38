/** What must be there before a lab can be made: Kubernetes' programs, Debian packages, our image. Also: why it can't be had here. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { attempt } from './command.ts'
import type { Cni } from './kubelab.ts'
import { imageArchive, repository } from './layout.ts'

/** Why no lab can be made on this machine; undefined where it can. */
export async function whyNot(): Promise<string | undefined> {
  if (process.getuid?.() !== 0) return 'a Kubernetes lab needs root: it makes namespaces, cgroups and mounts'
  const check = await attempt([join(repository, 'hack/kubernetes/build'), '--check'])
  if (check.status !== 0 && (await attempt(['sh', '-c', 'command -v go'])).status !== 0)
    return `${check.stderr.trim().replace(/^kubernetes: /, '')}, and there is no Go here to build with`
  const parents = await attempt(['unshare', '--mount', '--net', '--pid', '--fork', '--propagation', 'private', 'true'])
  if (parents.status !== 0) return `namespaces can't be made here: ${parents.stderr.trim()}`
  return undefined
}

const prepared = new Map<Cni, Promise<void>>()

/** Builds what is missing or out of date, once in a process. From nothing that takes about ten minutes. */
export function prepare(cni: Cni, signal?: AbortSignal): Promise<void> {
  const work = prepared.get(cni) ?? build(cni, signal)
  prepared.set(cni, work)
  return work
}

async function build(cni: Cni, signal?: AbortSignal): Promise<void> {
  await mustRun(['hack/kubernetes/packages'], 300_000, signal)
  await mustRun(['hack/kubernetes/build'], 3_600_000, signal)
  if (cni === 'kube-vrouter') await buildImage(signal)
}

/** hack/image makes it anew only where something in it changed. */
export async function buildImage(signal?: AbortSignal): Promise<void> {
  await mustRun(['hack/image'], 900_000, signal)
  if (!existsSync(imageArchive)) throw new Error(`hack/image left no ${imageArchive}`)
}

async function mustRun([program, ...args]: readonly string[], timeoutMs: number, signal?: AbortSignal): Promise<void> {
  const file = join(repository, program!)
  if (!existsSync(file)) throw new Error(`${file}: no such file`)
  const { status, stdout, stderr } = await attempt([file, ...args], { timeoutMs, signal })
  if (status !== 0) throw new Error(`${program}: exit ${status}\n${stdout}${stderr}`)
}
