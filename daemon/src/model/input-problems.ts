/**
 * What is wrong with the objects themselves, whatever becomes of them in the tables. A namespace or a port is looked at again only when it is another one,
 * or when what decides about it is.
 */
import { slipsOf } from './annotations.ts'
import { Inputs, isSameList, Memo } from './equal.ts'
import type { Port } from './facts.ts'
import { podName } from './interfaces.ts'
import { networkOfPod } from './namespace-network.ts'
import type { FqName, Namespace, Pod, SourceState } from './objects.ts'
import type { Problem } from './tables.ts'
import { movedMessage, networkNow, unmanagedMessage } from './unmanaged-pods.ts'

const NONE: readonly Problem[] = []

interface KnownPort {
  readonly inputs: readonly unknown[]
  readonly problem: Problem | undefined
}

export class InputProblems {
  readonly #cluster: string
  readonly #networks = new Inputs()
  #namespaces = new WeakMap<Namespace, readonly Problem[]>()
  readonly #ofNamespaces = new Memo<readonly Problem[]>()
  readonly #ports = new WeakMap<Port, KnownPort>()

  constructor(cluster: string) {
    this.#cluster = cluster
  }

  /** Namespaces whose pods can't be attached, or that say what can't be meant. */
  namespaces(source: SourceState): readonly Problem[] {
    if (this.#networks.areOther(source.virtualNetworks)) this.#namespaces = new WeakMap()
    return this.#ofNamespaces.get([source.namespaces, source.virtualNetworks], () => {
      const problems: Problem[] = []
      for (const namespace of source.namespaces.values()) {
        let told = this.#namespaces.get(namespace)
        if (told === undefined) {
          told = namespaceProblems(namespace, source, this.#cluster)
          this.#namespaces.set(namespace, told)
        }
        if (told.length > 0) problems.push(...told)
      }
      return problems
    })
  }

  /** Pods that would be elsewhere if they started now. */
  pods(source: SourceState, ports: readonly Port[], unmanaged: readonly Pod[]): readonly Problem[] {
    const problems: Problem[] = []
    for (const port of ports) {
      const problem = this.#ofPort(port, source)
      if (problem !== undefined) problems.push(problem)
    }
    for (const pod of unmanaged)
      problems.push({ object: `Pod ${pod.namespace}/${pod.name}`, message: unmanagedMessage(pod) })
    return problems
  }

  #ofPort(port: Port, source: SourceState): Problem | undefined {
    const { namespaces, virtualNetworks, pods } = source
    const inputs = [pods.get(port.pod.uid), namespaces.get(port.namespace), virtualNetworks]
    const known = this.#ports.get(port)
    if (known !== undefined && isSameList(known.inputs, inputs)) return known.problem
    const now = networkNow(port, source, this.#cluster)
    const problem = now === undefined ? undefined : movedProblem(port, now)
    this.#ports.set(port, { inputs, problem })
    return problem
  }
}

function namespaceProblems(namespace: Namespace, source: SourceState, cluster: string): readonly Problem[] {
  const object = `Namespace ${namespace.name}`
  const problems: Problem[] = slipsOf('namespace', namespace).map(({ message }) => ({ object, message }))
  const network = networkOfPod({ namespace: namespace.name, name: '*' }, source, cluster)
  // Without a default network every pod may name its own.
  if (!network.ok && network.error.code !== 'NO_DEFAULT_NETWORK')
    problems.push({ object, message: `${network.error.message}: ${network.error.remedy}` })
  return problems.length === 0 ? NONE : problems
}

function movedProblem(port: Port, now: FqName): Problem {
  return {
    object: podName(port),
    message: movedMessage(port, now),
    subject: { kind: 'port', uuid: port.uuid },
    isWorking: true,
  }
}
