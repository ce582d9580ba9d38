/** The network configuration on stdin, checked in the order of the reference library (JSON, name, version, our own keys). Pure. */

import type { Command } from './environment.ts'
import { CniError, ErrorCode } from './errors.ts'
import { fieldOf, fieldsOf, isObject, type Json } from './json.ts'
import { ASSUMED, type CniVersion, requireVersion, SUPPORTED_VERSIONS } from './versions.ts'

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
  /** How long ADD waits for a daemon that is away (it restarts), milliseconds; `daemonWaitSeconds` of the configuration, default 0. */
  readonly daemonWaitMs: number
  /** Absent: nothing is logged. */
  readonly logFile?: string
  readonly logLevel: LogLevel
  readonly prevResult?: Record<string, unknown>
  /** Attachments that are still valid (GC); absent when the runtime says nothing about them. */
  readonly validAttachments?: readonly { readonly containerId: string; readonly ifname: string }[]
  /** What the runtime wants of this one attachment; `wishesOf` reads it. */
  readonly runtimeConfig?: Json
  /** `args.cni`: the same, as the operator writes it. */
  readonly cniArgs?: Json
  /** `network`: the VirtualNetwork of interfaces that are attached by this configuration; absent: the pod's own. */
  readonly virtualNetwork?: string
}

/**
 * `command` is who asks: some came with later versions only. Throws a CniError with code 6, 7 or 1. Keys are read in any case, as the reference library does; those
 * that it doesn't know are fine: the runtime and other plugins have their own.
 */
export function parseConfig(text: string, command?: Command): NetworkConfig {
  const config = parseJson(text)
  const name = fieldOf(config, 'name')
  if (name === undefined || name === null || name === '')
    throw new CniError(ErrorCode.INVALID_CONFIG, 'missing network name', 'give the network configuration a "name"')
  if (typeof name !== 'string') throw undecodable(`name is ${shown(name)}; wanted a string`)
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(name)) {
    throw new CniError(
      ErrorCode.INVALID_CONFIG,
      'invalid characters found in network name',
      `${shown(name)}: letters and digits, after the first one also . _ -`,
    )
  }
  const cniVersion = requireVersion(command, versionTextOf(config))
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
  const runtimeConfig = optional(
    config,
    'runtimeConfig',
    isObject,
    'an object',
    'the container runtime sets it; report this to its makers',
  )
  const args = optional(config, 'args', isObject, 'an object', 'write "args": {"cni": {…}}, or leave it out')
  const virtualNetwork = optional(
    config,
    'network',
    isString,
    'the name of a VirtualNetwork',
    'write "network": "<name>" or "<namespace>/<name>", or leave it out',
  )
  const cniArgs = args && optional(args, 'cni', isObject, 'an object', 'write "args": {"cni": {…}}, or leave it out')
  return {
    cniVersion,
    name,
    socket:
      optional(config, 'socket', isAbsolute, 'an absolute path', 'name the cni.sock in the paths.run of the daemon') ??
      DEFAULT_SOCKET,
    stateDir:
      optional(config, 'stateDir', isAbsolute, 'an absolute path', 'name the paths.state of the daemon') ??
      DEFAULT_STATE,
    daemonWaitMs:
      1000 *
      (optional(config, 'daemonWaitSeconds', isWait, 'a number from 0 to 60', 'write "daemonWaitSeconds": 30') ?? 0),
    ...(logFile && { logFile }),
    logLevel: optional(config, 'logLevel', isLevel, 'debug, info or error', 'choose one of these levels') ?? 'info',
    ...(prevResult && { prevResult }),
    ...(validAttachments && { validAttachments }),
    ...(runtimeConfig && { runtimeConfig }),
    ...(cniArgs && { cniArgs }),
    ...(virtualNetwork && { virtualNetwork }),
  }
}

/** The version that a caller of VERSION asks in; its stdin may be empty. */
export function askedVersion(text: string): string | undefined {
  if (text.trim() === '') return undefined
  const config = parseJson(text)
  const version = versionTextOf(config)
  return fieldOf(config, 'cniVersion') === undefined ? undefined : version
}

function parseJson(text: string): Json {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw undecodable((error as Error).message)
  }
  // The reference library reads null as a configuration without anything.
  if (value === null) return {}
  if (!isObject(value)) throw undecodable('it is not a JSON object')
  return value
}

function versionTextOf(config: Json): string {
  const version = fieldOf(config, 'cniVersion') ?? ''
  if (typeof version !== 'string')
    throw undecodable(`cniVersion is ${shown(version)}; wanted one of ${SUPPORTED_VERSIONS.join(', ')}`)
  return version === '' ? ASSUMED : version
}

/** `cni.dev/valid-attachments`, or the older spelling that libcni writes beside it. null is an empty list. */
function attachmentsOf(config: Json): NetworkConfig['validAttachments'] {
  const key = ['cni.dev/valid-attachments', 'cni.dev/attachments'].find((key) => fieldOf(config, key) !== undefined)
  if (key === undefined) return undefined
  const remedy = 'the container runtime sets it; report this to its makers'
  const list = fieldOf(config, key) ?? []
  if (!Array.isArray(list)) throw invalid(key, list, 'a list', remedy)
  return list.map((entry: unknown, i) => {
    const { containerID, ifname } = fieldsOf(isObject(entry) ? entry : {}, 'containerID', 'ifname')
    if (typeof containerID !== 'string' || typeof ifname !== 'string')
      throw invalid(`${key}[${i}]`, entry, '{containerID, ifname}', remedy)
    return { containerId: containerID, ifname }
  })
}

function optional<T>(
  config: Json,
  key: string,
  is: (value: unknown) => value is T,
  wanted: string,
  remedy: string,
): T | undefined {
  const value = fieldOf(config, key)
  if (value === undefined || value === null) return undefined
  if (!is(value)) throw invalid(key, value, wanted, remedy)
  return value
}

const isString = (value: unknown): value is string => typeof value === 'string' && value !== ''
const isWait = (value: unknown): value is number => typeof value === 'number' && value >= 0 && value <= 60
const isAbsolute = (value: unknown): value is string => isString(value) && value.startsWith('/')
const isLevel = (value: unknown): value is LogLevel => value === 'debug' || value === 'info' || value === 'error'

export function invalid(field: string, value: unknown, wanted: string, remedy: string): CniError {
  return new CniError(
    ErrorCode.INVALID_CONFIG,
    `invalid network configuration: ${field} is ${shown(value)}; wanted ${wanted}`,
    remedy,
  )
}

function undecodable(reason: string): CniError {
  return new CniError(
    ErrorCode.DECODING_FAILURE,
    `error unmarshall network config: ${reason}`,
    'correct the JSON of the configuration',
  )
}

function shown(value: unknown): string {
  return value === undefined ? 'missing' : (JSON.stringify(value) ?? '').slice(0, 200)
}
