/**
 * The migration of the node's addresses and routes from the NIC to vhost0 (design: vhost0). Called once at every start of the daemon:
 * the first time it moves, later it finishes what was interrupted, or finds nothing to do. Either the node is on vhost0 afterwards and reaches what it
 * reached before, or everything is back on the NIC and a VrouterError is thrown.
 */

import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { kernelIdentity } from '@kube-vrouter/linux/kernel-identity'
import type { NamespaceHandle } from '@kube-vrouter/linux/namespace'
import type { LinkInfo } from '@kube-vrouter/linux/netlink/route'
import { reasonOf, VrouterError } from '../errors.ts'
import { errorFields, type Log } from '../log.ts'
import { converge, describeFailure } from './converge.ts'
import { ensureVhost } from './device.ts'
import { answers, defaultGateways } from './gateway.ts'
import { devicesOf, type VhostDevices, type VhostHooks } from './hooks.ts'
import { VhostKernel } from './kernel.ts'
import { absorb, type Holdings, holdingsFromVhost, holdingsOf, planToVhost, type Situation } from './plan.ts'
import { restore, uninstall } from './restore.ts'
import { readSnapshot, type Snapshot, writeSnapshot } from './snapshot.ts'
import { readDeviceSysctls } from './sysctls.ts'

export interface MigrateOptions {
  /** Names of the fabric NIC and of the device to make. */
  readonly nic: string
  readonly vhost: string
  /** Folder of vhost0-snapshot.json. */
  readonly stateDir: string
  /** How long what answered before may take to answer again. */
  readonly watchSeconds: number
  /** `auto`: the gateway of the default route; `none`: don't watch; or addresses on the link, separated by commas. */
  readonly gateway: string
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>
  readonly hooks?: VhostHooks
  readonly netns?: NamespaceHandle
}

export interface VhostState extends VhostDevices {
  /** What vhost0 carries. */
  readonly holdings: Holdings
  /** Operations that were needed: 0 when all was in place. */
  readonly changes: number
  /** Addresses that were watched and answered. */
  readonly answered: readonly string[]
}

const PROBE_BEFORE_MS = 2000
const WATCH_POLL_MS = 200

export async function migrate(options: MigrateOptions): Promise<VhostState> {
  await finishRestore(options)
  using kernel = new VhostKernel(options)
  const nic = nicOf(kernel)
  const snapshot = await prepareSnapshot(kernel, nic, options)

  options.hooks?.onStep?.('device')
  const isNew = kernel.vhost() === undefined
  const vhost = ensureVhost(kernel, nic, snapshot.nic.sysctls)
  const devices = devicesOf(nic, vhost)
  options.hooks?.onStep?.('attach')
  try {
    await options.hooks?.beforeMove?.(devices)
  } catch (error) {
    const attached = VrouterError.of(
      'VHOST_ATTACH_FAILED',
      { vhost: options.vhost, reason: reasonOf(error) },
      { cause: error },
    )
    // A node that lives on vhost0 already keeps it: the programs of the daemon before go on working.
    if (snapshot.phase === 'settled' && !isNew) throw attached
    throw await rollBack(kernel, snapshot, devices, options, attached)
  }

  let holdings = snapshot.holdings
  let changes: number
  try {
    changes = converge(
      kernel,
      (situation) => {
        holdings = absorb(holdings, situation, snapshot.phase === 'settled')
        return planToVhost(holdings, situation)
      },
      (operations) => options.hooks?.onStep?.(operations[0]!.op.startsWith('delete') ? 'remove' : 'add'),
      (failures) =>
        options.log.warn({ failures: failures.map(describeFailure) }, 'the kernel refused a part of the migration'),
    )
    options.hooks?.onStep?.('watch')
    if (changes > 0 || snapshot.phase === 'moving') await watch(kernel, vhost.index, snapshot.answered, options)
  } catch (error) {
    throw await rollBack(kernel, snapshot, devices, options, moveError(error, options))
  }
  options.hooks?.onStep?.('settle')
  settle(snapshot, holdings, options)
  const carried = holdings.addresses.map(({ address, prefixLength }) => `${address}/${prefixLength}`)
  options.log.info({ nic: options.nic, vhost: options.vhost, changes, addresses: carried }, 'the node is on vhost0')
  return { ...devices, holdings, changes, answered: snapshot.answered }
}

function nicOf(kernel: VhostKernel): LinkInfo {
  const nic = kernel.nic()
  if (nic === undefined) throw VrouterError.of('VHOST_NIC_MISSING', { nic: kernel.nicName })
  return nic
}

/** An interrupted way back, or one from another NIC than the configured one, is finished first, so that what follows starts from the NIC. */
async function finishRestore(options: MigrateOptions): Promise<void> {
  const snapshot = readSnapshot(options.stateDir, kernelIdentity(options.netns))
  if (snapshot === undefined || (snapshot.phase !== 'restoring' && snapshot.nic.name === options.nic)) return
  options.log.warn({ nic: snapshot.nic.name, vhost: options.vhost }, 'finishing the way back to the network card')
  await uninstall({ ...options, nic: snapshot.nic.name })
}

