/** The commands of bpf(2) and their attribute blocks, union bpf_attr of linux/bpf.h. The kernel reads a block shorter than its own as zero-filled. */

import { SystemError } from '../errors.ts'
import { allocate, bpf, type Memory } from '../ffi.ts'

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
  BTF_GET_FD_BY_ID: 19,
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

/** Size of the attribute block handed over: up to the last field used here. */
const ATTR_SIZE = 144

/** One command: fields are set by their offset in the block. */
export class Attr {
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

/** A structure of `size` bytes that the kernel fills in about what `fd` stands for (BPF_OBJ_GET_INFO_BY_FD). */
export function infoByFd(fd: number, size: number, kind: string, prepare?: (info: Memory) => void): Memory {
  const info = allocate(size)
  prepare?.(info)
  new Attr()
    .u32(0, fd)
    .u32(4, size)
    .pointer(8, info)
    .call(BpfCommand.OBJ_GET_INFO_BY_FD, `cannot read about the bpf ${kind}`)
  return info
}

/** Bytes up to the first NUL. */
export function cString(bytes: Uint8Array): string {
  const end = bytes.indexOf(0)
  return Buffer.from(bytes.subarray(0, end < 0 ? bytes.length : end)).toString('utf8')
}
