/**
 * The folder of pins: `maps/<map>`, `programs/<program>`, `links/<program>-<vif id>`, in a bpf file system. Everything in it is this
 * daemon's: that is how a daemon with no memory knows its maps, programs and links.
 */
import { existsSync, mkdirSync, statfsSync, unlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { objPin } from '@kube-vrouter/linux/bpf/syscall'
import { isErrno } from '@kube-vrouter/linux/errors'
import { VrouterError } from '../errors.ts'

const BPF_FS_MAGIC = 0xcafe4a11

export interface Pins {
  readonly maps: string
  /** Maps that were made because those in `maps` don't fit, while they are filled. */
  readonly newMaps: string
  /** The same, from the moment on at which the first program that uses them may be in service, until they are in `maps`. */
  readonly swapMaps: string
  readonly programs: string
  readonly links: string
}

/** Makes the folders. Throws PINS_NOT_BPFFS when `folder` doesn't lie in a bpf file system. */
export function openPins(folder: string): Pins {
  let existing = folder
  while (!existsSync(existing)) existing = dirname(existing)
  if (statfsSync(existing).type !== BPF_FS_MAGIC) throw VrouterError.of('PINS_NOT_BPFFS', { path: folder })
  const pins = {
    maps: join(folder, 'maps'),
    newMaps: join(folder, 'maps-new'),
    swapMaps: join(folder, 'maps-swap'),
    programs: join(folder, 'programs'),
    links: join(folder, 'links'),
  }
  for (const path of [pins.maps, pins.newMaps, pins.programs, pins.links])
    mkdirSync(path, { recursive: true, mode: 0o700 })
  return pins
}

/** Pins the object behind `fd` at `path`, whatever was there before; makes the folder if somebody removed it. */
export function pinAt(fd: number, path: string): void {
  try {
    objPin(fd, path)
  } catch (error) {
    if (isErrno(error, 'ENOENT')) {
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
      objPin(fd, path)
      return
    }
    if (!isErrno(error, 'EEXIST')) throw error
    unlinkSync(path)
    objPin(fd, path)
  }
}

/** A pin that isn't there is fine. */
export function unpin(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
  }
}
