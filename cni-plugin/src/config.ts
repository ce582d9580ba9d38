/** The network configuration on stdin, checked in the order of the reference library (JSON, name, version, our own keys). Pure. */

import { CniError, ErrorCode } from './errors.ts'
import { ASSUMED, type CniVersion, isSupported, SUPPORTED_VERSIONS } from './versions.ts'

export const DEFAULT_SOCKET = '/run/vrouter/cni.sock'
export const DEFAULT_STATE = '/var/lib/vrouter'

export type LogLevel = 'debug' | 'info' | 'error'

export interface NetworkConfig {
  readonly cniVersion: CniVersion
  readonly name: string
  /** The daemon's cni.sock. */
  readonly socket: string
  /** Where deletions wait for a daemon that is down. The daemon's paths.state. */
  readonly stateDir: string
  /** Absent: nothing is logged. */
  readonly logFile?: string
  readonly logLevel: LogLevel
  readonly prevResult?: Record<string, unknown>
  /** Attachments that are still valid (GC); absent when the runtime says nothing about them. */
  readonly validAttachments?: readonly { readonly containerId: string; readonly ifname: string }[]
  /** Pod annotations, where the runtime passes them on. */
  readonly podAnnotations?: Readonly<Record<string, string>>
}

type Json = Record<string, unknown>

/** Throws a CniError with code 6, 7 or 1. Keys that it doesn't know are fine: the runtime and other plugins have their own. */
export function parseConfig(text: string): NetworkConfig {
  const config = parseJson(text)
  const name = config['name']
  if (name === undefined || name === '')
    throw invalid('name', name, 'a network name', 'give the network configuration a name')
  if (typeof name !== 'string' || !/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(name)) {
    throw invalid('name', name, 'letters and digits, after the first one also . _ -', 'rename the network')
  }
  const cniVersion = versionOf(config)
  const logFile = optional(
    config,
    'logFile',
    isString,
    'a path',
    'write "logFile": "/var/log/vrouter-cni.log", or leave it out',
  )
  const prevResult = optional(
    config,
    'prevResult',
    isObject,
    'an object',
    'the container runtime sets it; report this to its makers',
  )
  const validAttachments = attachmentsOf(config)
  const podAnnotations = annotationsOf(config)
  return {
    cniVersion,
    name,
    socket:
      optional(config, 'socket', isAbsolute, 'an absolute path', 'name the cni.sock in the paths.run of the daemon') ??
      DEFAULT_SOCKET,
    stateDir:
      optional(config, 'stateDir', isAbsolute, 'an absolute path', 'name the paths.state of the daemon') ??
      DEFAULT_STATE,
    ...(logFile && { logFile }),
    logLevel: optional(config, 'logLevel', isLevel, 'debug, info or error', 'choose one of these levels') ?? 'info',
    ...(prevResult && { prevResult }),
    ...(validAttachments && { validAttachments }),
    ...(podAnnotations && { podAnnotations }),
  }
}

/** The version that a caller of VERSION asks in; its stdin may be empty. */
export function askedVersion(text: string): string | undefined {
  if (text.trim() === '') return undefined
  const version = parseJson(text)['cniVersion']
  if (version !== undefined && typeof version !== 'string')
    throw invalid('cniVersion', version, 'a string', 'correct the configuration')
  return version
}

function parseJson(text: string): Json {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new CniError(
      ErrorCode.DECODING_FAILURE,
      `cannot decode the network configuration: ${(error as Error).message}`,
      'correct the JSON of the configuration',
    )
  }
  if (!isObject(value)) {
    throw new CniError(
      ErrorCode.DECODING_FAILURE,
      'cannot decode the network configuration: it is not a JSON object',
      'correct the JSON of the configuration',
    )
  }
  return value
}

function versionOf(config: Json): CniVersion {
  const version = config['cniVersion'] ?? ASSUMED
  if (typeof version !== 'string')
    throw invalid('cniVersion', version, 'a string', `use one of ${SUPPORTED_VERSIONS.join(', ')}`)
  if (!isSupported(version)) {
    const details = `config is ${JSON.stringify(version)}, plugin supports ${JSON.stringify(SUPPORTED_VERSIONS)}`
    throw new CniError(ErrorCode.INCOMPATIBLE_VERSION, 'incompatible CNI versions', details)
  }
  return version
}

/** `cni.dev/valid-attachments`, or the older spelling that libcni writes beside it. null is an empty list. */
function attachmentsOf(config: Json): NetworkConfig['validAttachments'] {
  const key = 'cni.dev/valid-attachments' in config ? 'cni.dev/valid-attachments' : 'cni.dev/attachments'
  if (!(key in config)) return undefined
  const remedy = 'the container runtime sets it; report this to its makers'
  const list = config[key] ?? []
  if (!Array.isArray(list)) throw invalid(key, list, 'a list', remedy)
  return list.map((entry: unknown, i) => {
    const { containerID, ifname } = isObject(entry) ? entry : {}
    if (typeof containerID !== 'string' || typeof ifname !== 'string')
      throw invalid(`${key}[${i}]`, entry, '{containerID, ifname}', remedy)
    return { containerId: containerID, ifname }
  })
}

/** The capability `io.kubernetes.cri.pod-annotations`. */
function annotationsOf(config: Json): NetworkConfig['podAnnotations'] {
  const runtimeConfig = optional(
    config,
    'runtimeConfig',
    isObject,
    'an object',
    'the container runtime sets it; report this to its makers',
  )
  const annotations = runtimeConfig?.['io.kubernetes.cri.pod-annotations']
  if (!isObject(annotations)) return undefined
  return Object.fromEntries(
    Object.entries(annotations).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  )
}

function optional<T>(
  config: Json,
  key: string,
  is: (value: unknown) => value is T,
  wanted: string,
  remedy: string,
): T | undefined {
  const value = config[key]
  if (value === undefined || value === null) return undefined
  if (!is(value)) throw invalid(key, value, wanted, remedy)
  return value
}

const isString = (value: unknown): value is string => typeof value === 'string' && value !== ''
const isAbsolute = (value: unknown): value is string => isString(value) && value.startsWith('/')
const isLevel = (value: unknown): value is LogLevel => value === 'debug' || value === 'info' || value === 'error'
const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

function invalid(field: string, value: unknown, wanted: string, remedy: string): CniError {
  const shown = value === undefined ? 'missing' : (JSON.stringify(value) ?? '').slice(0, 200)
  return new CniError(
    ErrorCode.INVALID_CONFIG,
    `invalid network configuration: ${field} is ${shown}; wanted ${wanted}`,
    remedy,
  )
}
