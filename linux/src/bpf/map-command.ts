/** Making maps and asking about them. What is in them is the business of `map.ts`. */

import { readFileSync } from 'node:fs'
import { Attr, BpfCommand, cString, infoByFd } from './command.ts'

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
  /** 0: it was made without type information. */
  readonly btfId: number
  /** Ids of types in there; 0: not known. */
  readonly btfKeyType: number
  readonly btfValueType: number
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
    btfKeyType: view.getUint32(68, true),
    btfValueType: view.getUint32(72, true),
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
