/** bpf links: a program on a hook of a device (tcx), attached as long as the link lives. */

import { allocate } from '../ffi.ts'
import { Attr, BpfCommand, infoByFd } from './command.ts'

/** Attach types of tcx programs. */
export const TcxAttach = { INGRESS: 46, EGRESS: 47 } as const

/** Where among the programs of a hook a new one goes; default: behind all. */
export interface TcxPosition {
  readonly where: 'before' | 'after'
  /** Relative to this program or link; without one: before all, behind all. */
  readonly programFd?: number
  readonly linkFd?: number
}

const BPF_F_BEFORE = 1 << 3
const BPF_F_AFTER = 1 << 4
const BPF_F_LINK = 1 << 13
const BPF_F_REPLACE = 1 << 2

export interface TcxAttachment {
  readonly programFd: number
  /** In the namespace that the calling thread is in. */
  readonly ifindex: number
  readonly attach: (typeof TcxAttach)[keyof typeof TcxAttach]
  readonly position?: TcxPosition
  /** Fails with ESTALE unless the hook's revision is this one (`queryTcx`). */
  readonly expectedRevision?: bigint
}

/** Attaches a program to a device; it stays until the returned link descriptor and every pin of it are gone. */
export function linkCreateTcx(attachment: TcxAttachment): number {
  const { position } = attachment
  const relative = position?.linkFd ?? position?.programFd
  const flags =
    (position ? (position.where === 'before' ? BPF_F_BEFORE : BPF_F_AFTER) : 0) |
    (position?.linkFd !== undefined ? BPF_F_LINK : 0)
  return new Attr()
    .u32(0, attachment.programFd)
    .u32(4, attachment.ifindex)
    .u32(8, attachment.attach)
    .u32(12, flags)
    .u32(16, relative ?? 0)
    .u64(24, attachment.expectedRevision ?? 0n)
    .call(BpfCommand.LINK_CREATE, `cannot attach the program to link ${attachment.ifindex}`)
}

/** Puts another program into the link, without a packet missing either. ENOLINK: the device is gone. */
export function linkUpdate(linkFd: number, programFd: number, expectedProgramFd?: number): void {
  new Attr()
    .u32(0, linkFd)
    .u32(4, programFd)
    .u32(8, expectedProgramFd === undefined ? 0 : BPF_F_REPLACE)
    .u32(12, expectedProgramFd ?? 0)
    .call(BpfCommand.LINK_UPDATE, 'cannot replace the program of the bpf link')
}

/** Takes the program off its hook although the link and its pins stay. */
export function linkDetach(linkFd: number): void {
  new Attr().u32(0, linkFd).call(BpfCommand.LINK_DETACH, 'cannot detach the bpf link')
}

export interface LinkInfo {
  /** BPF_LINK_TYPE_*: 11 is tcx. */
  readonly type: number
  readonly id: number
  readonly programId: number
  /** tcx only. 0: the device is gone. */
  readonly ifindex: number | undefined
  readonly attach: number | undefined
}

export const LINK_TYPE_TCX = 11

export function linkInfo(fd: number): LinkInfo {
  const { view } = infoByFd(fd, 64, 'link')
  const type = view.getUint32(0, true)
  const tcx = type === LINK_TYPE_TCX
  return {
    type,
    id: view.getUint32(4, true),
    programId: view.getUint32(8, true),
    ifindex: tcx ? view.getUint32(16, true) : undefined,
    attach: tcx ? view.getUint32(20, true) : undefined,
  }
}

export interface TcxQuery {
  /** In the order they run. `linkId` is 0 for programs attached without a link. */
  readonly programs: readonly { readonly programId: number; readonly linkId: number }[]
  /** Counts the changes of the hook. */
  readonly revision: bigint
}

const QUERY_ROOM = 64

/** The tcx programs of a device in the namespace that this thread is in. */
export function queryTcx(ifindex: number, attach: (typeof TcxAttach)[keyof typeof TcxAttach]): TcxQuery {
  const programIds = allocate(4 * QUERY_ROOM)
  const linkIds = allocate(4 * QUERY_ROOM)
  const attr = new Attr()
    .u32(0, ifindex)
    .u32(4, attach)
    .pointer(16, programIds)
    .u32(24, QUERY_ROOM)
    .pointer(40, linkIds)
  attr.call(BpfCommand.PROG_QUERY, `cannot list the programs of link ${ifindex}`)
  const programs = Array.from({ length: attr.get(24) }, (_, i) => ({
    programId: programIds.view.getUint32(4 * i, true),
    linkId: linkIds.view.getUint32(4 * i, true),
  }))
  return { programs, revision: attr.getU64(56) }
}
