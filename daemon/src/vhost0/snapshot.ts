/**
 * `vhost0-snapshot.json` in the state folder: what the NIC held before the migration, kept up to date afterwards, and how far the
 * migration is. It is on disk before anything is changed, and is what a crash, a rollback and `--uninstall` go by. It counts for one network
 * namespace of one boot: after a reboot the NIC is configured anew, and the file is only of interest to people.
 */
import { randomUUID } from 'node:crypto'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { KernelIdentity } from '@kube-vrouter/linux/kernel-identity'
import { replaceFileDurably } from '@kube-vrouter/linux/replace-file'
import { VrouterError } from '../errors.ts'
import type { Holdings } from './plan.ts'

export const SNAPSHOT_FILE = 'vhost0-snapshot.json'
const SCHEMA = 1

export interface Snapshot {
  readonly schema: typeof SCHEMA
  /** The kernel and namespace that it is about. */
  readonly kernel: KernelIdentity
  /** moving: begun, not yet proved. settled: vhost0 carries the node. restoring: on the way back to the NIC. */
  readonly phase: 'moving' | 'settled' | 'restoring'
  readonly takenAt: string
  readonly nic: {
    readonly name: string
    readonly mac: string
    readonly mtu: number
    /** All of net.ipv4.conf, net.ipv6.conf and net.*.neigh of the NIC, by `net/…` path. */
    readonly sysctls: Readonly<Record<string, string>>
    readonly wasIpv6Disabled: boolean
  }
  /** Watched addresses that answered before the migration. */
  readonly answered: readonly string[]
  /** /etc/resolv.conf, for people. */
  readonly resolvConf: string
  readonly holdings: Holdings
}

/** The snapshot of this kernel and namespace; undefined when there is none, or one that doesn't count here. */
export function readSnapshot(stateDir: string, identity: KernelIdentity): Snapshot | undefined {
  let text: string
  try {
    text = readFileSync(join(stateDir, SNAPSHOT_FILE), 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const snapshot = parseSnapshot(text)
  const isOurs = snapshot?.kernel.boot === identity.boot && snapshot.kernel.netns === identity.netns
  return isOurs ? snapshot : undefined
}

/** Undefined for text that is no snapshot of this schema (a torn file of an older version, an edit gone wrong). */
export function parseSnapshot(text: string): Snapshot | undefined {
  try {
    const value = JSON.parse(text, (_key, part) =>
      isBytes(part) ? Uint8Array.from(Buffer.from(part.$hex, 'hex')) : part,
    )
    const isWhole =
      value?.schema === SCHEMA &&
      value.kernel &&
      value.nic &&
      Array.isArray(value.holdings?.addresses) &&
      Array.isArray(value.holdings.routes)
    return isWhole ? value : undefined
  } catch {
    return undefined
  }
}

export function formatSnapshot(snapshot: Snapshot): string {
  const replacer = (_key: string, part: unknown) =>
    part instanceof Uint8Array ? { $hex: Buffer.from(part).toString('hex') } : part
  return `${JSON.stringify(snapshot, replacer, 2)}\n`
}

/** Atomic: temp, fsync, rename, fsync of the folder. */
export function writeSnapshot(stateDir: string, snapshot: Snapshot): void {
  const path = join(stateDir, SNAPSHOT_FILE)
  try {
    mkdirSync(stateDir, { recursive: true, mode: 0o700 })
    replaceFileDurably(path, `${path}.${randomUUID()}.tmp`, formatSnapshot(snapshot), 0o600)
  } catch (error) {
    throw VrouterError.of('VHOST_SNAPSHOT_FAILED', { path, reason: (error as Error).message }, { cause: error })
  }
}

export function removeSnapshot(stateDir: string): void {
  rmSync(join(stateDir, SNAPSHOT_FILE), { force: true })
}

function isBytes(part: unknown): part is { $hex: string } {
  return typeof part === 'object' && part !== null && '$hex' in part && typeof part.$hex === 'string'
}
