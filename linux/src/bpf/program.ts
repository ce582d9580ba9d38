/** Asking about loaded programs, and running them on a packet that goes nowhere. */

import { allocate, allocateCopy } from '../ffi.ts'
import { Attr, BpfCommand, cString, infoByFd } from './command.ts'

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
