/**
 * `vrouter uninstall-node`: takes kube-vrouter off a node, in the order that never leaves a runtime with half of it. First the conflist, so that no
 * new pod is sent here; then, when the daemon has gone, programs, devices and routes, and the NIC has its addresses back; then the state; the
 * binary last, since pods that are still deleted need it. Each step is fine with nothing left to do.
 */
import { existsSync, readdirSync, rmdirSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout } from 'node:timers/promises'
import { RouteSocket } from '@kube-vrouter/linux/netlink/route'
import type { Config } from '../config/config.ts'
import { VrouterError } from '../errors.ts'
import type { Log } from '../log.ts'
import { ROUTER_MAC } from '../model/names.ts'
import { removeConflist } from '../port-api/conflist.ts'
import { findNic } from '../vhost0/find-nic.ts'
import { uninstall } from './install.ts'
import { uninstallNode } from './take-out.ts'

export interface UninstallOptions {
  readonly config: Config
  /** The runtime's folder of plugins; empty: the binary stays. */
  readonly pluginFolder: string
  /** The daemon's pod may still be ending. */
  readonly daemonLimitMs?: number
  readonly log: Log
}

const DAEMON_LIMIT_MS = 60_000
const POLL_MS = 500

/** Throws DAEMON_RUNNING when the daemon doesn't end in time, and what can't be put back. */
export async function uninstallFromNode(options: UninstallOptions): Promise<void> {
  const { config, pluginFolder, daemonLimitMs = DAEMON_LIMIT_MS, log } = options
  const { cniConf, state, run, pins } = config.paths
  removeConflist(cniConf)
  const deadline = Date.now() + daemonLimitMs
  while (true) {
    try {
      await uninstallNode(config, findNic(config), log)
      break
    } catch (error) {
      const isBusy = error instanceof VrouterError && error.code === 'DAEMON_RUNNING'
      if (!isBusy || Date.now() > deadline) throw error
      await setTimeout(POLL_MS)
      // It may have written the file once more as it came into service.
      removeConflist(cniConf)
    }
  }
  removeTaps()
  // The pins are gone; the folder above them is ours too: /sys/fs/bpf/vrouter.
  removeEmpty(dirname(pins))
  remove(state)
  remove(run)
  if (pluginFolder !== '') uninstall(pluginFolder)
  log.info({ component: 'install' }, 'kube-vrouter is gone from this node')
}

const TAP_NAME = /^tap[0-9a-f]{12}$/

/** Of pods that still run: without programs on them they lead nowhere. */
function removeTaps(): void {
  using route = RouteSocket.open()
  for (const { name, kind, mac, index } of route.links()) {
    if (kind === 'veth' && mac === ROUTER_MAC && TAP_NAME.test(name)) route.deleteLink(index)
  }
}

/** The folder itself goes too, unless it is a mount point. */
function remove(folder: string): void {
  if (!existsSync(folder)) return
  for (const name of readdirSync(folder)) rmSync(join(folder, name), { recursive: true, force: true })
  removeEmpty(folder)
}

function removeEmpty(folder: string): void {
  try {
    rmdirSync(folder)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === undefined || !['ENOENT', 'EBUSY', 'ENOTEMPTY', 'EROFS'].includes(code)) throw error
  }
}
