/**
 * Shows the networks that nobody writes a manifest for as VirtualNetwork objects, so that `kubectl get vn` has them and people can label
 * them. The daemons compute these networks themselves; an object only adds labels, SNAT and VNI. Pure.
 */
import { builtInNetworks } from '../model/built-in-networks.ts'
import type { VirtualNetwork } from '../model/objects.ts'
import { API_VERSIONS, BUILT_IN_LABEL } from '../sources/objects/decode.ts'
import type { Action } from './actions.ts'
import type { Resourceful } from './resources.ts'
import { isBuiltIn, type View } from './view.ts'

export const MANAGER_LABEL = 'app.kubernetes.io/managed-by'
export const MANAGER = 'vrouter-controller'

/** Creates what is missing, and takes away what the controller made and isn't built in any more. */
export function showBuiltIn(view: View): Action[] {
  const { world, cluster, state } = view
  const actions: Action[] = []
  const wanted = new Set<string>()
  for (const network of builtInNetworks(cluster.name, cluster.defaultSubnets, state.namespaces.values())) {
    const key = `${network.namespace}/${network.name}`
    wanted.add(key)
    const namespace = world.namespaces.get(network.namespace)
    const isLeaving = (namespace?.metadata.deletionTimestamp ?? null) !== null
    if (world.networks.has(key) || namespace === undefined || isLeaving) continue
    actions.push({ type: 'create', of: 'networks', object: objectOf(network, namespace) })
  }
  for (const [key, object] of world.networks) {
    const isOurs = isBuiltIn(object) && object.metadata.labels?.[MANAGER_LABEL] === MANAGER
    if (!isOurs || wanted.has(key) || (object.metadata.deletionTimestamp ?? null) !== null) continue
    actions.push({ type: 'delete', of: 'networks', object, why: 'the network that it shows is not built in any more' })
  }
  return actions
}

function objectOf(network: VirtualNetwork, namespace: Resourceful): Resourceful {
  const { metadata } = namespace
  return {
    apiVersion: API_VERSIONS.VirtualNetwork,
    kind: 'VirtualNetwork',
    metadata: {
      name: network.name,
      namespace: network.namespace,
      labels: { [BUILT_IN_LABEL]: 'true', [MANAGER_LABEL]: MANAGER },
      ownerReferences: [{ apiVersion: 'v1', kind: 'Namespace', name: metadata.name, uid: metadata.uid! }],
    },
    spec: { subnets: network.subnets },
  }
}
