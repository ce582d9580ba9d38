/** A cluster in memory for tests of the loops: objects, and what actions make of them, as the API server would. */
import type { Action, Event } from '../../daemon/src/controller/actions.ts'
import { Durations } from '../../daemon/src/controller/durations.ts'
import type { Census } from '../../daemon/src/controller/garbage.ts'
import { reconcile } from '../../daemon/src/controller/loops.ts'
import { type Resourceful, WATCHED, type Watched, type World } from '../../daemon/src/controller/resources.ts'
import { type View, viewOf } from '../../daemon/src/controller/view.ts'

type Metadata = Partial<Resourceful['metadata']>

const RED = 'default-domain:k8s-default:red'

export class TestCluster {
  readonly world = Object.fromEntries(Object.keys(WATCHED).map((of) => [of, new Map()])) as unknown as Record<
    Watched,
    Map<string, Resourceful>
  > &
    World
  readonly durations = new Durations()
  now = Date.parse('2026-01-01T00:00:00Z')
  pods: Census | undefined
  defaultSubnets: string[] = ['10.244.0.0/16']
  usageMs = 0
  hasPools = true
  #created = 0
  #view: View | undefined

  add(of: Watched, name: string, { namespace, ...rest }: Metadata = {}, more: object = {}): Resourceful {
    const number = ++this.#created
    const object = {
      metadata: {
        name,
        ...(namespace !== undefined && { namespace }),
        uid: `uid-${number}`,
        resourceVersion: String(number),
        generation: 1,
        creationTimestamp: new Date(Date.parse('2025-01-01T00:00:00Z') + number * 1000).toISOString(),
        ...rest,
      },
      ...more,
    } as Resourceful
    this.world[of].set(namespace === undefined ? name : `${namespace}/${name}`, object)
    return object
  }

  namespace(name: string, annotations: Record<string, string> = {}, more: object = {}): Resourceful {
    return this.add('namespaces', name, { annotations }, more)
  }

  network(name: string, spec: object = { subnets: [{ cidr: '10.1.0.0/24' }] }, metadata: Metadata = {}): Resourceful {
    return this.add('networks', name, { namespace: 'default', ...metadata }, { spec })
  }

  block(name: string, cidr = '10.1.0.0/26', node = 'n1', network = RED): Resourceful {
    return this.add('blocks', name, {}, { spec: { network, cidr, node } })
  }

  interface(pod: string, addresses = ['10.1.0.5'], spec: object = {}, namespace = 'default'): Resourceful {
    const number = this.#created + 1
    const uuid = `00000000-0000-0000-0000-${String(number).padStart(12, '0')}`
    const whole = {
      uuid,
      network: RED,
      node: 'n1',
      pod: { name: pod, uid: `uid of ${pod}` },
      containerId: `c${number}`,
      interface: 'eth0',
      mac: '02:00:00:00:00:01',
      addresses,
      label: 16 + number,
      ...spec,
    }
    return this.add('interfaces', `${pod}-x`, { namespace }, { spec: whole })
  }

  node(name: string, more: object = {}): Resourceful {
    return this.add('nodes', name, {}, more)
  }

  router(name: string, address = `192.0.2.${this.#created + 1}`): Resourceful {
    return this.add(
      'routers',
      name,
      {},
      { spec: { address, encapsulations: ['MPLSoUDP'], vrfLabels: {}, vhostLabel: 16 } },
    )
  }

  agent(node: string, isReady: boolean, message = ''): Resourceful {
    const conditions = [{ type: 'Ready', status: isReady ? 'True' : 'False', message }]
    const object = this.add(
      'agents',
      `vrouter-${node}`,
      { namespace: 'kube-vrouter' },
      { spec: { nodeName: node }, status: { conditions } },
    )
    return object
  }

  networkRouter(name: string, spec: object, labels: Record<string, string> = {}, namespace = 'default'): Resourceful {
    return this.add('networkRouters', name, { namespace, labels }, { spec })
  }

