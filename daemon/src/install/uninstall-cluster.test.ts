import { strict as assert } from 'node:assert'
import { ApiError } from '../kubernetes/errors.ts'
import { silent } from '../log.ts'
import { type DaemonSet, uninstallFromCluster } from './uninstall-cluster.ts'

interface Stored {
  metadata: {
    name: string
    namespace?: string
    labels?: Record<string, string>
    finalizers?: string[]
    generation?: number
  }
  [field: string]: unknown
}

const daemonSet: DaemonSet = {
  metadata: { name: 'vrouter-cleanup', namespace: 'kube-vrouter' },
  spec: { selector: { matchLabels: {} } },
}

const pod = (name: string, component: string, nodeName: string, more: object = {}): Stored => ({
  metadata: { name, namespace: 'kube-vrouter', labels: { 'app.kubernetes.io/component': component } },
  spec: { nodeName },
  ...more,
})

/** As much of an API server as an uninstall needs: objects by the path of their kind, and who reacts to what happens. */
class Server {
  readonly objects = new Map<string, Stored[]>()
  readonly requests: string[] = []
  on: (request: string) => void = () => {}

  async request<T>(request: { method: string; path: string; query?: object; body?: unknown }): Promise<T> {
    const { method, path, body } = request
    this.requests.push(`${method} ${path}`)
    const answer = this.#answer(method, path, body, request.query as { labelSelector?: string })
    this.on(`${method} ${path}`)
    return structuredClone(answer) as T
  }

