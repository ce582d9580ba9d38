/**
 * The pods' attachments of this node, from ADD to DEL. One Port per (container id, interface name), never per pod name: a pod's old and
 * new sandbox may live side by side for a while.
 *
 *   allocate   addresses and names are chosen and recorded on disk, then answered; repeated, it answers the same
 *   register   the tap is there: the model gets it, and the answer waits until the datapath is programmed
 *   release    the record goes, the addresses become free (after a quarantine)
 *
 * Records outlive the daemon. A record whose tap and namespace are gone (the node was rebooted, a DEL never came) is removed after a while.
 */

import type { Port } from '../model/facts.ts'
import type { Pod } from '../model/objects.ts'
import type {
  AllocateReply,
  AllocateRequest,
  GetReply,
  GetRequest,
  ListReply,
  ListRequest,
  RegisterReply,
  RegisterRequest,
  ReleaseRequest,
} from '../port-api/messages.ts'
import { Addresses } from './addresses.ts'
import { Choice } from './choice.ts'
import { Deletes } from './deletes.ts'
import { PortError } from './errors.ts'
import { DEFAULTS, type PortsOptions, type Settings } from './options.ts'
import { PodReports } from './pod-reports.ts'
import { keyOf, PortTable } from './port-table.ts'
import { untilProgrammed } from './programmed.ts'
import type { PortRecord } from './records.ts'
import { replyOf } from './reply.ts'
import { restoreCorrupt, restoreLost } from './restore.ts'
import { Serial } from './serial.ts'
import { Taps } from './taps.ts'
import { Upkeep } from './upkeep.ts'

/** What waits longer than this, waits for something else than the daemon's thread. */
const FRESH_MS = 1_000

export class Ports implements AsyncDisposable {
  readonly #options: Settings
  readonly #table: PortTable
  readonly #deletes: Deletes
  readonly #taps: Taps
  readonly #reports: PodReports
  readonly #choice: Choice
  readonly #upkeep: Upkeep
  readonly #serial = new Serial()
  /** Ends the waiting of a register when its port is released. */
  readonly #registering = new Map<string, AbortController>()
  /** Requests for a pod that are being worked on, and when the last one came. */
  #serving = 0
  #askedAt = Number.NEGATIVE_INFINITY

  constructor(options: PortsOptions) {
    const settings = { ...DEFAULTS, ...options }
    this.#options = settings
    const table = new PortTable(settings)
    this.#table = table
    const deletes = new Deletes(settings.state)
    this.#deletes = deletes
    const addresses = new Addresses({ ...settings, holders: (isFixed) => table.holders(isFixed) })
    const taps = new Taps(settings, table)
    this.#taps = taps
    const reports = new PodReports(settings, table)
    this.#reports = reports
    this.#choice = new Choice(settings, table, addresses, reports)
    this.#upkeep = new Upkeep(settings, { table, deletes, addresses, taps, reports, serial: this.#serial })
  }

