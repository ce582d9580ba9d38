/**
 * Attaches the programs: one bpf_link for each vif, pinned as `<pins>/links/<program>-<vif id>`, so that it stays when the daemon
 * dies. A link that is there is kept, and gets the new program, if there is one, by BPF_LINK_UPDATE: no packet misses either. A link
 * whose device is gone, or that was detached by others, is replaced.
 *
 * Making a link takes an RCU grace period, 7 to 15 ms. A new pod doesn't wait for it: its tap gets the program as a traffic control filter at once, and the
 * link when there is nothing else to do (decision 6). The link's verdict comes first, so while both are there each packet meets the
 * program once.
 */
import { readdirSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { linkCreateTcx, linkInfo, linkUpdate, objGet, TcxAttach } from '@kube-vrouter/linux/bpf/syscall'
import { isErrno } from '@kube-vrouter/linux/errors'
import { close } from '@kube-vrouter/linux/ffi'
import type { RouteSocket } from '@kube-vrouter/linux/netlink/route'
import {
  delIngressFilter,
  delIngressQdisc,
  getIngressFilter,
  newIngressFilter,
  newIngressQdisc,
} from '@kube-vrouter/linux/netlink/traffic-control'
import { reasonOf, VrouterError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { VifType } from '../model/tables.ts'
import { type Pins, pinAt, unpin } from './pins.ts'
import { PROGRAMS, type ProgramName, type Programs } from './programs.ts'

export interface Attachment {
  readonly program: ProgramName
  /** Of `outside`, whose devices are no vifs: the ifindex. */
  readonly vif: number
  readonly device: string
  readonly ifindex: number
}

export function programOf(type: VifType): ProgramName {
  switch (type) {
    case 'physical':
      return 'fabric'
    case 'host':
      return 'vhost'
    case 'agent':
      return 'agent'
    case 'virtual':
      return 'tap'
    default:
      return type satisfies never
  }
}

/** What the host sends on vhost0 is met on its way out; everything else on its way in. */
function attachTypeOf(program: ProgramName): (typeof TcxAttach)[keyof typeof TcxAttach] {
  return program === 'vhost' ? TcxAttach.EGRESS : TcxAttach.INGRESS
}

export function linkName({ program, vif }: Pick<Attachment, 'program' | 'vif'>): string {
  return `${program}-${vif}`
}

/** The link is that of a way out of the node (exits.ts), and of no vif. */
export function isExitLink(name: string): boolean {
  return name.startsWith('outside-')
}

/** Nobody else's filter has this priority. */
const FILTER_PRIORITY = 0x7652

export type AttachResult = 'kept' | 'updated' | 'attached' | 'replaced'

export class Links implements Disposable {
  readonly #pins: Pins
  readonly #programs: Programs
  readonly #log: Log
  /** Descriptors of the pinned links, by name. */
  readonly #open = new Map<string, number>()
  /** Where `findLost` goes on, and what it has told. */
  #round = this.#open.entries()
  readonly #lost = new Set<string>()
  /** Inode of each link's pin: another one there is somebody else's. */
  readonly #pinned = new Map<string, number>()
  /** Taps that have the program as a filter still, by the link's name. */
  readonly #provisional = new Map<string, Attachment>()
  readonly #route: RouteSocket
  /** The kernel may lack cls_bpf. */
  #hasFilters = true

  constructor(pins: Pins, programs: Programs, route: RouteSocket, log: Log) {
    this.#route = route
    this.#pins = pins
    this.#programs = programs
    this.#log = log
    for (const name of readdirSync(pins.links)) {
      try {
        this.#open.set(name, objGet(join(pins.links, name)))
        this.#pinned.set(name, statSync(join(pins.links, name)).ino)
      } catch (error) {
        log.warn({ err: error }, `cannot open the pinned link ${name}: it is attached anew`)
        unpin(join(pins.links, name))
      }
    }
  }

  /** Names of the links that exist, wanted or not. */
  get names(): readonly string[] {
    return [...this.#open.keys(), ...this.#provisional.keys()]
  }

  /** How many taps wait for their link. */
  get provisional(): number {
    return this.#provisional.size
  }

  /** ifindex of the device that a link sits on; 0 or undefined: it is gone. */
  ifindexOf(name: string): number | undefined {
    const fd = this.#open.get(name)
    return fd === undefined ? this.#provisional.get(name)?.ifindex : linkInfo(fd).ifindex
  }

  /** What is wrong with a link, in words; undefined: the program in service runs on that device. */
  faultOf(attachment: Attachment): string | undefined {
    const { program, device, ifindex } = attachment
    const fd = this.#open.get(linkName(attachment))
    if (this.#waitsForLink(attachment)) return undefined
    const link = fd === undefined ? undefined : linkInfo(fd)
    if (!link?.ifindex) return `program ${program} is not attached to ${device}`
    if (link.ifindex !== ifindex) return `program ${program} is attached to another device than ${device}`
    if (link.attach !== attachTypeOf(program)) return `program ${program} is attached to the wrong side of ${device}`
    if (link.programId !== this.#programs.id(program)) return `another program than ${program} runs on ${device}`
    return undefined
  }

  /**
   * Looks at links for `ms` at most, going on where the last call ended. Each look waits for the kernel's network lock. Tells of those that sit on no device
   * any more, because it is gone or somebody has detached them: once, until they were seen on one again.
   */
  findLost(ms: number): string[] {
    const until = performance.now() + ms
    const found: string[] = []
    for (let looks = this.#open.size; looks > 0 && performance.now() < until; looks--) {
      let next = this.#round.next()
      if (next.done) {
        this.#round = this.#open.entries()
        next = this.#round.next()
      }
      if (next.done) break
      const [name, fd] = next.value
      if (linkInfo(fd).ifindex !== 0) this.#lost.delete(name)
      else if (!this.#lost.has(name)) {
        this.#lost.add(name)
        found.push(name)
      }
    }
    return found
  }

  /** As `attach`, for the tap of a new pod: by a filter, until `promote`. A device that has filters of others gets its link at once. */
  attachQuickly(attachment: Attachment): AttachResult {
    const name = linkName(attachment)
    if (this.#open.has(name)) return this.attach(attachment)
    const { program, ifindex } = attachment
    if (this.#provisional.get(name)?.ifindex === ifindex) return 'kept'
    if (!this.#hasFilters) return this.attach(attachment)
    try {
      this.#route.socket.request(newIngressQdisc(ifindex))
    } catch (error) {
      this.#log.debug({ err: error }, `no filter for ${attachment.device}: ${reasonOf(error)}`)
      return this.attach(attachment)
    }
    try {
      const filter = { index: ifindex, priority: FILTER_PRIORITY }
      this.#route.socket.request(newIngressFilter(filter, this.#programs.fd(program), program))
    } catch (error) {
      this.#hasFilters = false
      this.#log.info({ err: error }, `this kernel takes no BPF filters: ADD takes some milliseconds more`)
      this.#route.batch([delIngressQdisc(ifindex)])
      return this.attach(attachment)
    }
    this.#provisional.set(name, attachment)
    return 'attached'
  }

  /** Gives one provisional tap its link. Tells whether there was one. A device that is gone meanwhile is somebody else's news. */
  promote(): boolean {
    for (const [name, attachment] of this.#provisional) {
      try {
        this.#link(attachment)
      } catch (error) {
        this.#provisional.delete(name)
        this.#log.debug({ err: error }, `no link for ${attachment.device}: ${reasonOf(error)}`)
      }
      return true
    }
    return false
  }

  /** Makes sure that the program runs on the device; a filter that waits for its link will do. Throws ATTACH_FAILED. */
  attach(attachment: Attachment): AttachResult {
    return this.#waitsForLink(attachment) ? 'kept' : this.#link(attachment)
  }

  /** Makes sure that the program runs on the device by its link. Throws ATTACH_FAILED. */
  #link(attachment: Attachment): AttachResult {
    const name = linkName(attachment)
    const fd = this.#open.get(name)
    try {
      if (fd !== undefined) {
        const kept = this.#keep(fd, attachment)
        if (kept) {
          this.#repairPin(name, fd)
          return kept
        }
        this.detach(name)
      }
      this.#create(name, attachment)
      this.#removeFilter(name, attachment)
    } catch (error) {
      const { program, device } = attachment
      throw VrouterError.of('ATTACH_FAILED', { program, device, reason: reasonOf(error) }, { cause: error })
    }
    return fd === undefined ? 'attached' : 'replaced'
  }

  /** Puts the programs in service into the links of those that `isMeant`, one right after the other. What fails is `attach`'s to repair. */
  changeOver(isMeant: (program: ProgramName) => boolean): void {
    for (const [name, fd] of this.#open) {
      const program = PROGRAMS.find((one) => name.startsWith(`${one}-`))
      if (program === undefined || !isMeant(program)) continue
      try {
        linkUpdate(fd, this.#programs.fd(program))
      } catch (error) {
        this.#log.debug({ err: error }, `link ${name} keeps its program: ${reasonOf(error)}`)
      }
    }
  }

  /** Takes the program off its device. A link that isn't there is fine. */
  detach(name: string): void {
    const fd = this.#open.get(name)
    unpin(join(this.#pins.links, name))
    if (fd !== undefined) close(fd)
    this.#open.delete(name)
    this.#pinned.delete(name)
    this.#lost.delete(name)
    const provisional = this.#provisional.get(name)
    if (provisional) this.#removeFilter(name, provisional)
  }

  [Symbol.dispose](): void {
    for (const fd of this.#open.values()) close(fd)
    this.#open.clear()
  }

  /** Its program runs as a filter still. */
  #waitsForLink(attachment: Attachment): boolean {
    const { ifindex } = attachment
    if (this.#provisional.get(linkName(attachment))?.ifindex !== ifindex) return false
    const [result] = this.#route.batch([getIngressFilter({ index: ifindex, priority: FILTER_PRIORITY })])
    return result?.ok === true
  }

  /**
   * A tap's filter is of no use any more; one that isn't there is fine. It may be of a daemon that was killed before it made the link. The qdisc stays,
   * empty: to remove it the kernel would stop the tap for some milliseconds, and lose what is sent to the pod then.
   */
  #removeFilter(name: string, { program, ifindex }: Attachment): void {
    if (program !== 'tap') return
    this.#provisional.delete(name)
    const [result] = this.#route.batch([delIngressFilter({ index: ifindex, priority: FILTER_PRIORITY })])
    if (result?.ok !== false || isErrno(result.error, 'EINVAL', 'ENOENT', 'ENODEV')) return
    this.#log.warn({ err: result.error }, `cannot remove the filter of ifindex ${ifindex}: ${reasonOf(result.error)}`)
  }

  /** Undefined: the link is dead, or sits on another device. */
  #keep(fd: number, { program, ifindex }: Attachment): AttachResult | undefined {
    const link = linkInfo(fd)
    if (link.ifindex !== ifindex || link.attach !== attachTypeOf(program)) return undefined
    if (link.programId === this.#programs.id(program)) return 'kept'
    try {
      linkUpdate(fd, this.#programs.fd(program))
      return 'updated'
    } catch (error) {
      if (isErrno(error, 'ENOLINK')) return undefined
      throw error
    }
  }

  #create(name: string, { program, ifindex }: Attachment): void {
    const fd = linkCreateTcx({ programFd: this.#programs.fd(program), ifindex, attach: attachTypeOf(program) })
    try {
      this.#pin(name, fd)
    } catch (error) {
      close(fd)
      throw error
    }
    this.#open.set(name, fd)
  }

  #pin(name: string, fd: number): void {
    const path = join(this.#pins.links, name)
    pinAt(fd, path)
    this.#pinned.set(name, statSync(path).ino)
  }

  #repairPin(name: string, fd: number): void {
    const inode = statSync(join(this.#pins.links, name), { throwIfNoEntry: false })?.ino
    if (inode !== undefined && inode === this.#pinned.get(name)) return
    this.#pin(name, fd)
    this.#log.warn(`link ${name} was unpinned by others: it is pinned again`)
  }
}
