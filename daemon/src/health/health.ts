/** What /readyz and /metrics show, handed in by whoever composes the daemon; read when somebody asks, never kept. */
import type { Address } from '../model/objects.ts'
import type { PacketStats } from '../model/packet-stats.ts'

export interface TableUse {
  /** `route4`, `flow4`, … */
  readonly table: string
  readonly used: number
  readonly max: number
}

export interface HealthState {
  /**
   * Pods can be started here. It says nothing of the API server: a node goes on without, and an unready daemon would hold up the
   * update of the others.
   */
  readonly ready: boolean
  /** One line for people: what the daemon is doing, or what holds it up. */
  readonly state: string
  readonly ports: number
  readonly vrfs: number
  /** Of all VRFs. */
  readonly routes: number
  readonly tables: readonly TableUse[]
  /** Packets dropped by the whole vRouter, by `enum drop_reason`. */
  readonly drops: readonly bigint[]
  /** Packets to a tunnel port that no known node sent. */
  readonly foreignTunnels: bigint
  /** Flows through Services since the datapath was loaded: that got an endpoint, were answered that there is none, or met silence. */
  readonly services?: () => { readonly connections: bigint; readonly refused: bigint; readonly dropped: bigint }
  /** Load balancer addresses; absent before anybody looks. */
  readonly announcements?: {
    readonly announced: ReadonlySet<Address>
    readonly watched: number
    readonly takeovers: number
  }
  readonly source: {
    /** What the daemon works on is what the source has, as far as it was told. */
    readonly inSync: boolean
  }
  /** What came over pkt0 to the daemon; absent before it is read. */
  readonly packets?: PacketStats
  /** What can't be brought into the kernel now. */
  readonly problems: number
  /** Objects that were set aside. */
  readonly rejected: number
}
