/**
 * Attaches the programs: one bpf_link for each vif, pinned as `<pins>/links/<program>-<vif id>`, so that it stays when the daemon
 * dies. A link that is there is kept, and gets the new program, if there is one, by BPF_LINK_UPDATE: no packet misses either. A link
 * whose device is gone, or that was detached by others, is replaced.
 */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { linkCreateTcx, linkInfo, linkUpdate, objGet, TcxAttach } from '@kube-vrouter/linux/bpf/syscall'
import { isErrno } from '@kube-vrouter/linux/errors'
import { close } from '@kube-vrouter/linux/ffi'
import { reasonOf, VrouterError } from '../errors.ts'
import type { Log } from '../log.ts'
import type { VifType } from '../model/tables.ts'
import { type Pins, pinAt, unpin } from './pins.ts'
import type { ProgramName, Programs } from './programs.ts'

export interface Attachment {
  readonly program: ProgramName
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

export type AttachResult = 'kept' | 'updated' | 'attached' | 'replaced'

export class Links implements Disposable {
  readonly #pins: Pins
  readonly #programs: Programs
  readonly #log: Log
  /** Descriptors of the pinned links, by name. */
  readonly #open = new Map<string, number>()

  constructor(pins: Pins, programs: Programs, log: Log) {
    this.#pins = pins
    this.#programs = programs
    this.#log = log
    for (const name of readdirSync(pins.links)) {
      try {
        this.#open.set(name, objGet(join(pins.links, name)))
      } catch (error) {
        log.warn({ err: error }, `cannot open the pinned link ${name}: it is attached anew`)
        unpin(join(pins.links, name))
      }
    }
  }

  /** Names of the links that exist, wanted or not. */
  get names(): readonly string[] {
    return [...this.#open.keys()]
  }

  /** ifindex of the device that a link sits on; 0 or undefined: it is gone. */
  ifindexOf(name: string): number | undefined {
    const fd = this.#open.get(name)
    return fd === undefined ? undefined : linkInfo(fd).ifindex
  }

  /** What is wrong with a link, in words; undefined: the program in service runs on that device. */
  faultOf({ program, device, ifindex, vif }: Attachment): string | undefined {
    const fd = this.#open.get(linkName({ program, vif }))
    const link = fd === undefined ? undefined : linkInfo(fd)
    if (!link?.ifindex) return `program ${program} is not attached to ${device}`
    if (link.ifindex !== ifindex) return `program ${program} is attached to another device than ${device}`
    if (link.attach !== attachTypeOf(program)) return `program ${program} is attached to the wrong side of ${device}`
    if (link.programId !== this.#programs.id(program)) return `another program than ${program} runs on ${device}`
    return undefined
  }

  /** Links that sit on no device any more: it is gone, or somebody has detached them. One system call each. */
  lost(): string[] {
    return [...this.#open].filter(([, fd]) => linkInfo(fd).ifindex === 0).map(([name]) => name)
  }

  /** Makes sure that the program runs on the device. Throws ATTACH_FAILED. */
  attach(attachment: Attachment): AttachResult {
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
    } catch (error) {
      const { program, device } = attachment
      throw VrouterError.of('ATTACH_FAILED', { program, device, reason: reasonOf(error) }, { cause: error })
    }
    return fd === undefined ? 'attached' : 'replaced'
  }

  /** Takes the program off its device. A link that isn't there is fine. */
  detach(name: string): void {
    const fd = this.#open.get(name)
    unpin(join(this.#pins.links, name))
    if (fd !== undefined) close(fd)
    this.#open.delete(name)
  }

  [Symbol.dispose](): void {
    for (const fd of this.#open.values()) close(fd)
    this.#open.clear()
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
      pinAt(fd, join(this.#pins.links, name))
    } catch (error) {
      close(fd)
      throw error
    }
    this.#open.set(name, fd)
  }

  #repairPin(name: string, fd: number): void {
    const path = join(this.#pins.links, name)
    let pinned: number | undefined
    try {
      pinned = objGet(path)
      if (linkInfo(pinned).id === linkInfo(fd).id) return
    } catch (error) {
      if (!isErrno(error, 'ENOENT')) throw error
    } finally {
      if (pinned !== undefined) close(pinned)
    }
    pinAt(fd, path)
    this.#log.warn(`link ${name} was unpinned by others: it is pinned again`)
  }
}
