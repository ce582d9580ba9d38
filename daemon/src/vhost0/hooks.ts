/** What the composer of the daemon does for the migration, at the moments at which it has to be done. */
import type { LinkInfo } from '@kube-vrouter/linux/netlink/route'

export interface VhostHooks {
  /**
   * vhost0 is there, and nothing has moved: attach the programs and program VRF 0. Called at every start, also when there is nothing to
   * move. From its return on the node's traffic may take the way over vhost0.
   */
  readonly beforeMove?: (devices: VhostDevices) => Promise<void> | void
  /**
   * Everything is back on the NIC, and vhost0 is about to be removed: detach the programs of both. Not optional: a program that goes on
   * redirecting what the NIC receives to a vhost0 that is gone cuts the node off.
   */
  readonly detach: (devices: VhostDevices) => Promise<void> | void
  /** One more thing that must be reachable after the move, such as the API server. Asked until true, for `watchSeconds`. */
  readonly isReachable?: () => Promise<boolean>
  /** Named steps, as they begin. */
  readonly onStep?: (step: VhostStep) => void
}

export type VhostStep = 'snapshot' | 'device' | 'attach' | 'add' | 'remove' | 'watch' | 'settle' | 'restore' | 'detach'

export interface VhostDevices {
  readonly nic: { readonly name: string; readonly index: number; readonly mac: string; readonly mtu: number }
  readonly vhost: { readonly name: string; readonly index: number }
}

/** Names and indices as hooks and callers get them. */
export function devicesOf(nic: LinkInfo, vhost: LinkInfo): VhostDevices {
  return {
    nic: { name: nic.name, index: nic.index, mac: nic.mac ?? '', mtu: nic.mtu },
    vhost: { name: vhost.name, index: vhost.index },
  }
}
