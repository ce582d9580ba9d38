/**
 * What the runtime says in environment variables (CNI specification 1.1, section 2), checked in the order of the reference library and refused in its
 * words, which runtimes and people know. Pure.
 */

import { CniError, ErrorCode } from './errors.ts'

export const COMMANDS = ['ADD', 'DEL', 'CHECK', 'STATUS', 'GC', 'VERSION'] as const
export type Command = (typeof COMMANDS)[number]

/** The attachment that ADD, DEL and CHECK are about. */
export interface Attachment {
  readonly containerId: string
  /** Path of the pod's network namespace; empty when DEL doesn't know it. */
  readonly netns: string
  readonly ifname: string
  readonly args: Readonly<Record<string, string>>
  /** The runtime wants the plugin's own namespace to be accepted as the pod's. */
  readonly netnsOverride: boolean
}

type Environment = Readonly<Record<string, string | undefined>>

/** Undefined for a command that nobody knows: the reference library looks at the configuration before it says so. */
export function readCommand(env: Environment): Command | undefined {
  const command = env['CNI_COMMAND']
  if (!command) throw missing(['CNI_COMMAND'])
  return COMMANDS.find((known) => known === command)
}

export function unknownCommand(command: string | undefined): CniError {
  return new CniError(
    ErrorCode.INVALID_ENVIRONMENT,
    `unknown CNI_COMMAND: ${command?.slice(0, 300)}`,
    `the container runtime sets it, to one of ${COMMANDS.join(', ')}`,
  )
}

export function readAttachment(command: 'ADD' | 'DEL' | 'CHECK', env: Environment): Attachment {
  const containerId = env['CNI_CONTAINERID'] ?? ''
  const netns = env['CNI_NETNS'] ?? ''
  const ifname = env['CNI_IFNAME'] ?? ''
  if (containerId !== '' && !/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(containerId)) {
    throw invalid(
      'invalid characters in containerID',
      `${quoted(containerId)}: letters and digits, after the first one also . _ -`,
    )
  }
  if (ifname !== '') checkIfname(ifname)
  const absent = Object.entries({
    CNI_CONTAINERID: containerId,
    CNI_NETNS: command === 'DEL' ? '-' : netns,
    CNI_IFNAME: ifname,
  })
    .filter(([, value]) => value === '')
    .map(([name]) => name)
  if (absent.length > 0) throw missing(absent)
  const args = parseArgs(env['CNI_ARGS'] ?? '')
  return { containerId, netns, ifname, args, netnsOverride: isTrue(env['CNI_NETNS_OVERRIDE']) }
}

/** Linux's rules for interface names, in the reference library's reading. */
function checkIfname(ifname: string): void {
  if (Buffer.byteLength(ifname) > 15)
    throw invalid('interface name is too long', `${quoted(ifname)}: interface name should be less than 16 characters`)
  if (ifname === '.' || ifname === '..') throw invalid('interface name is . or ..', 'choose another CNI_IFNAME')
  if (/[/:\s]/.test(ifname))
    throw invalid(
      'interface name contains / or : or whitespace characters',
      `${quoted(ifname)}: choose another CNI_IFNAME`,
    )
}

/** `K=V;K=V`. Keys that nobody knows are kept: who reads them decides. A value may hold '='. */
export function parseArgs(text: string): Record<string, string> {
  const args: Record<string, string> = {}
  for (const pair of text.split(';')) {
    if (pair.trim() === '') continue
    const equals = pair.indexOf('=')
    if (equals <= 0) throw invalid('invalid CNI_ARGS', `${quoted(pair)}: wanted pairs K=V separated by ;`)
    args[pair.slice(0, equals).trim()] = pair.slice(equals + 1)
  }
  return args
}

/** Pod labels of VROUTER_LABELS, `key=value:key=value`: for callers without Kubernetes. */
export function parseLabels(text: string | undefined): Record<string, string> | undefined {
  if (!text) return undefined
  const labels: Record<string, string> = {}
  for (const pair of text.split(':')) {
    const equals = pair.indexOf('=')
    if (equals <= 0)
      throw invalid('invalid CNI_ARGS VROUTER_LABELS', `${quoted(pair)}: wanted pairs key=value separated by :`)
    labels[pair.slice(0, equals)] = pair.slice(equals + 1)
  }
  return labels
}

function isTrue(value: string | undefined): boolean {
  return value === '1' || value?.toLowerCase() === 'true'
}

function missing(names: readonly string[]): CniError {
  return new CniError(
    ErrorCode.INVALID_ENVIRONMENT,
    `required env variables [${names.join(',')}] missing`,
    'the container runtime sets them; see the CNI specification',
  )
}

function invalid(message: string, details: string): CniError {
  return new CniError(ErrorCode.INVALID_ENVIRONMENT, message, details)
}

function quoted(value: string): string {
  return JSON.stringify(value.slice(0, 300))
}
