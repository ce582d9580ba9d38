/** Checks what arrives on the socket: a line is a Request, or an error that names field and value. */

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
      if (request['network'] !== undefined) text(request['network'], 'network')
      const pod = object(request['pod'], 'pod')
      for (const key of ['namespace', 'name', 'uid']) text(pod[key], `pod.${key}`)
      for (const key of ['labels', 'annotations']) if (request[key] !== undefined) strings(request[key], key)
      break
    }
    case 'register':
      checkKey(request)
      if (!Number.isInteger(request['ifindex']) || (request['ifindex'] as number) <= 0)
        throw bad('ifindex', request['ifindex'], 'a positive integer')
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
    default:
      throw bad('op', request['op'], 'one of allocate, register, release, get, list, status')
  }
  return request as unknown as Request
}

/** Longest container id: `<id>-<ifname>.json.<n>.tmp` must fit a file name of 255 bytes. */
const MAX_CONTAINER_ID = 200

function checkKey(request: Record<string, unknown>): void {
  const { containerId, ifname } = request
  if (
    typeof containerId !== 'string' ||
    containerId.length > MAX_CONTAINER_ID ||
    !/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(containerId)
  ) {
    throw bad('containerId', containerId, `a container id of at most ${MAX_CONTAINER_ID} characters`)
  }
  if (typeof ifname !== 'string' || !/^(?!\.{1,2}$)[^\s/:]{1,15}$/.test(ifname))
    throw bad('ifname', ifname, 'an interface name of 1 to 15 characters')
}

function object(value: unknown, field: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw bad(field, value, 'an object')
  return value as Record<string, unknown>
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