  #answer(method: string, path: string, body: unknown, query?: { labelSelector?: string }): unknown {
    const list = this.objects.get(path)
    if (method === 'GET' && list !== undefined) {
      const items = list.filter(({ metadata }) => {
        const component = metadata.labels?.['app.kubernetes.io/component']
        return component === undefined || query?.labelSelector?.split('component')[1]?.includes(component) === true
      })
      return { items }
    }
    if (method === 'POST' && list !== undefined) {
      list.push({ ...(body as Stored) })
      return body
    }
    const [, folder = '', name] = /^(.*)\/([^/]+)$/.exec(path) ?? []
    const namespaced = /\/namespaces\/([^/]+)\/([^/]+)$/.exec(folder)
    const all = this.objects.get(folder) ?? this.objects.get(folder.replace(/\/namespaces\/[^/]+\//, '/')) ?? []
    const found = all.find(
      ({ metadata }) =>
        metadata.name === name && (metadata.namespace === undefined || metadata.namespace === namespaced?.[1]),
    )
    if (found === undefined) throw new ApiError('API_NOT_FOUND', `${path} not found`, { status: 404 })
    if (method === 'DELETE') all.splice(all.indexOf(found), 1)
    if (method === 'PATCH') Object.assign(found.metadata, (body as Stored).metadata)
    return found
  }
}

const DAEMON_SETS = '/apis/apps/v1/namespaces/kube-vrouter/daemonsets'
const PODS = '/api/v1/namespaces/kube-vrouter/pods'
const own = (plural: string) => `/apis/vrouter.dev/v1alpha1/${plural}`

describe('uninstalling from a cluster', () => {
  let server: Server
  const ready = { status: { conditions: [{ type: 'Ready', status: 'True' }] } }
  const uninstall = (timeoutMs = 60_000) =>
    uninstallFromCluster({ client: server, namespace: 'kube-vrouter', daemonSet, timeoutMs, pollMs: 1, log: silent })

  beforeEach(() => {
    server = new Server()
    server.objects.set(DAEMON_SETS, [{ metadata: { name: 'vrouter', namespace: 'kube-vrouter' } }])
    server.objects.set('/apis/apps/v1/namespaces/kube-vrouter/deployments', [
      { metadata: { name: 'vrouter-controller', namespace: 'kube-vrouter' } },
    ])
    server.objects.set(PODS, [pod('vrouter-a', 'vrouter', 'node1'), pod('vrouter-b', 'vrouter', 'node2')])
    server.objects.set('/api/v1/nodes', [
      { metadata: { name: 'node1' }, status: { conditions: [{ type: 'Ready', status: 'False' }] } },
      { metadata: { name: 'node2' }, status: { conditions: [{ type: 'Ready', status: 'True' }] } },
    ])
    for (const plural of ['virtualmachineinterfaces', 'ipamblocks', 'virtualrouters', 'virtualnetworks']) {
      server.objects.set(own(plural), [])
    }
    let pending = 3
    server.on = (request) => {
      const pods = server.objects.get(PODS)!
      // Pods end a moment after their DaemonSet.
      if (
        request === `GET ${PODS}` &&
        pods.some(({ metadata }) => metadata.name.startsWith('vrouter-')) &&
        pending-- === 0
      ) {
        pods.splice(0)
      }
      if (request === `POST ${DAEMON_SETS}`) {
        Object.assign(server.objects.get(DAEMON_SETS)!.at(-1)!, {
          metadata: { ...daemonSet.metadata, generation: 1 },
          status: { observedGeneration: 1, desiredNumberScheduled: 2 },
        })
        pods.push(pod('cleanup-1', 'cleanup', 'node1', ready), pod('cleanup-2', 'cleanup', 'node2', ready))
      }
    }
  })

  it('ends the daemons before it gives the nodes back, and leaves no DaemonSet', async () => {
    assert.deepEqual(await uninstall(), { left: [] })
    const at = (request: string) => server.requests.indexOf(request)
    assert.ok(at(`DELETE ${DAEMON_SETS}/vrouter`) < at(`POST ${DAEMON_SETS}`))
    assert.ok(
      server.requests.filter((request) => request === `GET ${PODS}`).length > 3,
      'it waited for the pods to end',
    )
    assert.deepEqual(server.objects.get(DAEMON_SETS), [])
  })

  it('removes what nodes published and built-in networks, lifts the guard of the others, and keeps those', async () => {
    server.objects.get(own('ipamblocks'))!.push({ metadata: { name: 'block' } })
    server.objects.get(own('virtualrouters'))!.push({ metadata: { name: 'node1' } })
    server.objects.get(own('virtualmachineinterfaces'))!.push({ metadata: { name: 'vmi', namespace: 'shop' } })
    server.objects.get(own('virtualnetworks'))!.push(
      { metadata: { name: 'red', namespace: 'shop', finalizers: ['vrouter.dev/in-use', 'example.com/other'] } },
      {
        metadata: {
          name: 'k8s-default-pod-network',
          namespace: 'default',
          labels: { 'vrouter.dev/built-in': 'true' },
        },
      },
    )
    await uninstall()
    for (const plural of ['virtualmachineinterfaces', 'ipamblocks', 'virtualrouters']) {
      assert.deepEqual(server.objects.get(own(plural)), [], plural)
    }
    assert.deepEqual(
      server.objects.get(own('virtualnetworks'))!.map(({ metadata }) => [metadata.name, metadata.finalizers]),
      [['red', ['example.com/other']]],
    )
  })

  it('names a node that fails, with what its pod said', async () => {
    const before = server.on
    server.on = (request) => {
      before(request)
      if (request !== `POST ${DAEMON_SETS}`) return
      const [first] = server.objects.get(PODS)!
      Object.assign(first!, {
        status: {
          initContainerStatuses: [{ lastState: { terminated: { message: 'cannot put everything back on eth0\n' } } }],
        },
      })
    }
    assert.deepEqual(await uninstall(100), { left: [{ node: 'node1', reason: 'cannot put everything back on eth0' }] })
    assert.deepEqual(server.objects.get(DAEMON_SETS), [])
  })

  it('does not wait for a dead node', async () => {
    const nodes = server.objects.get('/api/v1/nodes')!
    Object.assign(nodes[1]!, { status: { conditions: [{ type: 'Ready', status: 'Unknown' }] } })
    server.objects.set(PODS, [pod('old', 'vrouter', 'node2')])
    const before = server.on
    server.on = (request) => {
      before(request)
      if (request === `POST ${DAEMON_SETS}`) Object.assign(server.objects.get(PODS)!.at(-1)!, { status: {} })
    }
    assert.deepEqual(await uninstall(), { left: [{ node: 'node2', reason: 'the node does not answer' }] })
  })

  it('fails when daemons do not end: nothing may be taken from under them', async () => {
    server.on = () => {}
    await assert.rejects(uninstall(50), /ending the daemons took longer/)
    assert.ok(!server.requests.includes(`POST ${DAEMON_SETS}`))
  })

  it('is fine with everything gone already, CRDs included', async () => {
    server.objects.set(DAEMON_SETS, [])
    server.objects.set('/apis/apps/v1/namespaces/kube-vrouter/deployments', [])
    for (const plural of ['virtualmachineinterfaces', 'ipamblocks', 'virtualrouters', 'virtualnetworks']) {
      server.objects.delete(own(plural))
    }
    assert.deepEqual(await uninstall(), { left: [] })
  })
})
