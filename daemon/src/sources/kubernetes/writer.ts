/**
 * What this node writes into the cluster: its blocks, interfaces and router object. Server-side apply, owned by the pod or the node that it
 * is about, so that nothing stays behind them. Nobody waits for a server that is away: the first writes find out, the queued ones fail
 * with them.
 */
import { type ApiClient, type ApiRequest, PATCH_TYPES } from '../../kubernetes/client.ts'
import { isApiError, isNamespaceLeaving } from '../../kubernetes/errors.ts'
import { type KubeObject, type OwnerReference, pathOf } from '../../kubernetes/objects.ts'
import type { IpamBlock, Published } from '../../model/objects.ts'
import { manifestOf } from '../objects/manifests.ts'
import type { Cluster } from './cluster.ts'
import { ClusterError } from './errors.ts'
import { RESOURCES } from './resources.ts'

export interface WriterOptions {
  readonly client: ApiClient
  readonly cluster: Cluster
  readonly node: string
  /** Milliseconds that a write may take; default 2 s. */
  readonly timeoutMs?: number
  /** Writes at the same time; default 16. */
  readonly parallel?: number
}

export const FIELD_MANAGER = 'vrouter'

interface Waiting {
  readonly resolve: () => void
  readonly reject: (error: unknown) => void
}

export class Writer {
  readonly #options: WriterOptions & { readonly timeoutMs: number; readonly parallel: number }
  #inFlight = 0
  #queue: Waiting[] = []

  constructor(options: WriterOptions) {
    this.#options = { timeoutMs: 2000, parallel: 16, ...options }
  }

