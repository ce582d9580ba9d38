/** Puts the programs on the devices of the desired vifs, takes them off others, and keeps the taps' host side as it must be. */
import type { LinkInfo, RouteSocket } from '@kube-vrouter/linux/netlink/route'
import { reasonOf } from '../errors.ts'
import type { Pace } from '../ground/pace.ts'
import type { Log } from '../log.ts'
import type { Vif } from '../model/tables.ts'
import { type Attachment, type AttachResult, isExitLink, type Links, linkName, programOf } from './links.ts'
import type { TableFailure } from './table-failure.ts'
import { configureNewTap, configureTap, hasDevice, retireTap } from './tap-device.ts'

/** What this needs of `Links`. */
export type LinksUsed = Pick<Links, 'names' | 'attach' | 'attachQuickly' | 'detach' | 'ifindexOf'>

export class Attachments {
  readonly #route: RouteSocket
  readonly #links: LinksUsed
  readonly #log: Log
  /** Where each link was put, and the device's settings made, by the link's name. */
  readonly #done = new Map<string, Attachment>()
  /** Names of links that were put on before and are to be looked at again, those that have waited longest first. */
  readonly #unchecked = new Set<string>()
  #failures: readonly TableFailure[] = []

  /** Whether new pods get their program by a filter first. */
  readonly #areQuick: boolean

  readonly #now: () => number

  /** `now`: milliseconds of a clock that never goes back. */
  constructor(route: RouteSocket, links: LinksUsed, log: Log, areQuick: boolean, now = () => performance.now()) {
    this.#areQuick = areQuick
    this.#now = now
    this.#route = route
    this.#links = links
    this.#log = log
  }

  get failures(): readonly TableFailure[] {
    return this.#failures
  }

  /** How many links are still to be looked at. */
  get unchecked(): number {
    return this.#unchecked.size
  }

  /** Somebody may have touched them: from now on passes look at all again. */
  checkAll(): void {
    for (const name of this.#done.keys()) this.#unchecked.add(name)
  }

  /**
   * Puts programs on the desired vifs that have none, and then looks at others that are to be checked, for `checkMs` at most: each look waits for the
   * kernel's network lock, which on a busy node takes a good part of a second, and a new pod shall not wait for a hundred of them. That a device doesn't
   * exist (any more) is an expected failure: the watch tells when devices come and go. Returns how many were changed.
   */
  async attach(vifs: readonly Vif[], pace: Pace, { isFirst = false, checkMs = 0 } = {}): Promise<number> {
    const failures: TableFailure[] = []
    const missing = vifs.filter((vif) => this.#done.get(nameOf(vif))?.ifindex !== vif.ifindex).map(attachmentOf)
    // One dump is cheaper than many questions.
    const links = missing.length > 8 ? new Map(this.#route.links().map((link) => [link.index, link])) : undefined
    let changed = 0
    for (const attachment of missing) {
      this.#unchecked.delete(linkName(attachment))
      if (this.#put(attachment, { isNew: !isFirst, links, failures })) changed++
      if (pace.isDue) await pace.rest()
    }
    const until = this.#now() + checkMs
    const byName = new Map(this.#unchecked.size > 0 ? vifs.map((vif) => [nameOf(vif), vif]) : [])
    for (const name of this.#unchecked) {
      if (this.#now() >= until) break
      this.#unchecked.delete(name)
      const vif = byName.get(name)
      if (vif === undefined) continue
      if (this.#put(attachmentOf(vif), { isNew: false, failures })) changed++
      if (pace.isDue) await pace.rest()
    }
    this.#failures = failures
    return changed
  }

  /** Tells whether anything was changed. What can't be done is a failure. */
  #put(
    attachment: Attachment,
    how: {
      readonly isNew: boolean
      readonly links?: ReadonlyMap<number, LinkInfo> | undefined
      readonly failures: TableFailure[]
    },
  ): boolean {
    const name = linkName(attachment)
    const isNewPod = how.isNew && attachment.program === 'tap'
    try {
      const result = isNewPod && this.#areQuick ? this.#links.attachQuickly(attachment) : this.#links.attach(attachment)
      this.#report(attachment, result)
      if (attachment.program === 'tap') this.#configure(attachment, how.links, isNewPod)
      this.#done.set(name, attachment)
      return result !== 'kept'
    } catch (error) {
      this.#done.delete(name)
      // Word that a pod was deleted, or that vhost0 or pkt0 must be made anew, is on its way.
      const isExpected = this.#route.link(attachment.ifindex)?.name !== attachment.device
      how.failures.push({
        subject: { kind: 'vif', id: attachment.vif },
        object: `vif ${attachment.vif} (${attachment.device})`,
        error: toError(error),
        isExpected,
      })
      return false
    }
  }

  /** Takes the programs off devices that are no vifs any more; a tap goes down before it loses its program. Returns how many. */
  async sweep(vifs: readonly Vif[], pace: Pace): Promise<number> {
    const keep = new Set(vifs.map(nameOf))
    const stale = this.#links.names.filter((name) => !keep.has(name) && !isExitLink(name))
    for (const name of stale) {
      try {
        if (name.startsWith('tap-')) this.#retire(name)
        this.#links.detach(name)
      } catch (error) {
        this.#log.warn({ err: error }, `cannot detach ${name}: ${reasonOf(error)}`)
      }
      this.#done.delete(name)
      this.#unchecked.delete(name)
      if (pace.isDue) await pace.rest()
    }
    return stale.length
  }

  /** Most taps are gone already: DEL removes them before it tells the daemon. */
  #retire(name: string): void {
    const known = this.#done.get(name)
    if (known !== undefined && !hasDevice(known.device)) return
    const ifindex = known?.ifindex ?? this.#links.ifindexOf(name)
    if (ifindex) retireTap(this.#route, ifindex)
  }

  #configure({ ifindex, device }: Attachment, links: ReadonlyMap<number, LinkInfo> | undefined, isNew: boolean): void {
    const link = links ? links.get(ifindex) : this.#route.link(ifindex)
    if (link?.name !== device) throw new Error(`the device with ifindex ${ifindex} isn't ${device}`)
    if (isNew) configureNewTap(this.#route, link)
    else configureTap(this.#route, link)
  }

  #report({ program, device, vif }: Attachment, result: AttachResult): void {
    switch (result) {
      case 'kept':
        return
      case 'attached':
        this.#log.debug({ program, device, vif }, `program ${program} runs on ${device}`)
        return
      case 'updated':
        this.#log.info({ program, device, vif }, `program ${program} on ${device} was replaced`)
        return
      case 'replaced':
        this.#log.warn({ program, device, vif }, `the link of ${program} on ${device} was dead and was made anew`)
        return
      default:
        result satisfies never
    }
  }
}

/** Names of links, which are asked for in each pass. */
const names = new WeakMap<Vif, string>()

function nameOf(vif: Vif): string {
  let name = names.get(vif)
  if (name === undefined) {
    name = linkName(attachmentOf(vif))
    names.set(vif, name)
  }
  return name
}

function attachmentOf(vif: Vif): Attachment {
  return { program: programOf(vif.type), vif: vif.id, device: vif.name, ifindex: vif.ifindex }
}

function toError(error: unknown): Error {
  return Error.isError(error) ? error : new Error(reasonOf(error))
}
