/** Which ports have their tap, and since when others have none. */

import type { Settings } from './options.ts'
import type { PortTable } from './port-table.ts'

export class Taps {
  readonly #options: Pick<Settings, 'linkIndex' | 'now'>
  readonly #table: PortTable
  /** By key: since when a port's tap has been missing. */
  readonly #missingSince = new Map<string, number>()

  constructor(options: Pick<Settings, 'linkIndex' | 'now'>, table: PortTable) {
    this.#options = options
    this.#table = table
  }

  /** A device that vanished takes its ifindex from the port, one that came back gives it again. Tells whether anything changed. */
  refresh(): boolean {
    let changed = false
    for (const [key, record] of this.#table.entries()) {
      if (!record.registered) continue
      const ifindex = this.#options.linkIndex(record.port.tap)
      if (ifindex === undefined) {
        if (!this.#missingSince.has(key)) this.#missingSince.set(key, this.#options.now())
      } else this.#missingSince.delete(key)
      if (ifindex === record.port.ifindex) continue
      const { ifindex: _, ...port } = record.port
      this.#table.set({ ...record, port: ifindex === undefined ? port : { ...port, ifindex } })
      changed = true
    }
    return changed
  }

  /** Undefined: it is there, as far as we know. */
  missingSince(key: string): number | undefined {
    return this.#missingSince.get(key)
  }

  /** The port's tap is there, or nobody misses it any more. */
  clear(key: string): void {
    this.#missingSince.delete(key)
  }
}
