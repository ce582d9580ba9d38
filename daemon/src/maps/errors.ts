/** What can go wrong when the pinned maps are opened or read. */

export type MapErrorCode = 'MAPS_NOT_FOUND' | 'MAPS_NOT_PERMITTED' | 'MAP_INCOMPATIBLE'

const remedies: { readonly [code in MapErrorCode]: string } = {
  MAPS_NOT_FOUND:
    'Start the vrouter daemon once, or name the folder of its pins: it makes the maps and they outlive it.',
  MAPS_NOT_PERMITTED: 'Run this as root, or with CAP_BPF and access to the folder of the pins.',
  MAP_INCOMPATIBLE:
    'The maps were made by another version: use the tools of that version, or restart the daemon of this one.',
}

export class MapError extends Error {
  override readonly name = 'MapError'
  readonly code: MapErrorCode
  readonly remedy: string

  constructor(code: MapErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.remedy = remedies[code]
  }
}