  /** What all loops want now. */
  wanted(): Action[] {
    this.durations.begin(this.now)
    this.#view = viewOf(this.world, { name: 'k8s', defaultSubnets: this.defaultSubnets }, this.#view)
    const actions = reconcile(this.#view, {
      now: this.now,
      durations: this.durations,
      hasPools: this.hasPools,
      ...(this.pods && { pods: this.pods }),
      agentGraceMs: 60_000,
      goneMs: 60_000,
      patienceMs: 10_000,
      usageMs: this.usageMs,
      onError: (loop, error) => {
        throw new Error(`loop ${loop}`, { cause: error })
      },
    })
    this.durations.end()
    return actions
  }

  /** Passes until nothing but Events is wanted any more; fails when that doesn't come. What was done and told. */
  settle(): { done: Exclude<Action, { type: 'event' }>[]; events: Event[] } {
    const done: Exclude<Action, { type: 'event' }>[] = []
    const events = new Map<string, Event>()
    for (let pass = 0; pass < 10; pass++) {
      const actions = this.wanted()
      for (const action of actions) {
        if (action.type === 'event')
          events.set(`${action.event.object.metadata.uid} ${action.event.reason} ${action.event.message}`, action.event)
        else {
          done.push(action)
          this.#do(action)
        }
      }
      if (actions.every(({ type }) => type === 'event')) return { done, events: [...events.values()] }
    }
    throw new Error(`the loops never come to rest: ${JSON.stringify(done.slice(-3))}`)
  }

  /** Time goes by. */
  wait(ms: number): this {
    // A pass begins what is waited for.
    this.wanted()
    this.now += ms
    return this
  }

  #do(action: Exclude<Action, { type: 'event' }>): void {
    const { of, object } = action
    const { namespace, name } = object.metadata
    const key = namespace === undefined ? name : `${namespace}/${name}`
    const known = this.world[of].get(key)
    switch (action.type) {
      case 'create':
        if (known === undefined) this.add(of, name, object.metadata, { spec: object.spec })
        return
      case 'delete':
        this.remove(of, key)
        return
      case 'patch': {
        if (known === undefined) return
        const patch = action.form === 'strategic' ? withConditionsMerged(known, action.patch) : action.patch
        const patched = merged(known, patch) as Resourceful
        const isGone = known.metadata.deletionTimestamp != null && (patched.metadata.finalizers ?? []).length === 0
        if (isGone) this.world[of].delete(key)
        else this.world[of].set(key, patched)
        return
      }
      default:
        action satisfies never
    }
  }

  /** As the API server deletes: what has finalizers is only marked. */
  remove(of: Watched, key: string): void {
    const known = this.world[of].get(key)
    if (known === undefined) return
    if ((known.metadata.finalizers ?? []).length === 0) {
      this.world[of].delete(key)
      return
    }
    const deletionTimestamp = new Date(this.now).toISOString()
    this.world[of].set(key, { ...known, metadata: { ...known.metadata, deletionTimestamp } })
  }

  /** Replaces an object by itself with something changed. */
  change(of: Watched, key: string, patch: object): void {
    this.world[of].set(key, merged(this.world[of].get(key), patch) as Resourceful)
  }

  status(of: Watched, key: string): Record<string, unknown> {
    return this.world[of].get(key)?.status ?? {}
  }

  condition(of: Watched, key: string, type: string): string | undefined {
    const found = this.world[of].get(key)?.status?.conditions?.find((condition) => condition.type === type)
    return found && `${found.status} ${found.reason}${found.message === '' ? '' : `: ${found.message}`}`
  }
}

/** RFC 7386. */
export function merged(target: unknown, patch: unknown): unknown {
  if (typeof patch !== 'object' || patch === null || Array.isArray(patch)) return patch
  const result: Record<string, unknown> = typeof target === 'object' && target !== null ? { ...target } : {}
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key]
    else result[key] = merged(result[key], value)
  }
  return result
}

function withConditionsMerged(known: Resourceful, patch: object): object {
  const { status } = patch as { status: { conditions: { type: string }[] } }
  const conditions = (known.status?.conditions ?? []).filter(
    ({ type }) => !status.conditions.some((one) => one.type === type),
  )
  return { ...patch, status: { ...status, conditions: [...conditions, ...status.conditions] } }
}
