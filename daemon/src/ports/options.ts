/** What the ports of a node need from the rest of the daemon, and how long they wait for what. */

import type { Address, Source } from '../model/objects.ts'
import type { GetReply } from '../port-api/messages.ts'
import { isNamespaceAlive } from './netns.ts'

export interface Log {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface Programmed {
  readonly vif: number
  readonly vrf: number
}

/** Whether ADD can be served, and if not, why. */
export type Readiness =
  | { readonly ready: true }
  | { readonly ready: false; readonly message: string; readonly podsAffected: boolean }

export interface PortsOptions {
  readonly source: Source
  readonly node: string
  readonly cluster: { readonly name: string; readonly domain: string }
  /** paths.state. */
  readonly state: string
  readonly log: Log
  /** MTU of a pod's interface, bytes: the underlay's less the encapsulation. */
  readonly podMtu: () => number
  /** Addresses of this node at which host ports are served. */
  readonly nodeAddresses: () => readonly Address[]
  /** ifindex of a device of this node, undefined when there is none. */
  readonly linkIndex: (name: string) => number | undefined
  /** The set of ports changed: compute and program anew. */
  readonly onPortsChanged: () => void
  /** Resolves when the datapath forwards for that port, rejects when it can't. The signal ends the interest in it. */
  readonly programmed: (uuid: string, signal: AbortSignal) => Promise<Programmed>
  /** What is known to keep that port from being programmed; told with a register that took too long. */
  readonly obstacle?: (uuid: string) => string | undefined
  /** CHECK: what the datapath holds for that port, compared with what it should hold. */
  readonly verify?: (uuid: string) => Promise<Pick<GetReply, 'verified' | 'mismatches'>>
  readonly readiness: () => Readiness
  /** limits.vifs, less those that aren't pods'. */
  readonly maxPorts: number
  readonly programTimeoutMs?: number
  readonly quarantineMs?: number
  /** A block of addresses that no port has used for this long is given back. */
  readonly idleBlockMs?: number
  /** A record whose tap and namespace are gone is removed after this time. */
  readonly garbageMs?: number
  /** How often garbage and queued deletions are looked for. */
  readonly maintenanceMs?: number
  readonly isNamespaceAlive?: (path: string) => Promise<boolean>
  /** Brings an open file to the disk; default fsync. */
  readonly sync?: (fd: number) => Promise<void>
  readonly now?: () => number
}

export const DEFAULTS = {
  programTimeoutMs: 30_000,
  quarantineMs: 30_000,
  idleBlockMs: 10 * 60_000,
  garbageMs: 5 * 60_000,
  maintenanceMs: 30_000,
  isNamespaceAlive,
  now: Date.now,
}

/** Options with what wasn't given. */
export type Settings = PortsOptions & typeof DEFAULTS
