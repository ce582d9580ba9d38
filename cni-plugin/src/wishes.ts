/**
 * What the caller wants of one attachment, beyond an interface: its MAC, its addresses, and what is only recorded. The same thing may be said in three
 * places; `runtimeConfig` counts before `args.cni`, which counts before CNI_ARGS (CNI conventions). Pure.
 */

import type { AllocateRequest, Bandwidth, PortMapping } from '@kube-vrouter/daemon/port-api/messages'
import { invalid, type NetworkConfig } from './config.ts'
import { parseLabels } from './environment.ts'
import { CniError, ErrorCode } from './errors.ts'
import { fieldOf, fieldsOf, isObject } from './json.ts'

/** Parts of the request to the daemon; what nobody said is absent. */
export type Wishes = Pick<
  AllocateRequest,
  'virtualNetwork' | 'mac' | 'addresses' | 'labels' | 'annotations' | 'portMappings' | 'bandwidth'
>

const RUNTIME = 'the container runtime sets it; report this to its makers'
const MAX_PORT = 65_535
const PROTOCOLS = ['tcp', 'udp', 'sctp'] as const

/** Throws code 7 for a configuration, 4 for CNI_ARGS that can't be understood. Unknown keys are fine. */
export function wishesOf(
  {
    virtualNetwork,
    runtimeConfig = {},
    cniArgs = {},
  }: Pick<NetworkConfig, 'virtualNetwork' | 'runtimeConfig' | 'cniArgs'>,
  args: Readonly<Record<string, string>>,
): Wishes {
  const network =
    networkOf(fieldOf(cniArgs, 'network'), 'args.cni.network') ??
    networkOf(args['VROUTER_NETWORK'], 'CNI_ARGS VROUTER_NETWORK') ??
    virtualNetwork
  const mac =
    macOf(fieldOf(runtimeConfig, 'mac'), 'runtimeConfig.mac') ??
    macOf(fieldOf(cniArgs, 'mac'), 'args.cni.mac') ??
    macOf(args['MAC'], 'CNI_ARGS MAC')
  const addresses =
    addressesOf(fieldOf(runtimeConfig, 'ips'), 'runtimeConfig.ips') ??
    addressesOf(fieldOf(cniArgs, 'ips'), 'args.cni.ips') ??
    addressesOf(args['IP'] === undefined ? undefined : args['IP'].split(','), 'CNI_ARGS IP')
  const labels = { ...parseLabels(args['VROUTER_LABELS']), ...labelsOf(fieldOf(cniArgs, 'labels')) }
  const annotations = annotationsOf(fieldOf(runtimeConfig, 'io.kubernetes.cri.pod-annotations'))
  const portMappings = portMappingsOf(fieldOf(runtimeConfig, 'portMappings'))
  const bandwidth = bandwidthOf(fieldOf(runtimeConfig, 'bandwidth'))
  return {
    ...(network !== undefined && { virtualNetwork: network }),
    ...(mac !== undefined && { mac }),
    ...(addresses && { addresses }),
    ...(Object.keys(labels).length > 0 && { labels }),
    ...(annotations && { annotations }),
    ...(portMappings && { portMappings }),
    ...(bandwidth && { bandwidth }),
  }
}

/** What it names the daemon finds out. */
function networkOf(value: unknown, field: string): string | undefined {
  if (isUnset(value)) return undefined
  if (typeof value !== 'string') throw refused(field, value, 'the name of a VirtualNetwork')
  return value
}

function macOf(value: unknown, field: string): string | undefined {
  if (isUnset(value)) return undefined
  const isMac = typeof value === 'string' && /^[0-9a-f]{2}([:-][0-9a-f]{2}){5}$/i.test(value)
  if (!isMac) throw refused(field, value, 'a MAC address such as 02:00:5e:10:00:01')
  const mac = value.toLowerCase().replaceAll('-', ':')
  const isUnicast = (Number.parseInt(mac.slice(0, 2), 16) & 1) === 0 && mac !== '00:00:00:00:00:00'
  if (!isUnicast) throw refused(field, value, 'the MAC address of one station, not of a group')
  return mac
}

/** Bare addresses. A prefix length may stand behind each: the network's own counts. */
function addressesOf(value: unknown, field: string): string[] | undefined {
  if (isUnset(value)) return undefined
  if (!Array.isArray(value)) throw refused(field, value, 'a list of addresses')
  const addresses = value.map((entry: unknown, i) => {
    const [address = '', length, ...more] = typeof entry === 'string' ? entry.trim().split('/') : []
    const isLength = length === undefined || (/^\d{1,3}$/.test(length) && Number(length) <= 128)
    if (isIP(address) === 0 || !isLength || more.length > 0)
      throw refused(`${field}[${i}]`, entry, 'an address, or an address with its prefix length')
    return address
  })
  return addresses.length > 0 ? addresses : undefined
}

