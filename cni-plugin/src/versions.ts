/** Versions of the CNI specification that this plugin speaks. */

import { CniError, ErrorCode } from './errors.ts'

export const SUPPORTED_VERSIONS = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const

export type CniVersion = (typeof SUPPORTED_VERSIONS)[number]

export const LATEST: CniVersion = '1.1.0'

/** A configuration without a version is one of the oldest specification. */
export const ASSUMED: CniVersion = '0.1.0'

export function isSupported(version: unknown): version is CniVersion {
  return SUPPORTED_VERSIONS.includes(version as CniVersion)
}

/** True when `version` is `minimum` or newer. */
export function isAtLeast(version: CniVersion, minimum: CniVersion): boolean {
  return SUPPORTED_VERSIONS.indexOf(version) >= SUPPORTED_VERSIONS.indexOf(minimum)
}

/** Commands that came later than 0.1.0. */
const INTRODUCED: Readonly<Record<string, CniVersion>> = { CHECK: '0.4.0', STATUS: '1.1.0', GC: '1.1.0' }

/**
 * The version of a configuration, when this plugin speaks it and the version has the command. Throws code 1 otherwise, or 6 for what isn't a version,
 * in the order and the words of the reference library.
 */
export function requireVersion(command: string | undefined, version: string): CniVersion {
  const minimum = INTRODUCED[command ?? '']
  if (minimum !== undefined) {
    const isOlder = compareVersions(version, minimum) < 0
    const isNewer = compareVersions(version, LATEST) > 0
    if (isOlder || isNewer) {
      throw new CniError(
        ErrorCode.INCOMPATIBLE_VERSION,
        `${isOlder ? 'config' : 'plugin'} version does not allow ${command}`,
        `cniVersion is ${version}; ${command} came with ${minimum}, and this plugin speaks versions to ${LATEST}`,
      )
    }
  }
  if (isSupported(version)) return version
  throw new CniError(
    ErrorCode.INCOMPATIBLE_VERSION,
    'incompatible CNI versions',
    `config is ${JSON.stringify(version)}, plugin supports ${JSON.stringify(SUPPORTED_VERSIONS)}`,
  )
}

function compareVersions(one: string, other: string): number {
  const [a, b] = [partsOf(one), partsOf(other)]
  return a[0] - b[0] || a[1] - b[1] || a[2] - b[2]
}

function partsOf(version: string): readonly [number, number, number] {
  const parts = /^(\d+)\.(\d+)(?:\.(\d+))?$/.exec(version)
  if (!parts)
    throw new CniError(
      ErrorCode.DECODING_FAILURE,
      `failed to parse config version ${JSON.stringify(version.slice(0, 100))}`,
      `use one of ${SUPPORTED_VERSIONS.join(', ')}`,
    )
  return [Number(parts[1]), Number(parts[2]), Number(parts[3] ?? 0)]
}
