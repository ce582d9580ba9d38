/** Calls of the CNI binary as a runtime makes them, inside a lab's mount namespace. */
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { dirname } from 'node:path'
import { nodePaths } from '../lab/layout.ts'
import { cniBinary } from '../lab/node.ts'

export interface Attachment {
  readonly namespace: string
  /** Its network namespace has the same name. */
  readonly pod: string
  readonly containerId: string
}

/** What the binary reads on the lab's first node. */
export function configOf(lab: string): string {
  const { socket, state } = nodePaths(lab, 1)
  return JSON.stringify({ cniVersion: '1.1.0', name: 'kube-vrouter', type: 'vrouter-cni', socket, stateDir: state })
}

export function environment(command: 'ADD' | 'DEL', { namespace, pod, containerId }: Attachment): NodeJS.ProcessEnv {
  return {
    PATH: process.env['PATH'],
    CNI_COMMAND: command,
    CNI_CONTAINERID: containerId,
    CNI_NETNS: `/run/netns/${pod}`,
    CNI_IFNAME: 'eth0',
    CNI_PATH: dirname(cniBinary),
    CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${pod};K8S_POD_INFRA_CONTAINER_ID=${containerId}`,
  }
}

/** Wall time, ms. Throws when the program fails. */
export function timed(program: string, input: string, env: NodeJS.ProcessEnv): number {
  const start = performance.now()
  const { status, stdout, stderr } = spawnSync(program, { input, env, encoding: 'utf8' })
  const elapsedMs = performance.now() - start
  if (status !== 0) throw new Error(`${program} ended with ${status}: ${stdout}${stderr}`)
  return elapsedMs
}

/** The id of a new container. */
export function container(): string {
  return randomBytes(32).toString('hex')
}
