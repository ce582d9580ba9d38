/** What is wrong with the objects themselves, whatever becomes of them in the tables. */
import { slipsOf } from './annotations.ts'
import type { Port } from './facts.ts'
import { podName } from './interfaces.ts'
import { networkOfPod } from './namespace-network.ts'
import type { Pod, SourceState } from './objects.ts'
import type { Problem } from './tables.ts'
import { movedMessage, networkNow, unmanagedMessage } from './unmanaged-pods.ts'

/** Namespaces whose pods can't be attached, or that say what can't be meant. */
export function namespaceProblems(source: SourceState, cluster: string): Problem[] {
  const problems: Problem[] = []
  for (const namespace of source.namespaces.values()) {
    const object = `Namespace ${namespace.name}`
    for (const { message } of slipsOf('namespace', namespace)) problems.push({ object, message })
    const network = networkOfPod({ namespace: namespace.name, name: '*' }, source, cluster)
    // Without a default network every pod may name its own.
    if (network.ok || network.error.code === 'NO_DEFAULT_NETWORK') continue
    problems.push({ object, message: `${network.error.message}: ${network.error.remedy}` })
  }
  return problems
}

/** Pods that would be elsewhere if they started now. */
export function podProblems(
  source: SourceState,
  ports: readonly Port[],
  unmanaged: readonly Pod[],
  cluster: string,
): Problem[] {
  const moved = ports.flatMap((port) => {
    const now = networkNow(port, source, cluster)
    return now === undefined
      ? []
      : [
          {
            object: podName(port),
            message: movedMessage(port, now),
            subject: { kind: 'port', uuid: port.uuid } as const,
            isWorking: true as const,
          },
        ]
  })
  return [
    ...moved,
    ...unmanaged.map((pod) => ({ object: `Pod ${pod.namespace}/${pod.name}`, message: unmanagedMessage(pod) })),
  ]
}
