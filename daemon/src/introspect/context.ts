/**
 * What introspect reads: the daemon's own state, handed in by main.ts. Pages hold no copy of any of it.
 */
import type { Config } from '../config/config.ts'
import type { NodeFacts, Port } from '../model/facts.ts'
import type { Address, SourceState } from '../model/objects.ts'
import type { PacketStats } from '../model/packet-stats.ts'
import type { Tables } from '../model/tables.ts'
import type { KernelState } from './kernel.ts'

export interface Health {
  /** The first pass over source, model and kernel is done. */
  readonly ready: boolean
  /** One line for people: what the daemon is doing, or what holds it up. */
  readonly state: string
  readonly startedAt: Date
  /** What is wrong now and isn't shown in the tables' problems or the source's rejected objects. */
  readonly problems: readonly string[]
}

export interface IntrospectContext {
  readonly config: Config
  /** The kernel's tables: what pages of kstate and flows read. */
  readonly kernel: KernelState
  tables(): Tables
  source(): SourceState
  facts(): NodeFacts
  ports(): readonly Port[]
  health(): Health
  /** What came over pkt0; absent: nothing reads it yet. */
  readonly packets?: () => PacketStats
  /** Which node answers for which load balancer address; absent: nobody looks yet. */
  readonly announcements?: () => {
    readonly inLine: ReadonlyMap<Address, readonly string[]>
    readonly announced: ReadonlySet<Address>
  }
  /** A pod is being started: pages are made slower. */
  readonly isBusy?: () => boolean
  /** Told about a page that failed; the client gets an InternalErrResp. */
  onError?(error: unknown, request: string): void
}
