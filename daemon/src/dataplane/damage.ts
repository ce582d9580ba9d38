/**
 * What others do to what is ours in the kernel: it is noticed, told, and repaired. Devices, routes and neighbours are told of by the kernel
 * (node-watch.ts); of tables (table-watch.ts), the programs' settings, links and pins nothing tells, so they are looked at. The repair is a pass that reads
 * the kernel anew.
 */
import { errorFields, type Log } from '../log.ts'
import { readGlobals } from '../maps/globals.ts'
import type { PinnedMaps } from '../maps/open.ts'
import { type GlobalsStruct, globalsCodec } from '../maps/structs.ts'
import { encode, u32Codec } from '../maps/table.ts'
import type { HostRoutes } from './host-routes.ts'
import type { KernelTables } from './kernel-tables.ts'
import type { Links } from './links.ts'
import type { Neighbours } from './neighbours.ts'
import type { Loss, NodeWatch } from './node-watch.ts'
import type { Programs } from './programs.ts'
import { TableWatch } from './table-watch.ts'

/** Damage comes in bursts. */
const DAMAGE_MS = 100
const SETTINGS_MS = 1_000
/** No event tells that a link was detached, and a pod without its program must not stay so for long. */
const LINKS_MS = 3_000
/** What that may cost at a time: new pods don't wait longer for it. */
const LINKS_SLICE_MS = 5

/** What is looked at. */
interface Watched {
  readonly tables: KernelTables
  readonly maps: PinnedMaps
  readonly programs: Pick<Programs, 'arePinned'>
  readonly links: Pick<Links, 'provisional' | 'findLost'>
  readonly node: Pick<NodeWatch, 'onDamage' | 'hasAgentDevice'>
  readonly hostRoutes: Pick<HostRoutes, 'has'>
  readonly neighbours: Pick<Neighbours, 'has'>
}

export class DamageWatch implements AsyncDisposable {
  readonly #watched: Watched
  readonly #log: Log
  readonly #repair: () => void
  readonly #tableWatch: TableWatch
  readonly #timers: readonly NodeJS.Timeout[]
  readonly #listeners = new Set<(damage: string | undefined) => void>()
  #damage: string | undefined
  /** Before the kernel was read for the first time, nothing in it is known to be ours. */
  #isOn = false
  #isClosed = false
  #isRepairDue = false
  #repairTimer: NodeJS.Timeout | undefined
  /** What the programs were told last. */
  #settings: GlobalsStruct | undefined

  /** `repair` asks for a pass that reads the kernel anew. */
  constructor(watched: Watched, log: Log, repair: () => void) {
    this.#watched = watched
    this.#log = log
    this.#repair = repair
    this.#tableWatch = new TableWatch(watched.tables, {
      difference: (tables) => this.tablesDiffer(tables),
      same: () => this.#tablesAreWhole(),
      error: (error) => log.warn({ err: errorFields(error) }, 'the tables could not be compared; trying again'),
    })
    this.#timers = [
      setInterval(() => this.#checkSettings(), SETTINGS_MS),
      setInterval(() => this.#checkLinks(), LINKS_MS),
    ]
    for (const timer of this.#timers) timer.unref()
    watched.node.onDamage((loss) => this.#isDamage(loss) && this.#repairSoon())
  }

  /** Called with what was changed, in words, and with undefined when all is as it should be again. */
  onDamage(callback: (damage: string | undefined) => void): void {
    this.#listeners.add(callback)
  }

  /** What happened before is looked for by the reading that begins now. */
  repairBegins(): void {
    this.#isRepairDue = false
  }

  /** The kernel was read: what happens from now on is looked for by another reading. */
  begin(): void {
    this.#isOn = true
  }

  /** What the reading has found, by table: how many entries. */
  found(differences: ReadonlyMap<string, number>): void {
    for (const [table, entries] of differences) {
      this.#log.warn({ table, entries }, `${entries} entries of ${table} were changed by others: they are repaired`)
    }
    if (differences.size > 0) this.#tell(damageText([...differences.keys()]))
  }

  /** From now on these are the programs' settings. */
  expect(settings: GlobalsStruct): void {
    this.#settings = settings
  }

  tablesDiffer(tables: readonly string[]): void {
    if (this.#isClosed || !this.#isOn) return
    this.#isRepairDue = true
    this.#tell(damageText(tables))
    this.#repairSoon()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true
    for (const timer of this.#timers) clearInterval(timer)
    clearTimeout(this.#repairTimer)
    await this.#tableWatch[Symbol.asyncDispose]()
  }

  /** Unless what was damaged waits for its repair still. */
  #tablesAreWhole(): void {
    if (!this.#isRepairDue) this.#tell(undefined)
  }

  #tell(damage: string | undefined): void {
    if (damage === this.#damage) return
    this.#damage = damage
    for (const callback of this.#listeners) callback(damage)
  }

  /** What this daemon itself has removed is no damage. */
  #isDamage(loss: Loss): boolean {
    switch (loss.kind) {
      case 'device':
      case 'events':
        return true
      case 'route':
        return this.#watched.hostRoutes.has(loss.route)
      case 'neighbour':
        return this.#watched.neighbours.has(loss.address)
      default:
        return loss satisfies never
    }
  }

  /** The epoch goes on, and the daemon's sign of life. */
  #checkSettings(): void {
    if (this.#settings === undefined) return
    const { globals } = this.#watched.maps
    const { epoch, daemonSeenNs } = readGlobals(globals)
    const wanted = { ...this.#settings, epoch, daemonSeenNs }
    const found = globals.map.lookup(encode(u32Codec, 0))
    if (found !== undefined && Buffer.compare(found, encode(globalsCodec, wanted)) === 0) return
    this.#log.warn({}, 'the settings of the programs were changed by others: they are repaired')
    globals.set(0, wanted)
    this.tablesDiffer(['globals'])
  }

  /** Nothing tells of a link that was detached, nor of a pin that was removed; word of a device may be lost. */
  #checkLinks(): void {
    const { programs, links, node } = this.#watched
    if (!programs.arePinned()) this.#repairSoon()
    // While pods come, the kernel's network lock is in demand.
    if (links.provisional > 0) return
    if (!node.hasAgentDevice() || links.findLost(LINKS_SLICE_MS).length > 0) this.#repairSoon()
  }

  /** A pass that runs meanwhile may have looked already, so none takes this one's place. */
  #repairSoon(): void {
    if (this.#isClosed || !this.#isOn) return
    this.#repairTimer ??= setTimeout(() => {
      this.#repairTimer = undefined
      this.#repair()
    }, DAMAGE_MS)
  }
}

function damageText(tables: readonly string[]): string {
  return `others have changed the datapath's tables (${[...tables].sort().join(', ')}), which is repaired`
}
