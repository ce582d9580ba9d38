/** The model and the ids that it gives, as far as an earlier daemon has left them. */
import type { Config } from '../config/config.ts'
import type { IdsStore, LoadedIds } from '../dataplane/ids-store.ts'
import { Model } from '../model/compute.ts'

export interface OpenedModel extends LoadedIds {
  readonly model: Model
}

export function openModel({ node, cluster, limits, snat, services, tunnels }: Config, store: IdsStore): OpenedModel {
  const loaded = store.load({
    limits: {
      vrf: limits.vrfs,
      nexthop: limits.nexthops,
      label: limits.labels,
      vif: limits.vifs,
      bridge: limits.routes,
      service: limits.services,
    },
  })
  const model = new Model(
    {
      node,
      cluster: cluster.name,
      limits: { routes: limits.routes },
      flowsPerVif: limits.flowsPerVif,
      snat: snat.enabled,
      insideRanges: services.clusterIPRanges,
      externalIps: services.externalIPs,
      tunnelPeers: tunnels.peers,
    },
    loaded.ids,
  )
  return { ...loaded, model }
}
