/** What can go wrong when the pinned maps are opened or read. */

import { CodedError } from '../ground/coded-error.ts'

const REMEDIES = {
  MAPS_NOT_FOUND:
    'Start the vrouter daemon once, or name the folder of its pins: it makes the maps and they outlive it.',
  MAPS_NOT_PERMITTED: 'Run this as root, or with CAP_BPF and access to the folder of the pins.',
  MAP_INCOMPATIBLE:
    'The maps were made by another version: use the tools of that version, or restart the daemon of this one.',
} as const

export type MapErrorCode = keyof typeof REMEDIES

export class MapError extends CodedError<MapErrorCode> {
  override readonly name = 'MapError'

  constructor(code: MapErrorCode, message: string, options?: ErrorOptions) {
    super(code, message, REMEDIES[code], options)
  }
}
