/** The lab's API server, asked from inside the lab's network: objects are made and followed without a process for each. */
import { setTimeout as sleep } from 'node:timers/promises'
import { ApiClient, PATCH_TYPES } from '@kube-vrouter/daemon/kubernetes/client'
import { type KubeObject, pathOf, type Resource } from '@kube-vrouter/daemon/kubernetes/objects'
import { Reflector } from '@kube-vrouter/daemon/kubernetes/reflector'
import { silent } from '@kube-vrouter/daemon/log'
import { NODES, PODS, RESOURCES } from '@kube-vrouter/daemon/sources/kubernetes/resources'
import { boxImage } from '../../kubelab/images.ts'

export { NODES, PODS, RESOURCES }

export interface PodObject extends KubeObject {
  readonly status?: {
    readonly podIP?: string
    readonly conditions?: readonly { readonly type: string; readonly status: string }[]
  }
}

/** Milliseconds since the epoch, finer than Date.now; the same in all processes of the machine. */
export function now(): number {
  return performance.timeOrigin + performance.now()
}

export class Api implements AsyncDisposable {
  readonly client: ApiClient
  readonly #pods = new Map<string, PodObject>()
  readonly #heard = new Set<() => void>()
  readonly #reflector: Reflector

  private constructor(client: ApiClient) {
    this.client = client
    this.#reflector = new Reflector({
      client,
      resource: PODS,
      log: silent,
      handler: {
        beginList: () => undefined,
        endList: () => undefined,
        listed: (pod) => this.#changed(pod),
        changed: (pod) => this.#changed(pod),
        removed: (pod) => {
          this.#pods.delete(keyOf(pod))
          for (const heard of this.#heard) heard()
        },
      },
    })
  }

  static async open(kubeconfig: string): Promise<Api> {
    const api = new Api(new ApiClient({ kubeconfig, server: '' }))
    api.#reflector.start()
    await api.#reflector.synced
    return api
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#reflector[Symbol.asyncDispose]()
    this.client[Symbol.dispose]()
  }

  create<T extends KubeObject>(resource: Resource, body: T): Promise<T> {
    const { namespace } = body.metadata
    return this.client.request<T>({
      method: 'POST',
      path: pathOf(resource, { ...(namespace !== undefined && { namespace }) }),
      body,
    })
  }

  merge(resource: Resource, where: { namespace?: string; name: string }, body: object): Promise<KubeObject> {
    return this.client.request({ method: 'PATCH', path: pathOf(resource, where), contentType: PATCH_TYPES.merge, body })
  }

  async remove(resource: Resource, where: { namespace?: string; name: string }): Promise<void> {
    await this.client.request({ method: 'DELETE', path: pathOf(resource, where), body: { gracePeriodSeconds: 0 } })
  }

  async list<T extends KubeObject>(resource: Resource): Promise<T[]> {
    const { items } = await this.client.request<{ items: T[] }>({ method: 'GET', path: pathOf(resource) })
    return items
  }

  /** A namespace with the service account that pods need. */
  async namespace(name: string, annotations: Readonly<Record<string, string>> = {}): Promise<void> {
    const metadata = { name, annotations }
    await this.create(RESOURCES.Namespace, { apiVersion: 'v1', kind: 'Namespace', metadata })
    const account = pathOf(
      { group: '', version: 'v1', plural: 'serviceaccounts' },
      { namespace: name, name: 'default' },
    )
    for (let attempt = 0; ; attempt++) {
      try {
        await this.client.request({ method: 'GET', path: account })
        return
      } catch (error) {
        if (attempt > 200) throw error
        await sleep(50)
      }
    }
  }

  pod(namespace: string, name: string): PodObject | undefined {
    return this.#pods.get(`${namespace}/${name}`)
  }

  /** Resolves (with the time) as soon as `isTrue`; asked at every change of a pod. */
  async until(what: string, isTrue: () => boolean, timeoutMs = 120_000): Promise<number> {
    if (isTrue()) return now()
    const { promise, resolve, reject } = Promise.withResolvers<number>()
    const heard = () => isTrue() && resolve(now())
    this.#heard.add(heard)
    const timer = setTimeout(() => reject(new Error(`${what}: not within ${timeoutMs / 1000} s`)), timeoutMs)
    try {
      return await promise
    } finally {
      clearTimeout(timer)
      this.#heard.delete(heard)
    }
  }

  /** Milliseconds from the request to the moment in which the API server says Ready. */
  async startPod(namespace: string, name: string, node: string, command?: readonly string[]): Promise<number> {
    const begun = now()
    await this.create(PODS, podManifest(namespace, name, node, command))
    const isReady = () => conditionOf(this.pod(namespace, name), 'Ready')
    return (await this.until(`${namespace}/${name} to be Ready`, isReady)) - begun
  }

  async removePods(namespace: string, names: readonly string[]): Promise<void> {
    await Promise.all(names.map((name) => this.remove(PODS, { namespace, name })))
    await this.until('pods to be gone', () => names.every((name) => this.pod(namespace, name) === undefined))
  }

  #changed(pod: KubeObject): void {
    this.#pods.set(keyOf(pod), pod as PodObject)
    for (const heard of this.#heard) heard()
  }
}

function keyOf({ metadata: { namespace, name } }: KubeObject): string {
  return `${namespace}/${name}`
}

function conditionOf(pod: PodObject | undefined, type: string): boolean {
  return pod?.status?.conditions?.some((one) => one.type === type && one.status === 'True') ?? false
}

/** A pod without a probe: Ready as soon as its container runs. */
export function podManifest(namespace: string, name: string, node: string, command?: readonly string[]): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace },
    spec: {
      nodeName: node,
      terminationGracePeriodSeconds: 0,
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      tolerations: [{ operator: 'Exists' }],
      containers: [
        { name: 'box', image: boxImage, imagePullPolicy: 'Never', command: command ?? ['nettool', 'serve'] },
      ],
    },
  }
}
