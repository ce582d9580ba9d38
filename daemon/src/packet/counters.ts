/** What the packet worker counts, in memory that both threads see: the worker adds, anybody reads. Values are exact up to 2^53. */
import type { PacketStats } from '../model/packet-stats.ts'
import { COMMAND_NAMES } from './agent-header.ts'
import { SILENT_REASONS, type SilentReason } from './answer.ts'

const TOTALS = [
  'received',
  'invalid',
  'replies',
  'sendFailures',
  'resolves',
  'faults',
  'announcements',
  'asks',
] as const
export type Total = (typeof TOTALS)[number]

const TRAPS_AT = TOTALS.length
/** One more than there are names: commands that nobody knows. */
const SILENT_AT = TRAPS_AT + COMMAND_NAMES.length + 1
const LENGTH = SILENT_AT + SILENT_REASONS.length

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
    return { ...totals, traps, silent }
  }
}
