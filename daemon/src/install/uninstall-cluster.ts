/**
 * `vrouter uninstall-cluster`: what the chart's pre-delete job runs before anything else is deleted. The order: nobody looks after nodes any more
 * (controller), nobody holds their network (daemons), every node is given back (a DaemonSet that runs `vrouter uninstall-node`), and last
 * what the nodes had told each other. Networks that people made stay, as their CRDs do.
 *
 * Each step can be repeated. A node that is dead is named and not waited for: `vrouter uninstall-node` on it does the same later.
 */
import { setTimeout } from 'node:timers/promises'
import { type ApiClient, PATCH_TYPES } from '../kubernetes/client.ts'
import { ApiError } from '../kubernetes/errors.ts'
import { type KubeObject, keyOf, pathOf, type Resource } from '../kubernetes/objects.ts'
import type { Log } from '../log.ts'

export interface ClusterOptions {
  readonly client: Pick<ApiClient, 'request'>
  readonly namespace: string
  /** The DaemonSet that takes everything off the nodes. */
  readonly daemonSet: DaemonSet
  readonly timeoutMs: number
  readonly pollMs?: number
  readonly log: Log
}

export interface ClusterOutcome {
  /** Nodes that could not be given back, and why. */
  readonly left: readonly { readonly node: string; readonly reason: string }[]
}

export interface DaemonSet extends KubeObject {
  readonly spec: { readonly selector: { readonly matchLabels: Readonly<Record<string, string>> } }
}

const POLL_MS = 1000
const DAEMON_SET: Resource = { group: 'apps', version: 'v1', plural: 'daemonsets' }
const DEPLOYMENT: Resource = { group: 'apps', version: 'v1', plural: 'deployments' }
const POD: Resource = { group: '', version: 'v1', plural: 'pods' }
const NODE: Resource = { group: '', version: 'v1', plural: 'nodes' }

const own = (plural: string): Resource => ({ group: 'vrouter.dev', version: 'v1alpha1', plural })
const PUBLISHED = ['virtualmachineinterfaces', 'ipamblocks', 'virtualrouters'].map(own)
const NETWORK = own('virtualnetworks')

const BUILT_IN_LABEL = 'vrouter.dev/built-in'

/** Throws what the API server says; DEADLINE when pods of ours don't end. */
export async function uninstallFromCluster(options: ClusterOptions): Promise<ClusterOutcome> {
  const { client, namespace, daemonSet, log } = options
  const deadline = Date.now() + options.timeoutMs
  const until = async (what: string, isDone: () => Promise<boolean>, isFatal = true) => {
    while (!(await isDone())) {
      if (Date.now() > deadline) {
        if (isFatal) throw new Error(`${what} took longer than ${options.timeoutMs / 1000} s`)
        return
      }
      await setTimeout(options.pollMs ?? POLL_MS)
    }
  }
  const podsOf = (selector: string) =>
    list<Pod>(client, POD, { namespace, labelSelector: `app.kubernetes.io/name=kube-vrouter,${selector}` })

  await remove(client, DEPLOYMENT, { namespace, name: 'vrouter-controller' })
  await remove(client, DAEMON_SET, { namespace, name: 'vrouter' })
  await remove(client, DAEMON_SET, { namespace, name: daemonSet.metadata.name })
  log.info({ component: 'install' }, 'controller and daemons are told to end')
  const deadNodes = await namesOfDeadNodes(client)
  await until('ending the daemons', async () => {
    const pods = await podsOf('app.kubernetes.io/component in (vrouter, controller, cleanup)')
    return pods.every(({ spec }) => deadNodes.has(spec.nodeName ?? ''))
  })

  await client.request({ method: 'POST', path: pathOf(DAEMON_SET, { namespace }), body: daemonSet })
  log.info({ component: 'install' }, 'nodes are being given back')
  let left: ClusterOutcome['left'] = []
  await until(
    'giving the nodes back',
    async () => {
      const { status, metadata } = await client.request<DaemonSetStatus>({
        method: 'GET',
        path: pathOf(DAEMON_SET, { namespace, name: daemonSet.metadata.name }),
      })
      const pods = await podsOf('app.kubernetes.io/component=cleanup')
      left = pods
        .filter((pod) => !isReady(pod))
        .map((pod) => ({ node: pod.spec.nodeName ?? pod.metadata.name, reason: reasonOf(pod, deadNodes) }))
      const isSeen = status?.observedGeneration === metadata.generation
      const isMade = isSeen && pods.length >= (status?.desiredNumberScheduled ?? 0)
      return isMade && left.every(({ node }) => deadNodes.has(node))
    },
    false,
  )
  for (const one of left) log.error({ component: 'install', ...one }, `${one.node} is left as it is: ${one.reason}`)
  await remove(client, DAEMON_SET, { namespace, name: daemonSet.metadata.name })
  await removeObjects(client, log)
  return { left }
}

