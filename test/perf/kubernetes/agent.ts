/**
 * The part of `hack/bench kubernetes` that runs in a lab's network, next to its API server: started by remote.ts with the lab's name, asked by
 * messages, ended when the channel closes.
 */
import { Kubelab } from '../../kubelab/kubelab.ts'
import { labPaths } from '../../kubelab/layout.ts'
import { Api } from './api.ts'
import { changes } from './changes.ts'
import { firstPackets } from './first-packet.ts'
import { localPods } from './local-pods.ts'
import { rollingRestart } from './restart.ts'
import { scale } from './scale.ts'

const name = process.argv[2]!
const api = await Api.open(labPaths(name).adminKubeconfig)
const lab = Kubelab.open(name)

/** What can be asked; parameters and answers are plain data. */
const methods = {
  namespace: (wanted: string, annotations?: Record<string, string>) => api.namespace(wanted, annotations),
  startPod: (namespace: string, pod: string, node: string) => api.startPod(namespace, pod, node),
  /** All at once. */
  startPods: (namespace: string, pods: readonly string[], node: string) =>
    Promise.all(pods.map((pod) => api.startPod(namespace, pod, node))),
  removePods: (namespace: string, pods: readonly string[]) => api.removePods(namespace, pods),
  firstPackets: (networks: number, pods: number) => firstPackets(lab, api, networks, pods),
  changes: (toggles: number, routers: number) => changes(lab, api, toggles, routers),
  rollingRestart: () => rollingRestart(lab, api),
  localPods: (count: number, idleSeconds: number) => localPods(lab, api, count, idleSeconds),
  scale: (pods: number, nodes: number, churnSeconds: number) => scale(lab, api, pods, nodes, churnSeconds),
} as const

export type Methods = typeof methods

process.on(
  'message',
  async ({ id, method, parameters }: { id: number; method: keyof Methods; parameters: never[] }) => {
    try {
      const result = await (methods[method] as (...all: never[]) => Promise<unknown>)(...parameters)
      process.send!({ id, result })
    } catch (error) {
      process.send!({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) })
    }
  },
)
process.on('disconnect', () => process.exit())
process.send!({ id: 0, result: 'ready' })
