/**
 * How the programs and maps of this version come into service: once, by the first pass that has written all that they need, with all that those before
 * them had, and before anything else happens to the links.
 */
import type { Pace } from '../../ground/pace.ts'
import type { Links } from '../links.ts'
import type { Programs } from '../programs.ts'
import { upgradeSteps } from './upgrade.ts'

export class ChangeOver {
  readonly #programs: Programs
  readonly #links: Links
  /** The programs of this version run on all devices that had one. */
  #isDone = false
  /** And their maps are where the tools look. */
  #isCommitted = false

  constructor(programs: Programs, links: Links) {
    this.#programs = programs
    this.#links = links
  }

  /** The tables are written. */
  async begin(pace: Pace): Promise<void> {
    if (this.#isDone) return
    const { upgrade, maps } = this.#programs
    upgradeSteps.publish('carry')
    await upgrade?.carry(pace)
    upgradeSteps.publish('swap')
    maps.beginSwap()
    upgrade?.changeOver(this.#links)
    upgradeSteps.publish('age')
    if (upgrade) this.#programs.startAgeing()
    this.#isDone = true
  }

  /** The programs are on all devices. */
  commit(): void {
    if (this.#isCommitted) return
    upgradeSteps.publish('commit')
    this.#programs.maps.commit()
    this.#isCommitted = true
  }
}