/** What daemons and controller wrote; and the guard of networks in use, which nobody is there to lift. */
async function removeObjects(client: ClusterOptions['client'], log: Log): Promise<void> {
  for (const resource of PUBLISHED) {
    const objects = await list<KubeObject>(client, resource)
    for (const { metadata } of objects) await remove(client, resource, metadata)
    if (objects.length > 0)
      log.info({ component: 'install', count: objects.length }, `${resource.plural} of the nodes are gone`)
  }
  for (const network of await list<KubeObject & { metadata: { finalizers?: readonly string[] } }>(client, NETWORK)) {
    const path = pathOf(NETWORK, network.metadata)
    const finalizers = network.metadata.finalizers ?? []
    const kept = finalizers.filter((name) => !name.startsWith('vrouter.dev/'))
    if (kept.length < finalizers.length) {
      await ignoreMissing(
        client.request({
          method: 'PATCH',
          path,
          contentType: PATCH_TYPES.merge,
          body: { metadata: { finalizers: kept } },
        }),
      )
    }
    if (network.metadata.labels?.[BUILT_IN_LABEL] === 'true') {
      await remove(client, NETWORK, network.metadata)
      log.info({ component: 'install', network: keyOf(network) }, 'the object of a built-in network is gone')
    }
  }
}

interface Pod extends KubeObject {
  readonly spec: { readonly nodeName?: string }
  readonly status?: {
    readonly conditions?: readonly Condition[]
    readonly initContainerStatuses?: readonly {
      readonly state?: Waiting
      readonly lastState?: Waiting
    }[]
  }
}

interface Waiting {
  readonly waiting?: { readonly reason?: string; readonly message?: string }
  readonly terminated?: { readonly reason?: string; readonly message?: string }
}

interface Condition {
  readonly type: string
  readonly status: string
}

interface DaemonSetStatus extends KubeObject {
  readonly metadata: KubeObject['metadata'] & { readonly generation?: number }
  readonly status?: { readonly observedGeneration?: number; readonly desiredNumberScheduled?: number }
}

function isReady({ status }: Pod): boolean {
  return status?.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'True') ?? false
}

function reasonOf({ spec, status }: Pod, deadNodes: ReadonlySet<string>): string {
  if (deadNodes.has(spec.nodeName ?? '')) return 'the node does not answer'
  for (const { state, lastState } of status?.initContainerStatuses ?? []) {
    const said = lastState?.terminated?.message ?? state?.terminated?.message ?? state?.waiting?.message
    if (said !== undefined) return said.trim()
  }
  return 'its pod did not start in time'
}

/** Those whose kubelet is silent; one without a network is alive all the same. */
async function namesOfDeadNodes(client: ClusterOptions['client']): Promise<ReadonlySet<string>> {
  const nodes = await list<KubeObject & { status?: { conditions?: readonly Condition[] } }>(client, NODE)
  return new Set(
    nodes
      .filter(({ status }) =>
        status?.conditions?.some(({ type, status: value }) => type === 'Ready' && value === 'Unknown'),
      )
      .map(({ metadata }) => metadata.name),
  )
}

/** A kind that isn't there has no objects. */
async function list<T>(
  client: ClusterOptions['client'],
  resource: Resource,
  { namespace, labelSelector }: { readonly namespace?: string; readonly labelSelector?: string } = {},
): Promise<readonly T[]> {
  const items: T[] = []
  let token: string | undefined
  do {
    const page = await ignoreMissing(
      client.request<{ items: readonly T[]; metadata?: { continue?: string } }>({
        method: 'GET',
        path: pathOf(resource, { namespace }),
        query: { labelSelector, limit: 500, continue: token },
      }),
    )
    items.push(...(page?.items ?? []))
    token = page?.metadata?.continue || undefined
  } while (token !== undefined)
  return items
}

async function remove(
  client: ClusterOptions['client'],
  resource: Resource,
  { namespace, name }: { readonly namespace?: string; readonly name: string },
): Promise<void> {
  await ignoreMissing(
    client.request({
      method: 'DELETE',
      path: pathOf(resource, { namespace, name }),
      body: { apiVersion: 'v1', kind: 'DeleteOptions', propagationPolicy: 'Background' },
    }),
  )
}

async function ignoreMissing<T>(request: Promise<T>): Promise<T | undefined> {
  try {
    return await request
  } catch (error) {
    if (error instanceof ApiError && error.code === 'API_NOT_FOUND') return undefined
    throw error
  }
}
