/**
 * A cluster that the end-to-end tests run on, whoever made it (hack/kubelab or kind): what is asked of it by kubectl and by commands on its nodes.
 * Nodes that carry pods of tests are numbered from 1 and called node1, node2, … in Kubernetes.
 */
import { type CommandOptions, failure, type Outcome, until } from './command.ts'
import type { Part } from './control-plane.ts'
import { dump } from './dump.ts'
import { type KubernetesNode, type KubernetesPod, obstacleOf, statesOf } from './states.ts'

export interface ClusterNode {
  readonly number: number
  readonly name: string
}

export interface NodeReadiness {
  readonly isReady: boolean
  readonly podCidrs: readonly string[]
}

export abstract class TestCluster implements AsyncDisposable {
  abstract readonly name: string
  abstract get nodes(): readonly ClusterNode[]
  /** Whether our chart is, or shall be, installed. */
  abstract get hasVrouter(): boolean
  /** What kubectl and helm need to speak to the API server as its administrator: a prefix of the command, and an environment. */
  abstract get administrator(): { readonly prefix: readonly string[]; readonly env: Readonly<Record<string, string>> }
  /** Folders with logs of what no node and no pod has. */
  abstract get logFolders(): readonly string[]
  /** Runs kubectl as the cluster's administrator. Failing is an answer too: see `kubectl`. */
  abstract tryKubectl(args: readonly string[], options?: CommandOptions): Promise<Outcome>
  /** A command on a node (1 or `node1`), in all of its namespaces. */
  abstract exec(node: number | `node${number}`, command: readonly string[], options?: CommandOptions): Promise<Outcome>
  /** A command on the host outside of the cluster. */
  abstract outside(command: readonly string[], options?: CommandOptions): Promise<Outcome>
  /** Power loss. @returns whether the node was up */
  abstract nodeDown(node: number): Promise<boolean>
  /** Boots a node that is down; returns when its containerd answers. */
  abstract nodeUp(node: number, signal?: AbortSignal): Promise<void>
  /** Ends a part of the control plane; it stays away until `startPart`. @returns whether it was running */
  abstract stopPart(part: Part): Promise<boolean>
  abstract startPart(part: Part): Promise<void>
  abstract [Symbol.asyncDispose](): Promise<void>

  /** @throws where there is no such node */
  protected known(number: number): ClusterNode {
    const node = this.nodes.find((each) => each.number === number)
    if (node === undefined) throw new Error(`node ${number}: ${this.name} has nodes 1 to ${this.nodes.length}`)
    return node
  }

  /** Standard output of kubectl. @throws with what it said where it failed */
  async kubectl(args: readonly string[], options: CommandOptions = {}): Promise<string> {
    const outcome = await this.tryKubectl(args, options)
    if (outcome.status !== 0) throw failure(['kubectl', ...args], outcome)
    return outcome.stdout
  }

  async json<T>(args: readonly string[], options: CommandOptions = {}): Promise<T> {
    return JSON.parse(await this.kubectl([...args, '-o', 'json'], options)) as T
  }

  /** @param manifest YAML, or an object */
  async apply(manifest: string | object): Promise<void> {
    const input = typeof manifest === 'string' ? manifest : JSON.stringify(manifest)
    await this.kubectl(['apply', '-f', '-'], { input })
  }

  /** A command in a pod. */
  execPod(namespace: string, pod: string, command: readonly string[], options: CommandOptions = {}): Promise<Outcome> {
    return this.tryKubectl(['exec', '-n', namespace, pod, '--', ...command], options)
  }

  /** @param stallMs gives up when nothing has moved in the cluster for so long */
  async untilReady(node: number, stallMs = 120_000, signal?: AbortSignal): Promise<void> {
    await this.untilAllReady([this.known(node)], stallMs, signal)
  }

