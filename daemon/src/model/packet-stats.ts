/** What came over pkt0 to the daemon and what became of it, since the daemon started (packet/counters.ts counts). */
export interface PacketStats {
  /** Frames read from pkt0. */
  readonly received: number
  /** Frames without a sensible agent header. */
  readonly invalid: number
  /** Frames injected. */
  readonly replies: number
  /** Answers that the device didn't take. */
  readonly sendFailures: number
  /** Neighbours asked for. */
  readonly resolves: number
  /** Packets that made the worker fail: defects. */
  readonly faults: number
  /** Frames that told pods of an address's new MAC. */
  readonly announcements: number
  /** Packets that somebody else was asked to answer. */
  readonly asks: number
  /** By command, as introspect names them. */
  readonly traps: Readonly<Record<string, number>>
  /** Traps without an answer, by reason. */
  readonly silent: Readonly<Record<string, number>>
}
