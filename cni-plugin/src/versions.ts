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

/** Gives the configuration back when its version has the command. Throws code 1 otherwise. */
export function requireVersion<T extends { readonly cniVersion: CniVersion }>(
  command: string,
  config: T,
  minimum: CniVersion,
): T {
  if (isAtLeast(config.cniVersion, minimum)) return config
  throw new CniError(
    ErrorCode.INCOMPATIBLE_VERSION,
    `config version does not allow ${command}`,
    `cniVersion is ${config.cniVersion}; ${command} came with ${minimum}`,
  )
}
