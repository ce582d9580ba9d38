/** What end-to-end tests do with a cluster: namespaces and pods, commands in them, who reaches whom. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { TestCluster } from '../kubelab/cluster.ts'
import type { Outcome } from '../kubelab/command.ts'
import { PATIENCE_MS } from '../patience.ts'
import type { OwnAddressWatch } from './own-addresses.ts'
import { namespaceManifest, type PodWanted, podManifest } from './pods.ts'

export interface RunningPod {
  readonly name: string
  readonly namespace: string
  readonly node: string
  readonly uid: string
  readonly ip4: string
  readonly ip6: string
}

/** Where a connection starts: a pod, or a node (`node1`), or the host outside of the cluster. */
export type From = RunningPod | `node${number}` | 'outside'

export const nodes = ['node1', 'node2'] as const

export class Cluster implements AsyncDisposable {
  readonly lab: TestCluster
  /** Of clusters whose underlay can be seen: those of hack/kubelab. */
  readonly ownAddresses: OwnAddressWatch | undefined
  readonly #namespaces = new Set<string>()

  constructor(lab: TestCluster, ownAddresses?: OwnAddressWatch) {
    this.lab = lab
    this.ownAddresses = ownAddresses
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.ownAddresses?.[Symbol.dispose]()
    await this.lab[Symbol.asyncDispose]()
  }

  async kubectl(...args: string[]): Promise<string> {
    return await this.lab.kubectl(args, { timeoutMs: 300_000 })
  }

  async json<T>(...args: string[]): Promise<T> {
    return JSON.parse(await this.kubectl(...args, '-o', 'json')) as T
  }

  async tryApply(...objects: object[]): Promise<Outcome> {
    const list = { apiVersion: 'v1', kind: 'List', items: objects }
    return await this.lab.tryKubectl(['apply', '-f', '-'], { input: JSON.stringify(list) })
  }

  async apply(...objects: object[]): Promise<void> {
    const outcome = await this.tryApply(...objects)
    if (outcome.status !== 0) throw new Error(`kubectl apply: ${outcome.stderr}${outcome.stdout}`)
  }

  /** A namespace of its own for a test, with the default service account that pods need. */
  async namespace(
    prefix: string,
    annotations: Record<string, string> = {},
    labels: Record<string, string> = {},
  ): Promise<string> {
    const name = `${prefix}-${randomBytes(3).toString('hex')}`
    this.#namespaces.add(name)
    await this.apply(namespaceManifest(name, annotations, labels))
    // The controller manager takes a while to look again when the API server was away.
    await this.until(
      `the service account of ${name}`,
      async () => (await this.kubectl('get', 'serviceaccount', '-n', name, '-o', 'name')).includes('/default'),
      120,
    )
    return name
  }

  /** Without names: all that `namespace` made and that weren't removed yet. */
  async removeNamespaces(...names: string[]): Promise<void> {
    const gone = names.length > 0 ? names : [...this.#namespaces]
    for (const name of gone) this.#namespaces.delete(name)
    if (gone.length > 0)
      await this.kubectl('delete', 'namespace', '--ignore-not-found', '--wait=true', '--timeout=280s', ...gone)
  }

  /** Creates the pods and waits until all of them are Ready. */
  async start(...wanted: PodWanted[]): Promise<RunningPod[]> {
    await this.apply(...wanted.map(podManifest))
    return await Promise.all(wanted.map((pod) => this.ready(pod.namespace, pod.name)))
  }

  async ready(namespace: string, name: string, seconds = 180): Promise<RunningPod> {
    try {
      await this.kubectl('wait', '-n', namespace, `pod/${name}`, '--for=condition=Ready', `--timeout=${seconds}s`)
    } catch (error) {
      const events = await this.kubectl('describe', 'pod', '-n', namespace, name)
      throw new Error(`${(error as Error).message}\n${events.slice(events.indexOf('Conditions:'))}`)
    }
    return await this.pod(namespace, name)
  }

  async pod(namespace: string, name: string): Promise<RunningPod> {
    const pod = await this.json<{
      metadata: { uid: string }
      spec: { nodeName: string }
      status: { podIPs?: { ip: string }[] }
    }>('get', 'pod', '-n', namespace, name)
    const addresses = (pod.status.podIPs ?? []).map(({ ip }) => ip)
    return {
      name,
      namespace,
      node: pod.spec.nodeName,
      uid: pod.metadata.uid,
      ip4: addresses.find((address) => !address.includes(':')) ?? '',
      ip6: addresses.find((address) => address.includes(':')) ?? '',
    }
  }

  async run(from: From, ...command: string[]): Promise<Outcome> {
    if (typeof from === 'object') return await this.lab.execPod(from.namespace, from.name, command)
    return from === 'outside' ? await this.lab.outside(command) : await this.lab.exec(numberOf(from), command)
  }

  async output(from: From, ...command: string[]): Promise<string> {
    const outcome = await this.run(from, ...command)
    const where = typeof from === 'object' ? from.name : from
    if (outcome.status !== 0) throw new Error(`${command.join(' ')} on ${where}: ${outcome.stderr}${outcome.stdout}`)
    return outcome.stdout
  }

  /** Asks `address` by HTTP: what it saw us as (`10.244.0.3`), undefined when there is no answer in time. */
  async seenBy(from: From, address: string, port = 80, seconds = 10): Promise<string | undefined> {
    const host = address.includes(':') ? `[${address}]` : address
    const url = `http://${host}:${port}/`
    const command =
      typeof from === 'object'
        ? ['wget', '-T', String(seconds), '-qO-', url]
        : ['curl', '-s', '-m', String(seconds), url]
    const { status, stdout } = await this.run(from, ...command)
    return status === 0 ? stdout.split(/\s/)[0] : undefined
  }

  async assertReaches(from: From, address: string, port?: number): Promise<void> {
    assert.ok((await this.seenBy(from, address, port)) !== undefined, `${nameOf(from)} doesn't reach ${address}`)
  }

  async assertCut(from: From, address: string, port?: number): Promise<void> {
    const seen = await this.seenBy(from, address, port, 1)
    assert.equal(seen, undefined, `${nameOf(from)} reaches ${address} and is seen as ${seen}`)
  }

  async until(what: string, isTrue: () => Promise<boolean>, seconds = 0): Promise<void> {
    const limit = Math.max(seconds, PATIENCE_MS / 1000)
    const end = performance.now() + limit * 1000
    let last: unknown
    while (performance.now() < end) {
      try {
        if (await isTrue()) return
        last = undefined
      } catch (error) {
        last = error
      }
      await sleep(100)
    }
    throw new Error(`${what}: not so within ${limit} s`, { cause: last })
  }

  /** Messages of the Events of an object, newest last. */
  async events(namespace: string, kind: string, name: string): Promise<string[]> {
    const { items } = await this.json<{ items: { reason: string; message: string }[] }>(
      'get',
      'events',
      '-n',
      namespace,
      '--field-selector',
      `involvedObject.kind=${kind},involvedObject.name=${name}`,
    )
    return items.map(({ reason, message }) => `${reason}: ${message}`)
  }
}

export function numberOf(node: string): number {
  return Number(node.replace('node', ''))
}

function nameOf(from: From): string {
  return typeof from === 'object' ? `${from.namespace}/${from.name} on ${from.node}` : from
}
