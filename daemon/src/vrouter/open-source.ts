/** Where objects come from, as the configuration says. */
import { join } from 'node:path'
import type { Config } from '../config/config.ts'
import type { Log } from '../log.ts'
import type { Source } from '../model/objects.ts'
import { DirectorySource } from '../sources/directory/source.ts'
import { KubernetesSource } from '../sources/kubernetes/source.ts'

export function openSource(config: Config, log: Log): Source {
  const common = {
    node: config.node,
    cluster: config.cluster.name,
    defaultSubnets: config.defaultNetwork.subnets,
    serviceRanges: config.services.clusterIPRanges,
  }
  switch (config.source.type) {
    case 'directory':
      return new DirectorySource({
        ...common,
        path: config.source.path,
        memory: join(config.paths.state, 'networks.json'),
      })
    case 'kubernetes':
      return new KubernetesSource({
        ...common,
        kubeconfig: config.source.kubeconfig,
        server: config.source.server,
        state: config.paths.state,
        log: log.child({ component: 'kubernetes' }),
      })
    default:
      return config.source.type satisfies never
  }
}
