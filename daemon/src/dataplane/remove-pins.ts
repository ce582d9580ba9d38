/** The end of what is pinned: programs leave their devices, maps go with their last user. */
import { existsSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../config/config.ts'

/** Takes the programs off all devices, as far as nobody holds their links open. */
export function removeLinks({ paths }: Pick<Config, 'paths'>): void {
  removePins(join(paths.pins, 'links'))
}

/** A link whose last pin goes is detached; a map or program goes with its last user. */
export function removePins(folder: string): void {
  if (!existsSync(folder)) return
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) removePins(path)
    else unlinkSync(path)
  }
  rmdirSync(folder)
}
