/**
 * Whether what answered on the socket is an answer to the request: devices are made by it, as root. Of another version, of another program behind that
 * path, cut short: the runtime is told what is wrong with it. Pure.
 */

import type { Reply, Request } from '@kube-vrouter/daemon/port-api/messages'
import { parseAddress, parseMac } from '@kube-vrouter/linux/address'

type Json = Readonly<Record<string, unknown>>

/** The line as an answer to a request of that kind. Throws a TypeError that says what is wrong with it. */
export function parseReply(op: Request['op'], line: string): Reply {
  let value: unknown
  try {
    value = JSON.parse(line)
  } catch {
    throw new TypeError('it is not JSON')
  }
  const reply = object(value, 'it')
  if (reply['ok'] === false) {
    for (const key of ['code', 'message']) text(reply[key], key)
    if (reply['details'] !== undefined) text(reply['details'], 'details')
    boolean(reply['retry'], 'retry')
  } else if (reply['ok'] === true) checkAnswer(op, reply)
  else throw wrong('ok', reply['ok'], 'true or false')
  return reply as unknown as Reply
}

function checkAnswer(op: Request['op'], reply: Json): void {
  switch (op) {
    case 'get':
      for (const key of ['verified', 'mismatches'])
        for (const [i, entry] of list(reply[key], key).entries()) text(entry, `${key}[${i}]`)
      checkPort(reply)
      break
    case 'allocate':
      checkPort(reply)
      break
    case 'register':
      for (const key of ['vif', 'vrf']) integer(reply[key], key, 0, 0xffff_ffff)
      break
    case 'list':
      for (const [i, entry] of list(reply['attachments'], 'attachments').entries()) {
        const attachment = object(entry, `attachments[${i}]`)
        for (const key of ['containerId', 'ifname']) text(attachment[key], `attachments[${i}].${key}`)
      }
      break
    case 'release':
    case 'status':
    case 'report':
      break
    default:
      op satisfies never
  }
}

function checkPort(reply: Json): void {
  text(reply['uuid'], 'uuid')
  const { tap } = reply
  if (typeof tap !== 'string' || !/^(?!\.{1,2}$)[^\s/:]{1,15}$/.test(tap)) throw wrong('tap', tap, 'a device name')
  for (const key of ['tapMac', 'mac']) parsed(parseMac, reply[key], key, 'a MAC address')
  integer(reply['mtu'], 'mtu', 68, 65_535)
  for (const [i, entry] of list(reply['addresses'], 'addresses').entries()) {
    const field = `addresses[${i}]`
    const { address, prefixLength, gateway } = object(entry, field)
    parsed(parseAddress, address, `${field}.address`, 'an address')
    parsed(parseAddress, gateway, `${field}.gateway`, 'an address')
    integer(prefixLength, `${field}.prefixLength`, 0, (address as string).includes(':') ? 128 : 32)
  }
  for (const [i, entry] of list(reply['routes'], 'routes').entries()) {
    const field = `routes[${i}]`
    const { destination, gateway } = object(entry, field)
    const [prefix, length, ...more] = typeof destination === 'string' ? destination.split('/') : []
    parsed(parseAddress, prefix, `${field}.destination`, 'a prefix')
    if (length === undefined || !/^\d{1,3}$/.test(length) || Number(length) > 128 || more.length > 0)
      throw wrong(`${field}.destination`, destination, 'a prefix')
    parsed(parseAddress, gateway, `${field}.gateway`, 'an address')
  }
  const { nameservers, domain, search } = object(reply['dns'], 'dns')
  for (const [i, entry] of list(nameservers, 'dns.nameservers').entries()) text(entry, `dns.nameservers[${i}]`)
  if (domain !== undefined) text(domain, 'dns.domain')
  if (search !== undefined) list(search, 'dns.search')
  for (const key of ['existed', 'registered']) boolean(reply[key], key)
}

function parsed(parse: (text: string) => unknown, value: unknown, field: string, wanted: string): void {
  try {
    if (typeof value !== 'string') throw new TypeError()
    parse(value)
  } catch {
    throw wrong(field, value, wanted)
  }
}

function object(value: unknown, field: string): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw wrong(field, value, 'an object')
  return value as Json
}

function list(value: unknown, field: string): readonly unknown[] {
  if (!Array.isArray(value)) throw wrong(field, value, 'a list')
  return value
}

function text(value: unknown, field: string): void {
  if (typeof value !== 'string') throw wrong(field, value, 'a text')
}

function boolean(value: unknown, field: string): void {
  if (typeof value !== 'boolean') throw wrong(field, value, 'true or false')
}

function integer(value: unknown, field: string, minimum: number, maximum: number): void {
  if (!Number.isInteger(value) || (value as number) < minimum || (value as number) > maximum)
    throw wrong(field, value, `a whole number from ${minimum} to ${maximum}`)
}

function wrong(field: string, value: unknown, wanted: string): TypeError {
  const shown = value === undefined ? 'missing' : JSON.stringify(value).slice(0, 80)
  return new TypeError(`${field} is ${shown}; wanted ${wanted}`)
}
