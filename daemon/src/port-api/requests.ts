/** Checks what arrives on the socket: a line is a Request, or an error that names field and value. */

import { isIP } from 'node:net'
import type { Request } from './messages.ts'

/** A request that can't be understood; answered with code BAD_REQUEST. */
export class BadRequest extends Error {}

/** Turns one line into a request. Throws BadRequest. Unknown keys are ignored: a newer CNI binary may send more. */
export function parseRequest(line: string): Request {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    throw new BadRequest('the line is not JSON')
  }
  const request = object(value, 'the request')
  switch (request['op']) {
    case 'allocate': {
      checkKey(request)
      text(request['netns'], 'netns')
      for (const key of ['network', 'virtualNetwork']) if (request[key] !== undefined) text(request[key], key)
      const pod = object(request['pod'], 'pod')
      for (const key of ['namespace', 'name', 'uid']) text(pod[key], `pod.${key}`)
      for (const key of ['labels', 'annotations']) if (request[key] !== undefined) strings(request[key], key)
      checkWishes(request)
      break
    }
    case 'register':
      checkKey(request)
      if (!Number.isInteger(request['ifindex']) || (request['ifindex'] as number) <= 0)
        throw bad('ifindex', request['ifindex'], 'a positive integer')
      if (request['netns'] !== undefined) text(request['netns'], 'netns')
      break
    case 'release':
    case 'get':
      checkKey(request)
      break
    case 'list':
      text(request['network'], 'network')
      break
    case 'status':
      break
    case 'report':
      text(request['message'], 'message')
      for (const [key, value] of Object.entries(object(request['fields'], 'fields')))
        if (typeof value !== 'number') text(value, `fields.${key}`)
      break
    default:
      throw bad('op', request['op'], 'one of allocate, register, release, get, list, status, report')
  }
  return request as unknown as Request
}

function checkWishes(request: Record<string, unknown>): void {
  const { uuid, mac, addresses, portMappings, bandwidth } = request
  if (uuid !== undefined && (typeof uuid !== 'string' || !/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(uuid)))
    throw bad('uuid', uuid, 'a uuid in lower case')
  if (mac !== undefined && (typeof mac !== 'string' || !/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/.test(mac)))
    throw bad('mac', mac, 'a MAC address in lower case')
  if (addresses !== undefined)
    for (const [i, address] of list(addresses, 'addresses').entries())
      if (typeof address !== 'string' || isIP(address) === 0) throw bad(`addresses[${i}]`, address, 'an address')
  if (portMappings !== undefined)
    for (const [i, mapping] of list(portMappings, 'portMappings').entries())
      checkMapping(object(mapping, `portMappings[${i}]`), `portMappings[${i}]`)
  if (bandwidth !== undefined)
    for (const [key, value] of Object.entries(object(bandwidth, 'bandwidth')))
      if (typeof value !== 'number') throw bad(`bandwidth.${key}`, value, 'a number')
}

function checkMapping({ hostPort, containerPort, protocol, hostIp }: Record<string, unknown>, field: string): void {
  const isPort = (value: unknown) => Number.isInteger(value) && (value as number) > 0 && (value as number) <= 65_535
  if (!isPort(hostPort)) throw bad(`${field}.hostPort`, hostPort, 'a port from 1 to 65535')
  if (!isPort(containerPort)) throw bad(`${field}.containerPort`, containerPort, 'a port from 1 to 65535')
  if (protocol !== 'tcp' && protocol !== 'udp' && protocol !== 'sctp')
    throw bad(`${field}.protocol`, protocol, 'one of tcp, udp, sctp')
  if (hostIp !== undefined && (typeof hostIp !== 'string' || isIP(hostIp) === 0))
    throw bad(`${field}.hostIp`, hostIp, 'an address')
}

function checkKey(request: Record<string, unknown>): void {
  const { containerId, ifname } = request
  if (typeof containerId !== 'string' || !/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(containerId))
    throw bad('containerId', containerId, 'letters and digits, after the first one also . _ -')
  if (typeof ifname !== 'string' || !/^(?!\.{1,2}$)[^\s/:]{1,15}$/.test(ifname))
    throw bad('ifname', ifname, 'an interface name of 1 to 15 characters')
}

function object(value: unknown, field: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw bad(field, value, 'an object')
  return value as Record<string, unknown>
}

function list(value: unknown, field: string): unknown[] {
  if (!Array.isArray(value)) throw bad(field, value, 'a list')
  return value
}

function text(value: unknown, field: string): void {
  if (typeof value !== 'string') throw bad(field, value, 'a string')
}

function strings(value: unknown, field: string): void {
  for (const [key, entry] of Object.entries(object(value, field))) text(entry, `${field}.${key}`)
}

function bad(field: string, value: unknown, wanted: string): BadRequest {
  const shown = value === undefined ? 'missing' : (JSON.stringify(value) ?? String(value)).slice(0, 80)
  return new BadRequest(`${field} is ${shown}; wanted ${wanted}`)
}
