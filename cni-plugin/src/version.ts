/** VERSION: which versions this plugin speaks. The asked version is given back, whatever it is. */

import { askedVersion } from './config.ts'
import { LATEST, SUPPORTED_VERSIONS } from './versions.ts'

export function version(stdin: string): object {
  return { cniVersion: askedVersion(stdin) ?? LATEST, supportedVersions: SUPPORTED_VERSIONS }
}
