/**
 * bpf(2): one function per command, numbers and bytes in, numbers and bytes out. Attribute blocks follow union bpf_attr of linux/bpf.h
 * (the kernel reads blocks shorter than its own as zero-filled). Descriptors returned are the caller's to close; all are close-on-exec.
 *
 * Per-element map access on hot paths is in `map.ts`, which keeps its attribute block between calls.
 */

import { readFileSync } from 'node:fs'
import { SystemError } from '../errors.ts'
import { allocate, allocateCopy, allocateString, bpf, type Memory } from '../ffi.ts'

export const BpfCommand = {
  MAP_CREATE: 0,
  MAP_LOOKUP_ELEM: 1,
  MAP_UPDATE_ELEM: 2,
  MAP_DELETE_ELEM: 3,
  MAP_GET_NEXT_KEY: 4,
  PROG_LOAD: 5,
  OBJ_PIN: 6,
  OBJ_GET: 7,
  PROG_TEST_RUN: 10,
  PROG_GET_NEXT_ID: 11,
  MAP_GET_NEXT_ID: 12,
  PROG_GET_FD_BY_ID: 13,
  MAP_GET_FD_BY_ID: 14,
  OBJ_GET_INFO_BY_FD: 15,
  PROG_QUERY: 16,
  MAP_LOOKUP_AND_DELETE_ELEM: 21,
  MAP_FREEZE: 22,
  MAP_LOOKUP_BATCH: 24,
  MAP_LOOKUP_AND_DELETE_BATCH: 25,
  MAP_UPDATE_BATCH: 26,
  MAP_DELETE_BATCH: 27,
  LINK_CREATE: 28,
  LINK_UPDATE: 29,
  LINK_GET_FD_BY_ID: 30,
  LINK_GET_NEXT_ID: 31,
  ENABLE_STATS: 32,
  LINK_DETACH: 34,
} as const

export const MapType = {
  HASH: 1,
  ARRAY: 2,
  PROG_ARRAY: 3,
  PERF_EVENT_ARRAY: 4,
  PERCPU_HASH: 5,
  PERCPU_ARRAY: 6,
  LRU_HASH: 9,
  LRU_PERCPU_HASH: 10,
  LPM_TRIE: 11,
  ARRAY_OF_MAPS: 12,
  HASH_OF_MAPS: 13,
  DEVMAP: 14,
  CPUMAP: 16,
  QUEUE: 22,
  STACK: 23,
  DEVMAP_HASH: 25,
  RINGBUF: 27,
} as const

/** Flags of `mapCreate`. */
export const MapFlag = { NO_PREALLOC: 1, NO_COMMON_LRU: 2, RDONLY: 8, WRONLY: 16, MMAPABLE: 0x400 } as const

/** Flags of an update. */
export const UpdateFlag = { ANY: 0, NOEXIST: 1, EXIST: 2, LOCK: 4 } as const

/** Attach types of tcx programs. */
export const TcxAttach = { INGRESS: 46, EGRESS: 47 } as const

/** Size of the attribute block handed over: up to the last field used here. */
const ATTR_SIZE = 144

class Attr {
  readonly memory: Memory = allocate(ATTR_SIZE)
  /** What the block points to: referenced here so that it outlives the call. */
  readonly pointed: Memory[] = []

  u32(offset: number, value: number): this {
    this.memory.view.setUint32(offset, value, true)
    return this
  }

  u64(offset: number, value: bigint): this {
    this.memory.view.setBigUint64(offset, value, true)
    return this
  }

  pointer(offset: number, memory: Memory): this {
    this.pointed.push(memory)
    return this.u64(offset, memory.address)
  }

  text(offset: number, value: string, size: number): this {
    this.memory.bytes.set(Buffer.from(value).subarray(0, size - 1), offset)
    return this
  }

  get(offset: number): number {
    return this.memory.view.getUint32(offset, true)
  }

  getU64(offset: number): bigint {
    return this.memory.view.getBigUint64(offset, true)
  }

  /** Returns the kernel's result; throws what it refuses. */
  call(command: number, attempted: string): number {
    const result = this.try(command)
    if (result < 0) throw new SystemError('bpf', -result, attempted)
    return result
  }

  /** Returns the kernel's result or the negated errno. */
  try(command: number): number {
    return bpf(command, this.memory, ATTR_SIZE, this)
  }
}

// ---- pins and ids -----------------------------------------------------------------------------------------------------------

/** The object pinned at `path`. */
export function objGet(path: string, flags: { readonly readOnly?: boolean } = {}): number {
  const attr = new Attr().pointer(0, allocateString(path)).u32(12, flags.readOnly ? MapFlag.RDONLY : 0)
  return attr.call(BpfCommand.OBJ_GET, `cannot open the pinned object ${path}`)
}

/** Pins a map, program or link at `path` on a bpf file system; it then outlives this process. EEXIST when the path is taken. */
export function objPin(fd: number, path: string): void {
  new Attr().pointer(0, allocateString(path)).u32(8, fd).call(BpfCommand.OBJ_PIN, `cannot pin to ${path}`)
}

