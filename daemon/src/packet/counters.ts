/** What the packet worker counts, in memory that both threads see: the worker adds, anybody reads. Values are exact up to 2^53. */
import { COMMAND_NAMES } from './agent-header.ts'
import { SILENT_REASONS, type SilentReason } from './respond.ts'

const TOTALS = ['received', 'invalid', 'replies', 'sendFailures', 'resolves', 'faults', 'announcements'] as const
export type Total = (typeof TOTALS)[number]

const TRAPS_AT = TOTALS.length
/** One more than there are names: commands that nobody knows. */
const SILENT_AT = TRAPS_AT + COMMAND_NAMES.length + 1
const LENGTH = SILENT_AT + SILENT_REASONS.length

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
  /** By command, as introspect names them. */
  readonly traps: Readonly<Record<string, number>>
  /** Traps without an answer, by reason. */
  readonly silent: Readonly<Record<SilentReason, number>>
}

export class Counters {
  readonly memory: SharedArrayBuffer
  readonly #values: Float64Array

  constructor(memory = new SharedArrayBuffer(LENGTH * Float64Array.BYTES_PER_ELEMENT)) {
    this.memory = memory
    this.#values = new Float64Array(memory)
  }

  add(total: Total): void {
    this.#values[TOTALS.indexOf(total)]! += 1
  }

  addTrap(command: number): void {
    this.#values[TRAPS_AT + Math.min(command, COMMAND_NAMES.length)]! += 1
  }

  addSilent(reason: SilentReason): void {
    this.#values[SILENT_AT + SILENT_REASONS.indexOf(reason)]! += 1
  }

  read(): PacketStats {
    const values = this.#values
    const totals = Object.fromEntries(TOTALS.map((name, i) => [name, values[i]!])) as Record<Total, number>
    const traps = Object.fromEntries([...COMMAND_NAMES, 'unknown'].map((name, i) => [name, values[TRAPS_AT + i]!]))
    const silent = Object.fromEntries(SILENT_REASONS.map((name, i) => [name, values[SILENT_AT + i]!]))
    return { ...totals, traps, silent: silent as Record<SilentReason, number> }
  }
}