/** The snapshot to work with, on disk: the one of an earlier run that counts, or a new one. */
async function prepareSnapshot(kernel: VhostKernel, nic: LinkInfo, options: MigrateOptions): Promise<Snapshot> {
  options.hooks?.onStep?.('snapshot')
  const identity = kernelIdentity(options.netns)
  const earlier = readSnapshot(options.stateDir, identity)
  if (earlier !== undefined) return earlier
  const situation = kernel.observe()
  const isOnVhost = situation.vhost !== undefined && situation.vhost.addresses.length > 0
  const holdings = isOnVhost ? lostRecord(situation, options) : holdingsOf(situation.nic)
  const snapshot: Snapshot = {
    schema: 1,
    kernel: identity,
    phase: isOnVhost ? 'settled' : 'moving',
    takenAt: new Date().toISOString(),
    nic: {
      name: nic.name,
      mac: nic.mac ?? '',
      mtu: nic.mtu,
      sysctls: readDeviceSysctls(nic.name, options.netns),
      wasIpv6Disabled: isOnVhost ? false : (situation.nic.isIpv6Disabled ?? false),
    },
    answered: isOnVhost ? [] : await answeringBefore(kernel, nic, holdings, options),
    resolvConf: resolvConf(),
    holdings,
  }
  writeSnapshot(options.stateDir, snapshot)
  return snapshot
}

function lostRecord(situation: Situation, { log, vhost, stateDir }: MigrateOptions): Holdings {
  log.warn(
    { vhost, stateDir },
    'the node is on vhost0, but the record of what the network card held is lost: it is made anew from vhost0',
  )
  return situation.vhost === undefined ? holdingsOf(situation.nic) : holdingsFromVhost(situation.vhost)
}

/** Only what answers on the NIC can be lost by the migration. */
async function answeringBefore(
  kernel: VhostKernel,
  nic: LinkInfo,
  holdings: Holdings,
  options: MigrateOptions,
): Promise<string[]> {
  const watched = watchedAddresses(options.gateway, holdings)
  const results = await Promise.all(watched.map((address) => answers(kernel, nic.index, address, PROBE_BEFORE_MS)))
  const silent = watched.filter((_, i) => !results[i])
  if (silent.length > 0) {
    options.log.warn(
      { nic: options.nic, addresses: silent },
      'a gateway does not answer even before the migration: it is not watched',
    )
  }
  return watched.filter((_, i) => results[i])
}

function watchedAddresses(gateway: string, holdings: Holdings): string[] {
  switch (gateway) {
    case 'none':
      return []
    case 'auto':
      return defaultGateways(holdings)
    default:
      return gateway.split(',').map((address) => address.trim())
  }
}

/** Everything that answered before must answer over vhost0. */
async function watch(
  kernel: VhostKernel,
  index: number,
  watched: readonly string[],
  options: MigrateOptions,
): Promise<void> {
  const timeoutMs = options.watchSeconds * 1000
  const deadline = performance.now() + timeoutMs
  const results = await Promise.all(watched.map((address) => answers(kernel, index, address, timeoutMs)))
  const lost = watched.find((_, i) => !results[i])
  if (lost !== undefined) throw gatewayLost(lost, options)
  if (options.hooks?.isReachable === undefined) return
  while (!(await options.hooks.isReachable())) {
    if (performance.now() >= deadline) throw gatewayLost('a watched service', options)
    await sleep(WATCH_POLL_MS)
  }
}

function gatewayLost(address: string, { vhost, watchSeconds }: MigrateOptions): VrouterError {
  return VrouterError.of('VHOST_GATEWAY_LOST', { address, vhost, seconds: watchSeconds })
}

/** The node is in service: a disk that is full now is no reason to go back. The next start finds an unfinished migration, with nothing to do but to watch. */
function settle(snapshot: Snapshot, holdings: Holdings, { stateDir, log }: MigrateOptions): void {
  try {
    writeSnapshot(stateDir, { ...snapshot, phase: 'settled', holdings })
  } catch (error) {
    log.error({ err: errorFields(error) }, 'the migration is complete, but that is not recorded')
  }
}

function moveError(error: unknown, { nic, vhost }: MigrateOptions): VrouterError {
  if (error instanceof VrouterError) return error
  return VrouterError.of('VHOST_MOVE_FAILED', { nic, vhost, reason: reasonOf(error) }, { cause: error })
}

/** Puts everything back; returns the error to throw. */
async function rollBack(
  kernel: VhostKernel,
  snapshot: Snapshot,
  devices: VhostDevices,
  options: MigrateOptions,
  cause: VrouterError,
): Promise<VrouterError> {
  options.log.error({ err: cause }, `going back to ${devices.nic.name}`)
  try {
    await restore(kernel, snapshot, options)
    return cause
  } catch (error) {
    return VrouterError.of('VHOST_RESTORE_FAILED', { nic: options.nic, reason: reasonOf(error) }, { cause })
  }
}

function resolvConf(): string {
  try {
    return readFileSync('/etc/resolv.conf', 'utf8')
  } catch {
    return ''
  }
}
