/**
 * Deletions that the CNI binary did while the daemon was down: `<state>/deletes/<key>.json`, by the keys of records. The tap is gone already; what
 * is left to do is to give the addresses back and to forget the port.
 */

import { unlinkSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'

export class Deletes {
  readonly #folder: string

  /** `state`: the daemon's paths.state. */
  constructor(state: string) {
    this.#folder = join(state, 'deletes')
  }

  /** Keys of what waits. The file's name says all, so a file that was cut short counts too. */
  async list(): Promise<string[]> {
    let names: string[]
    try {
      names = await readdir(this.#folder)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
      throw error
    }
    return names.filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -'.json'.length))
  }

  /** Takes one off the queue. Tells whether it was there. */
  async remove(key: string): Promise<boolean> {
    try {
      unlinkSync(join(this.#folder, `${key}.json`))
      return true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
      throw error
    }
  }
}
