/** The ports of this node, as the rest of the vRouter serves them. */

import type { Dataplane } from '../dataplane/dataplane.ts'
import { VIF_ID_FIRST_POD } from '../maps/constants.ts'
import { addressesOf } from '../model/address.ts'
import { podMtu } from '../model/encapsulations.ts'
import { Ports } from '../ports/ports.ts'
import type { Parts } from './parts.ts'
import type { PortProgress } from './port-progress.ts'
import type { Rounds } from './rounds.ts'

export function openPorts(
  { config, log, source, service }: Parts,
  dataplane: Dataplane,
  rounds: Rounds,
  progress: PortProgress,
): Ports {
  return new Ports({
    source,
    node: config.node,
    cluster: config.cluster,
    state: config.paths.state,
    log: log.child({ component: 'ports' }),
    podMtu: () => podMtu(dataplane.facts().underlay.mtu),
    nodeAddresses: () => addressesOf(dataplane.facts().underlay),
    linkIndex: (name) => dataplane.watch.taps.get(name),
    onPortsChanged: () => void rounds.nudge(),
    programmed: (uuid, signal) => progress.programmed(uuid, signal),
    obstacle: (uuid) => progress.obstacle(uuid),
    verify: async (uuid) => dataplane.verifyPort(uuid),
    readiness: () => service.readiness(),
    maxPorts: config.limits.vifs - VIF_ID_FIRST_POD,
  })
}
