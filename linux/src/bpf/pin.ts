/** Ways to a map, program or link that exists already: a path on a bpf file system, or its id. */

import { isErrno, SystemError } from '../errors.ts'
import { allocateString, close } from '../ffi.ts'
import { Attr, BpfCommand } from './command.ts'
import { MapFlag } from './map-command.ts'

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

export function isPinned(path: string): boolean {
  try {
    close(objGet(path))
    return true
  } catch (error) {
    if (isErrno(error, 'ENOENT')) return false
    throw error
  }
}