  /**
   * Reads the records, restores what it can of corrupt ones, replays queued deletions and removes garbage. Call it when the source is in sync and
   * before the first tables are computed. `maintain` once more after the socket listens: a DEL may have queued in between.
   */
  async start(): Promise<void> {
    const { records, corrupt } = await this.#table.records.load()
    for (const record of records) this.#table.set(record)
    for (const entry of corrupt) await restoreCorrupt(entry, this.#options, this.#table)
    await restoreLost(this.#options, this.#table)
    this.refresh()
    await this.maintain()
    this.#options.log.info({ ports: this.#table.size, corrupt: corrupt.length }, 'read the port records')
    this.#upkeep.start()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#upkeep[Symbol.dispose]()
    this.#table[Symbol.dispose]()
    for (const waiting of this.#registering.values()) waiting.abort(PortError.of('NOT_READY', 'the daemon is stopping'))
  }

  /** The ports, by creation. Those without an ifindex have no tap (yet). */
  all(): Port[] {
    return this.#table.all().map(({ port }) => port)
  }

  /** Pods of this node that were here before us: somebody else gave them their addresses. */
  unmanaged(): Pod[] {
    return this.#reports.unmanaged()
  }

  /** A runtime has just asked for something, and is waiting for it. */
  get isServing(): boolean {
    return this.#serving > 0 && performance.now() - this.#askedAt < FRESH_MS
  }

  async #served<T>(work: () => Promise<T>): Promise<T> {
    this.#serving++
    this.#askedAt = performance.now()
    try {
      return await work()
    } finally {
      this.#serving--
    }
  }

  // ---- the port API ---------------------------------------------------------------------------------------------------------

  allocate(request: AllocateRequest): Promise<AllocateReply> {
    return this.#served(() => this.#reports.onFailure(request.pod, () => this.#allocate(request)))
  }

  #allocate(request: AllocateRequest): Promise<AllocateReply> {
    const key = keyOf(request)
    return this.#serial.run(key, async () => {
      // A deletion that nobody has replayed yet is about the former life of this attachment.
      if (await this.#deletes.remove(key)) await this.#upkeep.forget(key)
      const existing = this.#table.get(key)
      if (existing) return this.#allocateAgain(existing, request)
      this.#checkReady()
      const { maxPorts } = this.#options
      if (this.#table.size >= maxPorts)
        throw PortError.of('PORT_LIMIT', `this node has ${this.#table.size} interfaces, the most that it may have`)
      // Of two interfaces of one pod only the first has default routes: one is chosen after the other.
      const record = await this.#serial.run(`of ${request.containerId}`, () => this.#choice.run(request))
      try {
        await this.#table.records.write(record)
      } catch (error) {
        this.#table.drop(key)
        throw error
      }
      // A network that is new here is prepared while the tap is made; for any other one register is soon enough.
      if (this.#table.isFirstOfNetwork(record)) this.#options.onPortsChanged()
      return this.#reply(record, false)
    })
  }

  register(request: RegisterRequest): Promise<RegisterReply> {
    const port = this.#table.get(keyOf(request))?.port
    const pod = port && { namespace: port.namespace, ...port.pod }
    return this.#served(() => this.#reports.onFailure(pod, () => this.#register(request)))
  }

  async #register(request: RegisterRequest): Promise<RegisterReply> {
    const key = keyOf(request)
    const controller = new AbortController()
    const registered = await this.#serial.run(key, async () => {
      const record = this.#table.get(key)
      if (!record)
        throw PortError.of('NOT_ALLOCATED', `nothing is allocated for ${request.containerId} ${request.ifname}`)
      const changed: PortRecord = {
        ...record,
        registered: true,
        netns: request.netns ?? record.netns,
        port: { ...record.port, ifindex: request.ifindex },
      }
      this.#table.records.update(changed)
      this.#table.set(changed)
      this.#taps.clear(key)
      this.#registering.get(key)?.abort(PortError.of('RELEASED', 'the interface was registered again'))
      this.#registering.set(key, controller)
      return changed
    })
    this.#options.onPortsChanged()
    try {
      // The disk has worked on what was allocated all the time. The index of the tap a restarted daemon finds by the tap's name.
      const [programmed] = await Promise.all([
        untilProgrammed(this.#options, registered.port.uuid, controller.signal),
        this.#table.records.onDisk(registered),
      ])
      return { ok: true, ...programmed }
    } finally {
      if (this.#registering.get(key) === controller) this.#registering.delete(key)
    }
  }

  /** As register, for who makes taps under names of its own and doesn't wait for the datapath. The tap may come later. */
  async announce(request: {
    readonly containerId: string
    readonly ifname: string
    readonly tap: string
    readonly netns: string
  }): Promise<void> {
    const key = keyOf(request)
    await this.#serial.run(key, async () => {
      const record = this.#table.get(key)
      if (!record)
        throw PortError.of('NOT_ALLOCATED', `nothing is allocated for ${request.containerId} ${request.ifname}`)
      const { ifindex: _, ...port } = record.port
      const ifindex = this.#options.linkIndex(request.tap)
      const announced: PortRecord = {
        ...record,
        registered: true,
        netns: request.netns || record.netns,
        port: { ...port, tap: request.tap, ...(ifindex !== undefined && { ifindex }) },
      }
      // The tap's name can't be found out by a restarted daemon.
      await this.#table.records.writeDurably(announced)
      this.#table.set(announced)
    })
    this.#options.onPortsChanged()
  }

  release(request: ReleaseRequest): Promise<void> {
    const key = keyOf(request)
    return this.#serial.run(key, async () => {
      this.#registering
        .get(key)
        ?.abort(PortError.of('RELEASED', `${request.containerId} ${request.ifname} was deleted`))
      await this.#upkeep.forget(key)
      await this.#deletes.remove(key)
    })
  }

  /** What should be there of a complete attachment; throws NOT_ATTACHED for another one. */
  async get(request: GetRequest): Promise<GetReply> {
    const record = this.#table.get(keyOf(request))
    const which = `${request.containerId} ${request.ifname}`
    if (!record) throw PortError.of('NOT_ATTACHED', `the daemon knows no attachment ${which}`)
    if (!record.registered) throw PortError.of('NOT_ATTACHED', `attachment ${which} was never completed`)
    if (record.port.ifindex === undefined)
      throw PortError.of('NOT_ATTACHED', `device ${record.port.tap} of attachment ${which} is gone`)
    await untilProgrammed(this.#options, record.port.uuid, new AbortController().signal)
    const findings = (await this.#options.verify?.(record.port.uuid)) ?? { verified: [], mismatches: [] }
    return { ...this.#reply(record, true), ...findings }
  }

  async list(request: ListRequest): Promise<ListReply> {
    const attachments = this.#table
      .all()
      .filter(({ network }) => network === request.network)
      .map(({ port: { containerId, ifname } }) => ({ containerId, ifname }))
    return { ok: true, attachments }
  }

  async status(): Promise<void> {
    this.#checkReady()
  }

  /** Looks which taps are there; call it when devices have come or gone. Tells whether anything changed. */
  refresh(): boolean {
    const changed = this.#taps.refresh()
    if (changed) this.#options.onPortsChanged()
    return changed
  }

  /** Replays queued deletions, removes ports that nobody will ever delete, and gives idle blocks back. */
  maintain(): Promise<void> {
    return this.#upkeep.maintain()
  }

  #checkReady(): void {
    const readiness = this.#options.readiness()
    if (!readiness.ready)
      throw PortError.of(readiness.podsAffected ? 'DATAPATH_BROKEN' : 'NOT_READY', readiness.message)
  }

  async #allocateAgain(existing: PortRecord, request: AllocateRequest): Promise<AllocateReply> {
    // One that is complete isn't touched: ADD is going to be refused, or it says at register where the pod is now.
    if (existing.netns !== request.netns && !existing.registered) {
      const moved = { ...existing, netns: request.netns }
      await this.#table.records.writeDurably(moved)
      this.#table.set(moved)
      return this.#reply(moved, true)
    }
    return this.#reply(existing, true)
  }

  #reply(record: PortRecord, existed: boolean): AllocateReply {
    return replyOf(record, this.#options.cluster.domain, existed)
  }
}
