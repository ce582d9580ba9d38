/**
 * What of this node's pods isn't as it would be if they started now: pods that have addresses from somebody else (they were here
 * before us), and pods whose namespace or annotation names another network by now. Neither is touched: a new pod is right.
 */
import type { Port } from './facts.ts'
import { isListed, networkOfPod } from './namespace-network.ts'
import type { FqName, Pod, SourceState } from './objects.ts'

/**
 * Pods that have addresses and no port. One whose deletion is under way may be among them for a moment. A static pod's uid in the
 * cluster isn't the one that the runtime tells, so the name counts, too.
 */
export function unmanagedPods(pods: Iterable<Pod>, ports: readonly Port[]): Pod[] {
  const known = new Set(ports.flatMap(({ namespace, pod }) => [pod.uid, `${namespace}/${pod.name}`]))
  return [...pods].filter(
    ({ namespace, name, uid, hostNetwork, phase, addresses }) =>
      !hostNetwork &&
      (phase === 'Running' || phase === 'Pending') &&
      addresses.length > 0 &&
      !known.has(uid) &&
      !known.has(`${namespace}/${name}`),
  )
}

export function unmanagedMessage({ addresses }: Pod): string {
  return `started before kube-vrouter with ${addresses.join(', ')} and is not in its network: recreate the pod`
}

/** The VN that the port's pod would get now, where that is another one than it has. */
export function networkNow(
  { networkFrom, namespace, pod, vn, ifname, isSecondary }: Port,
  state: Pick<SourceState, 'namespaces' | 'virtualNetworks' | 'pods'>,
  cluster: string,
): FqName | undefined {
  if (networkFrom === 'attachment') return undefined
  const known = state.pods.get(pod.uid)
  // Its annotations named the network, and nobody knows them any more.
  if (known === undefined && (networkFrom === undefined || networkFrom === 'pod')) return undefined
  // The pod's own network is that of its first interface.
  if (isSecondary && !isListed(ifname, known?.annotations, state.namespaces.get(namespace)?.annotations))
    return undefined
  const reference = {
    namespace,
    name: pod.name,
    ifname,
    ...(known && { annotations: known.annotations, labels: known.labels }),
  }
  const now = networkOfPod(reference, state, cluster)
  return now.ok && now.vn.fqName !== vn ? now.vn.fqName : undefined
}

export function movedMessage(port: Port, now: FqName): string {
  return `is in network ${port.vn} and stays there; a pod that starts now would be in ${now}: recreate the pod to move it`
}
