/** What can go wrong with a pod's port: code (stable, part of the port API), whether repeating can help, and what the operator can do. */

import { CodedError, isDiskFull } from '../ground/coded-error.ts'
import type { ModelError, ModelErrorCode } from '../model/errors.ts'

interface Entry {
  /** True: trying again later can help (CNI error 11). */
  readonly retry: boolean
  readonly remedy: string
}

/** Where the network of an interface beside the first is named. */
const NAMES_OF_NETWORK =
  '`network` in the CNI configuration or in args.cni, VROUTER_NETWORK in CNI_ARGS, or annotation vrouter.dev/networks of pod or namespace'

const TABLE = {
  POD_MISSING: {
    retry: true,
    remedy: 'the runtime repeats ADD; if this lasts, see in the log whether the daemon hears from the API server',
  },
  SOURCE_AWAY: { retry: true, remedy: 'see the daemon log for why the source does not answer' },
  PORT_LIMIT: { retry: true, remedy: 'raise limits.vifs, or place fewer pods on this node' },
  MAC_IN_USE: { retry: true, remedy: 'choose another MAC address, or delete the pod that has it' },
  NETWORK_TWICE: { retry: false, remedy: `name another network for this interface: ${NAMES_OF_NETWORK}` },
  NETWORK_UNNAMED: { retry: false, remedy: `name one: ${NAMES_OF_NETWORK}` },
  HOST_PORT_IN_USE: { retry: true, remedy: 'choose another hostPort or node, or delete the pod that has it' },
  HOST_PORT_TWICE: { retry: false, remedy: 'name each port of the node once' },
  HOST_PORT_SCTP: {
    retry: false,
    remedy: 'choose a hostPort equal to the containerPort: ports of SCTP are not translated',
  },
  HOST_PORT_ADDRESS: {
    retry: true,
    remedy: "leave hostIP out, or name the node's own address in the underlay, of a family that the pod has",
  },
  BLOCK_CLAIM_FAILED: { retry: true, remedy: 'see the daemon log for the answer of the source' },
  DISK_FULL: { retry: true, remedy: 'free space on the file system of paths.state' },
  RECORD_FAILED: { retry: true, remedy: 'make paths.state writable for the daemon' },
  NOT_ALLOCATED: { retry: false, remedy: 'the runtime repeats ADD' },
  NOT_ATTACHED: { retry: false, remedy: 'the runtime repeats ADD for this container' },
  RELEASED: { retry: false, remedy: 'the attachment was deleted while it was being added; nothing is left to do' },
  PROGRAM_TIMEOUT: {
    retry: true,
    remedy: 'see the daemon log and introspect for what the dataplane could not program',
  },
  PROGRAM_FAILED: { retry: true, remedy: 'see the daemon log and introspect for what the dataplane could not program' },
  NOT_READY: { retry: true, remedy: 'wait until the daemon is in sync, or see its log' },
  DATAPATH_BROKEN: { retry: true, remedy: 'see the daemon log: pods on this node may have lost connectivity' },
} as const satisfies Record<string, Entry>

export type PortErrorCode = keyof typeof TABLE

/** Refusals of the model that stay until the pod itself is changed; all others may pass. */
const PERMANENT: ReadonlySet<ModelErrorCode> = new Set([
  'NETWORK_ANNOTATION',
  'NETWORKS_ANNOTATION',
  'ADDRESS_ANNOTATION',
  'ALLOWED_ADDRESSES',
  'MAC_ANNOTATION',
  'MAC_RESERVED',
  'ADDRESS_OUTSIDE',
  'ADDRESS_RESERVED',
])

/** A failure that is answered to the CNI binary as an ErrorReply. */
export class PortError extends CodedError<PortErrorCode | ModelErrorCode> {
  override readonly name = 'PortError'
  readonly retry: boolean

  private constructor(code: PortError['code'], message: string, entry: Entry, options?: ErrorOptions) {
    super(code, message, entry.remedy, options)
    this.retry = entry.retry
  }

  static of(code: PortErrorCode, message: string, options?: ErrorOptions): PortError {
    return new PortError(code, message, TABLE[code], options)
  }

  static ofModel({ code, message, remedy }: ModelError): PortError {
    return new PortError(code, message, { retry: !PERMANENT.has(code), remedy })
  }
}

/** The error of a failed write of a record. */
export function recordError(file: string, cause: unknown): PortError {
  const { code, message } = cause as NodeJS.ErrnoException
  return PortError.of(isDiskFull(cause) ? 'DISK_FULL' : 'RECORD_FAILED', `cannot write ${file}: ${code ?? message}`, {
    cause,
  })
}

/** What others are told of a failed attachment: the words that the runtime gets (CNI spec: message; details), and a stable reason. */
export function reportOf({ code, message, remedy }: PortError): { readonly reason: string; readonly message: string } {
  const reason = code.toLowerCase().replaceAll(/(?:^|_)([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
  return { reason, message: `${message}; ${remedy}` }
}
