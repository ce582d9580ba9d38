/** What whoever looks at a pod is told about its network: why it has none, what of its annotations does nothing, that it is not as it would be if it started now. */

import type { Slip } from '../model/annotations.ts'
import type { Pod } from '../model/objects.ts'
import { movedMessage, networkNow, unmanagedMessage, unmanagedPods } from '../model/unmanaged-pods.ts'
import { PortError, reportOf } from './errors.ts'
import type { Settings } from './options.ts'
import type { PortTable } from './port-table.ts'

export interface PodName {
  readonly namespace: string
  readonly name: string
  readonly uid: string
}

export class PodReports {
  readonly #options: Pick<Settings, 'source' | 'cluster' | 'log'>
  readonly #table: PortTable
  /** Pods without a port, and whether they had none at the last upkeep either: then it isn't a deletion under way. */
  #unmanaged: ReadonlyMap<string, { readonly pod: Pod; readonly isCertain: boolean }> = new Map()
  /** What was reported of pods that stay as they are, and isn't reported again. */
  #reported: ReadonlySet<string> = new Set()

  constructor(options: Pick<Settings, 'source' | 'cluster' | 'log'>, table: PortTable) {
    this.#options = options
    this.#table = table
  }

  /** Pods of this node that were here before us: somebody else gave them their addresses. */
  unmanaged(): Pod[] {
    return [...this.#unmanaged.values()].flatMap(({ pod, isCertain }) => (isCertain ? [pod] : []))
  }

  /** Tells once of pods that aren't as they would be if they started now. Whether they are others than before. */
  look(): boolean {
    const { source, cluster } = this.#options
    const state = source.state()
    const ports = this.#table.all().map(({ port }) => port)
    const before = this.#unmanaged
    const now = unmanagedPods(state.pods.values(), ports)
    this.#unmanaged = new Map(now.map((pod) => [pod.uid, { pod, isCertain: before.has(pod.uid) }]))
    const reported = new Set<string>()
    const report = (pod: PodName, reason: string, message: string, isWorking = false) => {
      const key = `${pod.uid} ${message}`
      reported.add(key)
      if (this.#reported.has(key)) return
      source.report({ object: objectOf(pod), type: 'Warning', reason, message, ...(isWorking && { isWorking }) })
    }
    for (const pod of this.unmanaged()) report(pod, 'NotInNetwork', unmanagedMessage(pod))
    for (const port of ports) {
      const vn = networkNow(port, state, cluster.name)
      if (vn !== undefined)
        report({ namespace: port.namespace, ...port.pod }, 'NetworkChanged', movedMessage(port, vn), true)
    }
    const isChanged = [...reported].some((key) => !this.#reported.has(key)) || reported.size !== this.#reported.size
    this.#reported = reported
    return isChanged
  }

  /** Whoever looks at the pod learns why it has no network, in the words that its runtime gets. */
  async onFailure<T>(pod: PodName | undefined, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      const isNews = error instanceof PortError && error.code !== 'NOT_READY' && error.code !== 'RELEASED'
      if (isNews && pod !== undefined)
        this.#options.source.report({ object: objectOf(pod), type: 'Warning', ...reportOf(error) })
      throw error
    }
  }

  /** What of the pod's annotations does nothing, though it starts. */
  slips(pod: PodName, slips: readonly Slip[]): void {
    const { source, log } = this.#options
    for (const { message, isForeign } of slips) {
      log.warn({ pod: `${pod.namespace}/${pod.name}` }, message)
      const type = isForeign === true ? 'Normal' : 'Warning'
      source.report({ object: objectOf(pod), type, reason: 'AnnotationUnclear', message, isWorking: true })
    }
  }
}

function objectOf({ namespace, name, uid }: PodName) {
  return { kind: 'Pod', namespace, name, uid } as const
}