export const mapFdById = (id: number): number => fdById(BpfCommand.MAP_GET_FD_BY_ID, 'map', id)
export const programFdById = (id: number): number => fdById(BpfCommand.PROG_GET_FD_BY_ID, 'program', id)
export const linkFdById = (id: number): number => fdById(BpfCommand.LINK_GET_FD_BY_ID, 'link', id)

function fdById(command: number, kind: string, id: number): number {
  return new Attr().u32(0, id).call(command, `cannot open bpf ${kind} ${id}`)
}

/** The ids of all maps, programs or links on the machine, in rising order. */
export function* ids(kind: 'map' | 'program' | 'link'): Generator<number> {
  const command = {
    map: BpfCommand.MAP_GET_NEXT_ID,
    program: BpfCommand.PROG_GET_NEXT_ID,
    link: BpfCommand.LINK_GET_NEXT_ID,
  }[kind]
  const attr = new Attr()
  for (;;) {
    const result = attr.try(command)
    if (result === -2 /* ENOENT */) return
    if (result < 0) throw new SystemError('bpf', -result, `cannot list the bpf ${kind}s`)
    yield attr.get(4)
    attr.u32(0, attr.get(4))
  }
}

// ---- maps -------------------------------------------------------------------------------------------------------------------

export interface MapSpec {
  readonly type: number
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  readonly flags?: number
  /** At most 15 bytes are kept. */
  readonly name?: string
  readonly innerMapFd?: number
}

export function mapCreate(spec: MapSpec): number {
  return new Attr()
    .u32(0, spec.type)
    .u32(4, spec.keySize)
    .u32(8, spec.valueSize)
    .u32(12, spec.maxEntries)
    .u32(16, spec.flags ?? 0)
    .u32(20, spec.innerMapFd ?? 0)
    .text(28, spec.name ?? '', 16)
    .call(BpfCommand.MAP_CREATE, `cannot create the map ${spec.name ?? ''}`)
}

/** From now on no process can change the map's contents; programs still can unless it is read-only for them. */
export function mapFreeze(fd: number): void {
  new Attr().u32(0, fd).call(BpfCommand.MAP_FREEZE, 'cannot freeze the map')
}

export interface MapInfo {
  readonly id: number
  readonly type: number
  readonly keySize: number
  readonly valueSize: number
  readonly maxEntries: number
  readonly flags: number
  readonly name: string
  readonly btfId: number
}

export function mapInfo(fd: number): MapInfo {
  const { view, bytes } = infoByFd(fd, 88, 'map')
  return {
    type: view.getUint32(0, true),
    id: view.getUint32(4, true),
    keySize: view.getUint32(8, true),
    valueSize: view.getUint32(12, true),
    maxEntries: view.getUint32(16, true),
    flags: view.getUint32(20, true),
    name: cString(bytes.subarray(24, 40)),
    btfId: view.getUint32(64, true),
  }
}

let cpus: number | undefined

/** How many values an element of a per-CPU map has: one for each possible CPU, present or not. */
export function possibleCpus(): number {
  cpus ??= countCpus(readFileSync('/sys/devices/system/cpu/possible', 'utf8'))
  return cpus
}

/** '0-3,8' -> 9: the kernel numbers per-CPU values up to the highest possible CPU. */
export function countCpus(list: string): number {
  const last = list.trim().split(/[,-]/).at(-1)
  return Number(last) + 1
}

// ---- programs ---------------------------------------------------------------------------------------------------------------

export interface ProgramInfo {
  readonly id: number
  readonly type: number
  /** Hash of the instructions, 16 hex digits. */
  readonly tag: string
  /** At most 15 bytes of the program's name. */
  readonly name: string
  /** Bytes of translated instructions (8 each). */
  readonly xlatedLength: number
  readonly jitedLength: number
  /** Nanoseconds of uptime at which it was loaded. */
  readonly loadTimeNs: bigint
  readonly mapIds: readonly number[]
  /** Filled only while statistics are on (kernel.bpf_stats_enabled). */
  readonly runTimeNs: bigint
  readonly runCount: bigint
  /** Instructions that the verifier walked: the program's complexity. */
  readonly verifiedInsns: number
  readonly btfId: number
}

export function programInfo(fd: number): ProgramInfo {
  const counts = infoByFd(fd, 232, 'program')
  const count = counts.view.getUint32(52, true)
  const maps = allocate(count * 4)
  const { view, bytes } = infoByFd(fd, 232, 'program', (info) => {
    info.view.setUint32(52, count, true)
    info.view.setBigUint64(56, count > 0 ? maps.address : 0n, true)
  })
  return {
    type: view.getUint32(0, true),
    id: view.getUint32(4, true),
    tag: Buffer.from(bytes.subarray(8, 16)).toString('hex'),
    jitedLength: view.getUint32(16, true),
    xlatedLength: view.getUint32(20, true),
    loadTimeNs: view.getBigUint64(40, true),
    mapIds: Array.from({ length: count }, (_, i) => maps.view.getUint32(4 * i, true)),
    name: cString(bytes.subarray(64, 80)),
    btfId: view.getUint32(128, true),
    runTimeNs: view.getBigUint64(192, true),
    runCount: view.getBigUint64(200, true),
    verifiedInsns: view.getUint32(216, true),
  }
}

