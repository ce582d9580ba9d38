/**
 * The way back: the NIC gets everything again, the programs go, vhost0 goes, the snapshot goes. What the kernel refuses to take back is
 * left out with a warning: one odd route must not keep the node off its network. `uninstall` is what `--uninstall` runs.
 */

import { kernelIdentity } from '@kube-vrouter/linux/kernel-identity'
import type { NamespaceHandle } from '@kube-vrouter/linux/namespace'
import type { Log } from '../log.ts'
import { converge, describeFailure } from './converge.ts'
import { removeVhost } from './device.ts'
import { addressKey, routeIdentity } from './device-state.ts'
import { devicesOf, type VhostHooks } from './hooks.ts'
import { VhostKernel } from './kernel.ts'
import { absorb, absorbVhost, type Holdings, holdingsFromVhost, holdingsOf, planToNic } from './plan.ts'
import { readSnapshot, removeSnapshot, type Snapshot, writeSnapshot } from './snapshot.ts'
import { readDeviceSysctls } from './sysctls.ts'

export interface UninstallOptions {
  readonly nic: string
  readonly vhost: string
  readonly stateDir: string
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>
  readonly hooks?: VhostHooks
  readonly netns?: NamespaceHandle
}

/** Gives the NIC back what vhost0 carries. Without a vhost0 and without a snapshot of this boot there is nothing to do. Returns whether there was. */
export async function uninstall(options: UninstallOptions): Promise<boolean> {
  using kernel = new VhostKernel(options)
  const snapshot = readSnapshot(options.stateDir, kernelIdentity(options.netns))
  const vhost = kernel.vhost()
  if (snapshot === undefined && vhost === undefined) {
    removeSnapshot(options.stateDir)
    return false
  }
  if (kernel.nic() === undefined) {
    // Without its NIC vhost0 leads nowhere.
    removeVhost(kernel)
    removeSnapshot(options.stateDir)
    return true
  }
  await restore(kernel, snapshot ?? snapshotOfVhost(kernel, options), options)
  return true
}

/** Finishes with the NIC as it was; can be repeated after a crash. */
export async function restore(
  kernel: VhostKernel,
  snapshot: Snapshot,
  options: Omit<UninstallOptions, 'nic' | 'vhost'>,
): Promise<void> {
  options.hooks?.onStep?.('restore')
  const wasSettled = snapshot.phase === 'settled'
  let holdings = snapshot.holdings
  const keep = (phase: Snapshot['phase']) => {
    try {
      writeSnapshot(options.stateDir, { ...snapshot, phase, holdings })
    } catch (error) {
      // A full disk must not keep the node off its network.
      options.log.warn({ err: error }, 'the way back is not recorded')
    }
  }
  keep('restoring')
  const refused = new Set<string>()
  converge(
    kernel,
    (situation) => {
      holdings = absorb(holdings, situation, wasSettled)
      if (situation.vhost !== undefined) holdings = absorbVhost(holdings, situation.vhost)
      holdings = without(holdings, refused)
      return planToNic(holdings, situation, snapshot.nic.wasIpv6Disabled)
    },
    undefined,
    (failures) => {
      options.log.warn({ failures: failures.map(describeFailure) }, `${kernel.nicName} does not take everything back`)
      for (const { operation } of failures) {
        if (operation.op === 'add-route') refused.add(routeIdentity(operation.route))
        if (operation.op === 'add-address') refused.add(addressKey(operation.address))
        if (operation.op === 'set-neighbour') refused.add(operation.neighbour.address)
      }
    },
  )
  options.hooks?.onStep?.('detach')
  await detach(kernel, options)
  removeVhost(kernel)
  removeSnapshot(options.stateDir)
  options.log.info({ nic: kernel.nicName }, 'the node is on its network card')
}

async function detach(kernel: VhostKernel, { hooks, log }: Pick<UninstallOptions, 'hooks' | 'log'>): Promise<void> {
  const nic = kernel.nic()
  const vhost = kernel.vhost()
  if (nic === undefined || vhost === undefined) return
  try {
    await hooks?.detach(devicesOf(nic, vhost))
  } catch (error) {
    log.error({ err: error }, 'cannot detach the programs')
  }
}

function without(holdings: Holdings, refused: ReadonlySet<string>): Holdings {
  if (refused.size === 0) return holdings
  return {
    ...holdings,
    addresses: holdings.addresses.filter((address) => !refused.has(addressKey(address))),
    routes: holdings.routes.filter((route) => !refused.has(routeIdentity(route))),
    neighbours: holdings.neighbours.filter(({ address }) => !refused.has(address)),
  }
}

/** Stands in for a lost snapshot. */
function snapshotOfVhost(kernel: VhostKernel, { netns, log }: UninstallOptions): Snapshot {
  log.warn({ vhost: kernel.vhostName }, 'the record of what the network card held is lost: it gets what vhost0 carries')
  const { vhost, nic } = kernel.observe()
  const link = kernel.nic()
  return {
    schema: 1,
    kernel: kernelIdentity(netns),
    phase: 'settled',
    takenAt: new Date().toISOString(),
    nic: {
      name: kernel.nicName,
      mac: link?.mac ?? '',
      mtu: link?.mtu ?? 0,
      sysctls: readDeviceSysctls(kernel.nicName, netns),
      wasIpv6Disabled: false,
    },
    answered: [],
    resolvConf: '',
    holdings: vhost === undefined ? holdingsOf(nic) : holdingsFromVhost(vhost),
  }
}