  async untilAllReady(
    nodes: readonly ClusterNode[] = this.nodes,
    stallMs = 120_000,
    signal?: AbortSignal,
  ): Promise<void> {
    await until(
      `${nodes.map(({ name }) => name).join(', ')} to be Ready`,
      async () => {
        const known = await this.readiness(signal)
        return nodes.every(({ name }) => known.get(name)?.isReady)
      },
      {
        timeoutMs: stallMs,
        everyMs: 250,
        signal,
        progress: async () => statesOf(await this.#nodesAndPods(signal)),
        explain: async () => obstacleOf(await this.#nodesAndPods()),
      },
    )
  }

  /** All pods of a Deployment. */
  async untilAvailable(namespace: string, deployment: string, stallMs = 120_000, signal?: AbortSignal): Promise<void> {
    await until(
      `${deployment} to be available`,
      async () => {
        const { spec, status } = await this.json<{
          spec: { replicas: number }
          status: { availableReplicas?: number }
        }>(['get', 'deployment', '-n', namespace, deployment], { signal })
        return status.availableReplicas === spec.replicas
      },
      {
        timeoutMs: stallMs,
        everyMs: 250,
        signal,
        progress: async () => statesOf(await this.#nodesAndPods(signal)),
        explain: async () => obstacleOf(await this.#nodesAndPods()),
      },
    )
  }

  /** Empty when the API server doesn't answer: no progress. */
  async #nodesAndPods(signal?: AbortSignal): Promise<readonly (KubernetesNode | KubernetesPod)[]> {
    const { status, stdout } = await this.tryKubectl(['get', 'nodes,pods', '-A', '-o', 'json'], { signal })
    return status === 0 ? (JSON.parse(stdout) as { items: (KubernetesNode | KubernetesPod)[] }).items : []
  }

  /** The daemon's pod on a node. */
  async daemonPod(
    node: number,
  ): Promise<{ readonly namespace: string; readonly name: string; readonly containerId: string }> {
    const { name } = this.known(node)
    const selector = ['-l', 'app.kubernetes.io/name=kube-vrouter', '--field-selector', `spec.nodeName=${name}`]
    const { items } = await this.json<{ items: KubernetesPod[] }>(['get', 'pods', '-A', ...selector])
    const pod = items.find((item) => item.metadata.ownerReferences?.some((owner) => owner.kind === 'DaemonSet'))
    if (pod === undefined) throw new Error(`no kube-vrouter daemon runs on ${name}`)
    const statuses = pod.status.containerStatuses ?? []
    const container = statuses.find((status) => status.name === 'vrouter') ?? statuses[0]
    return {
      namespace: pod.metadata.namespace,
      name: pod.metadata.name,
      containerId: container?.containerID?.replace(/^.*\/\//, '') ?? '',
    }
  }

  /** Kills the daemon as a crash does (SIGKILL); the kubelet starts it again. */
  async killDaemon(node: number): Promise<void> {
    const { name, containerId } = await this.daemonPod(node)
    if (containerId === '') throw new Error(`${name} has no container yet`)
    const command = ['ctr', '-n', 'k8s.io', 'tasks', 'kill', '--signal', 'SIGKILL', containerId]
    const outcome = await this.exec(node, command)
    if (outcome.status !== 0) throw failure(command, outcome)
  }

  /** What the daemon of a node wrote, the run before the last restart included. */
  async daemonLogs(node: number): Promise<string> {
    const { namespace, name } = await this.daemonPod(node)
    const logs = ['logs', '-n', namespace, name, '-c', 'vrouter']
    const previous = await this.tryKubectl([...logs, '--previous'])
    return (previous.status === 0 ? previous.stdout : '') + (await this.kubectl(logs))
  }

  /** Writes what a human needs to understand a failure into a folder. */
  dump(folder: string): Promise<void> {
    return dump(this, folder)
  }

  /** By the node's name. */
  async readiness(signal?: AbortSignal): Promise<Map<string, NodeReadiness>> {
    const { items } = await this.json<{ items: KubernetesNode[] }>(['get', 'nodes'], { signal })
    return new Map(
      items.map((item) => [
        item.metadata.name,
        {
          isReady: item.status.conditions?.some(({ type, status }) => type === 'Ready' && status === 'True') ?? false,
          podCidrs: item.spec.podCIDRs ?? [],
        },
      ]),
    )
  }
}