export interface TestRun {
  /** The packet, from its Ethernet header. */
  readonly data?: Uint8Array
  /** The context, such as a struct __sk_buff (`encodeSkbContext`). */
  readonly context?: Uint8Array
  /** Default 1. With more, `durationNs` is the mean of all runs; each starts from what the one before left. */
  readonly repeat?: number
  /** Room for the packet that comes out; default: what came in plus 256 bytes. */
  readonly outputSize?: number
  readonly flags?: number
  readonly cpu?: number
}

export interface TestRunResult {
  /** What the program returned. */
  readonly retval: number
  readonly dataOut: Uint8Array
  readonly contextOut: Uint8Array
  /** Nanoseconds of one run, on the mean of `repeat`. */
  readonly durationNs: number
}

/** Runs a loaded program on a packet without sending it anywhere (BPF_PROG_TEST_RUN). Blocks for the whole time. */
export function programTestRun(fd: number, run: TestRun): TestRunResult {
  const attr = new Attr().u32(0, fd)
  const output = run.data ? allocate(run.outputSize ?? run.data.length + 256) : undefined
  const contextOut = run.context ? allocate(run.context.length) : undefined
  if (run.data && output) {
    attr.u32(8, run.data.length).pointer(16, allocateCopy(run.data))
    attr.u32(12, output.bytes.length).pointer(24, output)
    attr.u32(32, run.repeat ?? 1)
  }
  if (run.context) attr.u32(40, run.context.length).pointer(48, allocateCopy(run.context))
  // A program of type syscall writes into the context it got, and refuses a second one.
  const inPlace = run.context && !run.data
  if (contextOut && !inPlace) attr.u32(44, contextOut.bytes.length).pointer(56, contextOut)
  attr.u32(64, run.flags ?? 0).u32(68, run.cpu ?? 0)
  attr.call(BpfCommand.PROG_TEST_RUN, 'cannot run the program')
  return {
    retval: attr.get(4),
    dataOut: output ? output.bytes.slice(0, attr.get(12)) : new Uint8Array(0),
    contextOut: inPlace
      ? attr.pointed[0]!.bytes.slice()
      : contextOut
        ? contextOut.bytes.slice(0, attr.get(44))
        : new Uint8Array(0),
    durationNs: attr.get(36),
  }
}

/** The fields of struct __sk_buff that a test run may set; the kernel refuses the others. */
export interface SkbContext {
  readonly mark?: number
  readonly priority?: number
  /** skb_iif: the device it came in on first; not checked. */
  readonly ingressIfindex?: number
  /** skb->dev: must be a device of the calling thread's namespace; default: its loopback. */
  readonly ifindex?: number
  readonly cb?: readonly number[]
  readonly tstamp?: bigint
  readonly wireLen?: number
  readonly gsoSegs?: number
  readonly gsoSize?: number
}

export const SKB_CONTEXT_SIZE = 192

export function encodeSkbContext(context: SkbContext): Uint8Array {
  const bytes = new Uint8Array(SKB_CONTEXT_SIZE)
  const view = new DataView(bytes.buffer)
  view.setUint32(8, context.mark ?? 0, true)
  view.setUint32(32, context.priority ?? 0, true)
  view.setUint32(36, context.ingressIfindex ?? 0, true)
  view.setUint32(40, context.ifindex ?? 0, true)
  context.cb?.slice(0, 5).forEach((word, i) => {
    view.setUint32(48 + 4 * i, word, true)
  })
  view.setBigUint64(152, context.tstamp ?? 0n, true)
  view.setUint32(160, context.wireLen ?? 0, true)
  view.setUint32(164, context.gsoSegs ?? 0, true)
  view.setUint32(176, context.gsoSize ?? 0, true)
  return bytes
}

export function decodeSkbContext(bytes: Uint8Array): Required<SkbContext> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return {
    mark: view.getUint32(8, true),
    priority: view.getUint32(32, true),
    ingressIfindex: view.getUint32(36, true),
    ifindex: view.getUint32(40, true),
    cb: Array.from({ length: 5 }, (_, i) => view.getUint32(48 + 4 * i, true)),
    tstamp: view.getBigUint64(152, true),
    wireLen: view.getUint32(160, true),
    gsoSegs: view.getUint32(164, true),
    gsoSize: view.getUint32(176, true),
  }
}

// ---- links ------------------------------------------------------------------------------------------------------------------

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

// ---------------------------------------------------------------------------------------------------------------------------

function infoByFd(fd: number, size: number, kind: string, prepare?: (info: Memory) => void): Memory {
  const info = allocate(size)
  prepare?.(info)
  new Attr()
    .u32(0, fd)
    .u32(4, size)
    .pointer(8, info)
    .call(BpfCommand.OBJ_GET_INFO_BY_FD, `cannot read about the bpf ${kind}`)
  return info
}

function cString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0)
  return Buffer.from(bytes.subarray(0, end < 0 ? bytes.length : end)).toString('utf8')
}