/** `args.cni.labels`: a list of `{key, value}`. */
function labelsOf(value: unknown): Record<string, string> {
  if (isUnset(value)) return {}
  if (!Array.isArray(value)) throw refused('args.cni.labels', value, 'a list of {key, value}')
  return Object.fromEntries(
    value.map((entry: unknown, i) => {
      const { key, value: text } = fieldsOf(isObject(entry) ? entry : {}, 'key', 'value')
      if (typeof key !== 'string' || typeof text !== 'string')
        throw refused(`args.cni.labels[${i}]`, entry, '{key, value}')
      return [key, text]
    }),
  )
}

/** What isn't text is left out: annotations are others' business. */
function annotationsOf(value: unknown): Record<string, string> | undefined {
  if (!isObject(value)) return undefined
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  )
}

function portMappingsOf(value: unknown): PortMapping[] | undefined {
  if (isUnset(value)) return undefined
  if (!Array.isArray(value)) throw refused('runtimeConfig.portMappings', value, 'a list')
  const mappings = value.flatMap((entry: unknown, i): PortMapping[] => {
    const field = `runtimeConfig.portMappings[${i}]`
    if (!isObject(entry)) throw refused(field, entry, '{hostPort, containerPort, protocol, hostIP}')
    const mapping = fieldsOf(entry, 'hostPort', 'containerPort', 'protocol', 'hostIP')
    const { hostPort, containerPort, hostIP } = mapping
    const protocol = isUnset(mapping.protocol) ? 'tcp' : mapping.protocol
    // A port that the pod shows and no port of the node leads to.
    if (isUnset(hostPort) || hostPort === 0) return []
    if (!isPort(hostPort)) throw refused(`${field}.hostPort`, hostPort, `a port from 1 to ${MAX_PORT}`)
    if (!isPort(containerPort)) throw refused(`${field}.containerPort`, containerPort, `a port from 1 to ${MAX_PORT}`)
    const known = typeof protocol === 'string' && PROTOCOLS.find((one) => one === protocol.toLowerCase())
    if (!known) throw refused(`${field}.protocol`, protocol, `one of ${PROTOCOLS.join(', ')}`)
    if (isUnset(hostIP)) return [{ hostPort, containerPort, protocol: known }]
    if (typeof hostIP !== 'string' || isIP(hostIP) === 0) throw refused(`${field}.hostIP`, hostIP, 'an address')
    return [{ hostPort, containerPort, protocol: known, hostIp: hostIP }]
  })
  return mappings.length > 0 ? mappings : undefined
}

/** Rates in bits per second, bursts in bits; `ingress` is what goes to the pod. */
function bandwidthOf(value: unknown): Bandwidth | undefined {
  if (isUnset(value)) return undefined
  const field = 'runtimeConfig.bandwidth'
  if (!isObject(value)) throw refused(field, value, 'an object')
  const bandwidth: Record<string, number> = {}
  for (const key of ['ingressRate', 'ingressBurst', 'egressRate', 'egressBurst']) {
    const number = fieldOf(value, key)
    if (isUnset(number) || number === 0) continue
    if (typeof number !== 'number' || !Number.isFinite(number) || number < 0)
      throw refused(`${field}.${key}`, number, 'a number of bits that is not negative')
    bandwidth[key] = Math.trunc(number)
  }
  return Object.keys(bandwidth).length > 0 ? bandwidth : undefined
}

/** node:net costs milliseconds: it is loaded only for who names addresses. */
function isIP(text: string): number {
  return process.getBuiltinModule('node:net').isIP(text)
}

function isPort(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= MAX_PORT
}

function isUnset(value: unknown): value is undefined | null | '' {
  return value === undefined || value === null || value === ''
}

function refused(field: string, value: unknown, wanted: string): CniError {
  if (!field.startsWith('CNI_ARGS'))
    return invalid(field, value, wanted, field.startsWith('args') ? 'correct it' : RUNTIME)
  const shown = JSON.stringify(value).slice(0, 200)
  return new CniError(ErrorCode.INVALID_ENVIRONMENT, `invalid ${field} ${shown}`, `wanted ${wanted}`)
}
