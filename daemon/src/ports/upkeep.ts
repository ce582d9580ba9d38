/**
 * How ports end: by a deletion, by one that was queued while the daemon was down, or because their pod is gone and nobody ever deleted them.
 * And what is looked after now and then: blocks that no pod uses, pods that aren't in their network.
 */

import type { Addresses } from './addresses.ts'
import type { Deletes } from './deletes.ts'
import type { Settings } from './options.ts'
import type { PodReports } from './pod-reports.ts'
import { describe, type PortTable } from './port-table.ts'
import type { Serial } from './serial.ts'
import type { Taps } from './taps.ts'

/** What upkeep looks after. */
export interface Kept {
  readonly table: PortTable
  readonly deletes: Deletes
  readonly addresses: Addresses
  readonly taps: Taps
  readonly reports: PodReports
  /** Turns, by the ports' keys. */
  readonly serial: Serial
}

export class Upkeep implements Disposable {
  readonly #options: Pick<
    Settings,
    'now' | 'garbageMs' | 'maintenanceMs' | 'linkIndex' | 'isNamespaceAlive' | 'log' | 'onPortsChanged'
  >
  readonly #kept: Kept
  #timer: NodeJS.Timeout | undefined

  constructor(options: Settings, kept: Kept) {
    this.#options = options
    this.#kept = kept
  }

  /** From now on, every so often. */
  start(): void {
    this.#timer = setInterval(() => this.maintain().catch(this.#onFailure), this.#options.maintenanceMs)
    this.#timer.unref()
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer)
  }

  /** Replays queued deletions, removes ports that nobody will ever delete, and gives idle blocks back. */
  async maintain(): Promise<void> {
    const { table, deletes, addresses, reports } = this.#kept
    for (const key of await deletes.list()) await this.#replay(key)
    await this.#removeGarbage()
    if (reports.look()) this.#options.onPortsChanged()
    await addresses.giveBack()
    table.forgetReleased()
  }

  /** Removes record and port. What isn't there is fine. Within the key's turn. */
  async forget(key: string): Promise<void> {
    const { table, taps, addresses } = this.#kept
    const record = await table.remove(key)
    if (record === undefined) return
    taps.clear(key)
    addresses.release(record.port)
    this.#options.onPortsChanged()
    // Nobody waits for the source; upkeep tries again.
    if (addresses.holdsSingle(record.port)) addresses.giveBack().catch(this.#onFailure)
  }

  #onFailure = (error: unknown): void => {
    this.#options.log.error({ error: (error as Error).message }, 'the upkeep of ports failed')
  }

  async #replay(key: string): Promise<void> {
    const { table, deletes, serial } = this.#kept
    await serial.run(key, async () => {
      if (!(await deletes.remove(key))) return
      const known = table.get(key)?.port
      await this.forget(key)
      const fields = { attachment: key, ...(known && describe(known)) }
      this.#options.log.info(fields, 'replayed a deletion of the time when the daemon was down')
    })
  }

  async #removeGarbage(): Promise<void> {
    const { now, garbageMs, linkIndex, isNamespaceAlive, log } = this.#options
    const { table, taps, serial } = this.#kept
    for (const [key, { port }] of table.entries()) {
      const age = now() - (taps.missingSince(key) ?? Date.parse(port.createdAt))
      // At the start nobody knows since when a tap is missing: the port's age has to do.
      const isOld = age > garbageMs || (this.#timer === undefined && now() - Date.parse(port.createdAt) > garbageMs)
      if (!isOld || linkIndex(port.tap) !== undefined) continue
      if (await isNamespaceAlive(table.get(key)?.netns ?? '')) continue
      await serial.run(key, async () => {
        if (linkIndex(port.tap) !== undefined) return
        await this.forget(key)
        log.warn(describe(port), 'removed a port whose tap and network namespace are gone: its deletion never came')
      })
    }
  }
}
