/** etcd, API server, controller manager and scheduler of a lab, in the fabric. Each can be ended and started again by its name. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { writeWhole } from '../lab/files.ts'
import { end, isRunning, type ProcessId, readProcess, startDetached, startTimeOf } from '../lab/process.ts'
import { until } from './command.ts'
import { childrenOf, enterLab } from './holder.ts'
import { clusterRanges, type LabPaths, labPaths, tools, underlay } from './layout.ts'

export const parts = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler'] as const
export type Part = (typeof parts)[number]

export interface ControlPlaneOptions {
  readonly dualStack: boolean
}

/** Command line of a part, but for the program itself. */
export function partArguments(
  part: Part,
  { pki, controlPlane }: LabPaths,
  { dualStack }: ControlPlaneOptions,
): string[] {
  const file = (name: string) => join(pki, name)
  const { pods, services } = clusterRanges(dualStack)
  const client = (name: string) => [
    `--kubeconfig=${file(`${name}.kubeconfig`)}`,
    `--authentication-kubeconfig=${file(`${name}.kubeconfig`)}`,
    `--authorization-kubeconfig=${file(`${name}.kubeconfig`)}`,
    '--leader-elect=false',
    '--bind-address=127.0.0.1',
    // With the usual 20 requests a second, the first service account takes 5 s longer.
    '--kube-api-qps=500',
    '--kube-api-burst=1000',
  ]
  switch (part) {
    case 'etcd':
      return [
        `--data-dir=${join(controlPlane, 'etcd-data')}`,
        '--unsafe-no-fsync',
        '--listen-client-urls=http://127.0.0.1:2379',
        '--advertise-client-urls=http://127.0.0.1:2379',
        '--listen-peer-urls=http://127.0.0.1:2380',
        '--initial-advertise-peer-urls=http://127.0.0.1:2380',
        '--initial-cluster=default=http://127.0.0.1:2380',
        '--log-level=warn',
      ]
    case 'kube-apiserver':
      return [
        '--etcd-servers=http://127.0.0.1:2379',
        `--advertise-address=${underlay.api4}`,
        '--bind-address=::',
        `--secure-port=${underlay.apiPort}`,
        `--tls-cert-file=${file('apiserver.crt')}`,
        `--tls-private-key-file=${file('apiserver.key')}`,
        `--client-ca-file=${file('ca.crt')}`,
        `--token-auth-file=${file('tokens.csv')}`,
        `--kubelet-client-certificate=${file('kubelet-client.crt')}`,
        `--kubelet-client-key=${file('kubelet-client.key')}`,
        '--kubelet-preferred-address-types=InternalIP',
        '--service-account-issuer=https://kubernetes.default.svc.cluster.local',
        `--service-account-key-file=${file('sa.pub')}`,
        `--service-account-signing-key-file=${file('sa.key')}`,
        `--requestheader-client-ca-file=${file('ca.crt')}`,
        '--requestheader-allowed-names=front-proxy',
        '--requestheader-extra-headers-prefix=X-Remote-Extra-',
        '--requestheader-group-headers=X-Remote-Group',
        '--requestheader-username-headers=X-Remote-User',
        `--proxy-client-cert-file=${file('front-proxy.crt')}`,
        `--proxy-client-key-file=${file('front-proxy.key')}`,
        '--authorization-mode=Node,RBAC',
        '--allow-privileged',
        // Services by their endpoints: no kube-proxy runs here that would know their addresses.
        '--enable-aggregator-routing',
        `--service-cluster-ip-range=${services}`,
        '--profiling=false',
        '--v=1',
      ]
    case 'kube-controller-manager':
      return [
        ...client('controller-manager'),
        `--service-account-private-key-file=${file('sa.key')}`,
        `--root-ca-file=${file('ca.crt')}`,
        '--use-service-account-credentials',
        '--allocate-node-cidrs',
        `--cluster-cidr=${pods}`,
        `--service-cluster-ip-range=${services}`,
        `--cluster-signing-cert-file=${file('ca.crt')}`,
        `--cluster-signing-key-file=${file('ca.key')}`,
        '--v=1',
      ]
    case 'kube-scheduler':
      return [...client('scheduler'), '--v=1']
  }
}

export function partLog(lab: string, part: Part): string {
  return join(labPaths(lab).controlPlane, `${part}.log`)
}

function partFile(lab: string, part: Part): string {
  return join(labPaths(lab).controlPlane, `${part}.pid`)
}

export function isPartRunning(lab: string, part: Part): boolean {
  return isRunning(readProcess(partFile(lab, part)))
}

export async function startPart(lab: string, part: Part, options: ControlPlaneOptions): Promise<void> {
  if (isPartRunning(lab, part)) throw new Error(`${part} is running already`)
  const paths = labPaths(lab)
  mkdirSync(paths.controlPlane, { recursive: true })
  const file = partFile(lab, part)
  const temporary = `TMPDIR=${paths.controlPlane}`
  const command = [...enterLab(lab), 'env', temporary, join(tools.bin, part), ...partArguments(part, paths, options)]
  const entered = startDetached(command, partLog(lab, part), `${file}.nsenter`)
  // nsenter stays as the parent, outside of the pid namespace: its child is the part.
  const child = await until(`${part} to start`, () => childOf(entered), { everyMs: 5 })
  writeWhole(file, JSON.stringify(child))
}

function childOf({ pid }: ProcessId): ProcessId | undefined {
  const child = childrenOf(pid)[0]
  const startTime = child === undefined ? undefined : startTimeOf(child)
  return child === undefined || startTime === undefined ? undefined : { pid: child, startTime }
}

/** @returns whether it was running */
export async function stopPart(lab: string, part: Part, signal: 'SIGTERM' | 'SIGKILL'): Promise<boolean> {
  return await end(partFile(lab, part), signal)
}