  /** Resolves when the API server has it, and the state shows it; an interface in a namespace that is being deleted is left out. Throws ApiError, or BLOCK_TAKEN. */
  async publish(published: Published): Promise<void> {
    const { cluster } = this.#options
    const { kind } = published
    switch (kind) {
      case 'IPAMBlock':
        await this.#claim(published.object)
        return
      case 'VirtualRouter':
        cluster.whole.VirtualRouter.wrote(await this.#apply(published))
        break
      case 'VirtualMachineInterface':
        try {
          cluster.interfaces.wrote(await this.#apply(published))
        } catch (error) {
          // Its pod goes with its namespace; until then nobody needs to be told of it.
          if (!isNamespaceLeaving(error)) throw error
        }
        break
      default:
        throw published satisfies never
    }
    cluster.settle()
  }

  /** Removes an object of this node; that it isn't there, or is another's, is fine. Throws ApiError. */
  async withdraw(kind: Published['kind'], name: string): Promise<void> {
    const { cluster, node } = this.#options
    const store = kind === 'VirtualMachineInterface' ? cluster.interfaces : cluster.whole[kind]
    const isOwn = (object: { readonly name: string; readonly node?: string }) =>
      object.name === name && (kind === 'VirtualRouter' ? name === node : object.node === node)
    for (const [key, value] of store.values) {
      const object = 'object' in value ? value.object : value
      if (!isOwn(object)) continue
      const namespace = kind === 'VirtualMachineInterface' && 'namespace' in object ? object.namespace : undefined
      const uid = await this.#remove(pathOf(RESOURCES[kind], { namespace, name }), store.ownUid(key), node)
      store.withdrew(key, uid)
    }
    cluster.settle()
  }

  /** Of several nodes that create a block of this name, one succeeds. */
  async #claim(block: IpamBlock): Promise<void> {
    const { cluster } = this.#options
    const store = cluster.whole.IPAMBlock
    const manifest = this.#manifest({ kind: 'IPAMBlock', object: block })
    const path = pathOf(RESOURCES.IPAMBlock)
    try {
      const query = { fieldManager: FIELD_MANAGER }
      store.wrote(await this.#send<KubeObject>({ method: 'POST', path, query, body: manifest }))
    } catch (error) {
      if (!isApiError(error, 'API_CONFLICT')) throw error
      const present = await this.#send<KubeObject>({ method: 'GET', path: `${path}/${encodeURIComponent(block.name)}` })
      const { node = '', network, cidr } = (present.spec ?? {}) as Partial<Record<'node' | 'network' | 'cidr', string>>
      if (node !== block.node || network !== block.vn || cidr !== block.cidr) {
        store.wrote(present)
        cluster.settle()
        throw new ClusterError('BLOCK_TAKEN', `IPAMBlock ${block.name} is held by node ${node}`)
      }
      store.wrote(present)
    }
    cluster.settle()
    // It could be made, but overlaps one that counts.
    const counts = cluster.state.blocks.get(block.name)
    if (counts !== undefined && counts.node === block.node) return
    await this.withdraw('IPAMBlock', block.name)
    throw new ClusterError('BLOCK_TAKEN', `IPAMBlock ${block.name} overlaps a block of another node`)
  }

  #apply(published: Published): Promise<KubeObject> {
    const { name } = published.object
    const namespace = 'namespace' in published.object ? published.object.namespace : undefined
    return this.#send<KubeObject>({
      method: 'PATCH',
      path: pathOf(RESOURCES[published.kind], { namespace, name }),
      query: { fieldManager: FIELD_MANAGER, force: true },
      contentType: PATCH_TYPES.apply,
      body: this.#manifest(published),
    })
  }

  #manifest(published: Published): object {
    const manifest = manifestOf(published) as { readonly metadata: object }
    const owner = this.#ownerOf(published)
    if (owner === undefined) return manifest
    return { ...manifest, metadata: { ...manifest.metadata, ownerReferences: [owner] } }
  }

  /** undefined: not known (yet); the object is looked after by the controller then. */
  #ownerOf({ kind, object }: Published): OwnerReference | undefined {
    const { cluster, node } = this.#options
    if (kind === 'VirtualMachineInterface') {
      const uid = cluster.pod(object.pod.uid)?.uid
      return uid === undefined ? undefined : { apiVersion: 'v1', kind: 'Pod', name: object.pod.name, uid }
    }
    const uid = cluster.nodeUid
    return uid === undefined ? undefined : { apiVersion: 'v1', kind: 'Node', name: node, uid }
  }

  /** uid of what was removed; undefined: nothing of ours was there. */
  async #remove(path: string, known: string | undefined, node: string): Promise<string | undefined> {
    const uid = known ?? (await this.#uidOfOwn(path, node))
    if (uid === undefined) return undefined
    try {
      await this.#send({
        method: 'DELETE',
        path,
        body: { apiVersion: 'v1', kind: 'DeleteOptions', preconditions: { uid } },
      })
    } catch (error) {
      if (!isApiError(error, 'API_NOT_FOUND', 'API_CONFLICT')) throw error
    }
    return uid
  }

  /** Known from before our start only: the server says whether it is still ours. */
  async #uidOfOwn(path: string, node: string): Promise<string | undefined> {
    try {
      const { metadata, spec } = await this.#send<KubeObject>({ method: 'GET', path })
      const { node: owner = metadata.name } = (spec ?? {}) as { readonly node?: string }
      return owner === node ? metadata.uid : undefined
    } catch (error) {
      if (isApiError(error, 'API_NOT_FOUND')) return undefined
      throw error
    }
  }

  async #send<T>(request: ApiRequest): Promise<T> {
    const { client, timeoutMs, parallel } = this.#options
    if (this.#inFlight >= parallel) {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      this.#queue.push({ resolve, reject })
      await promise
    } else this.#inFlight++
    try {
      return await client.request<T>({ ...request, timeoutMs })
    } catch (error) {
      if (isApiError(error, 'API_UNREACHABLE')) {
        const queue = this.#queue
        this.#queue = []
        for (const waiting of queue) waiting.reject(error)
      }
      throw error
    } finally {
      const next = this.#queue.shift()
      if (next === undefined) this.#inFlight--
      else next.resolve()
    }
  }
}
