/** The objects that clients of the agent's REST API send (introspect reference 4.3, 4.4), checked field by field. Pure. */

import { isIP } from 'node:net'

export const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const NIL_UUID = '00000000-0000-0000-0000-000000000000'
const NO_VLAN = 65_535

/** A body that can't be used: answered with 500 and the message. */
export class BadBody extends Error {}

export const PortType = { VM: 0, NAMESPACE: 1, REMOTE: 2 } as const

/** POST /port: a port that an orchestrator made; addresses and MAC are given. */
export interface PortObject {
  readonly id: string
  readonly 'instance-id': string
  readonly 'display-name': string
  readonly 'ip-address': string
  readonly 'ip6-address': string
  readonly 'vn-id': string
  readonly 'vm-project-id': string
  readonly 'mac-address': string
  readonly 'system-name': string
  readonly type: number
  readonly 'rx-vlan-id': number
  readonly 'tx-vlan-id': number
  readonly 'vhostuser-mode': number
  readonly 'link-state': number
}

/** POST /vm: an interface that a CNI plugin made for a pod. */
export interface VmObject {
  readonly 'vm-uuid': string
  readonly 'vn-uuid': string
  readonly 'vmi-uuid': string
  readonly 'vm-id': string
  readonly 'vm-name': string
  readonly 'host-ifname': string
  readonly 'vm-ifname': string
  readonly 'vm-namespace': string
}

export interface GatewayObject {
  readonly interface: string
  readonly 'routing-instance': string
  readonly subnets: readonly { readonly 'ip-address': string; readonly 'prefix-len': number }[]
  readonly routes: readonly { readonly 'ip-address': string; readonly 'prefix-len': number }[]
}

type Json = Record<string, unknown>

export function parsePort(value: unknown): PortObject {
  const body = objectOf(value)
  const type = integer(body, 'type', 0, 2)
  const mac = text(body, 'mac-address')
  const isMac = /^[0-9a-f]{1,2}(:[0-9a-f]{1,2}){5}$/i.test(mac) && !/^[0:]+$/.test(mac)
  if (!isMac) throw new BadBody('Invalid MAC, Use xx:xx:xx:xx:xx:xx format')
  const network = uuid(body, 'vn-id')
  if (type === PortType.VM && network === NIL_UUID) throw new BadBody('Invalid VN uuid')
  return {
    id: uuid(body, 'id'),
    'instance-id': uuid(body, 'instance-id'),
    'display-name': text(body, 'display-name'),
    'ip-address': address(body, 'ip-address', 4),
    'ip6-address': address(body, 'ip6-address', 6),
    'vn-id': network,
    'vm-project-id': uuid(body, 'vm-project-id'),
    'mac-address': macText(mac),
    'system-name': deviceName(body, 'system-name'),
    type,
    'rx-vlan-id': vlan(body, 'rx-vlan-id'),
    'tx-vlan-id': vlan(body, 'tx-vlan-id'),
    'vhostuser-mode': body['vhostuser-mode'] === undefined ? 0 : integer(body, 'vhostuser-mode', 0, 1),
    'link-state':
      body['link-state'] === undefined ? (type === PortType.REMOTE ? 0 : 1) : integer(body, 'link-state', 0, 1),
  }
}

export function parseVm(value: unknown): VmObject {
  if (Array.isArray(value)) throw new BadBody('Unexpected Json string: a list')
  const body = objectOf(value)
  const optional = (key: string): string => (body[key] === undefined || body[key] === null ? '' : text(body, key))
  return {
    'vm-uuid': uuid(body, 'vm-uuid'),
    'vn-uuid': uuid(body, 'vn-uuid'),
    'vmi-uuid': uuid(body, 'vmi-uuid'),
    'vm-id': optional('vm-id'),
    'vm-name': folderName(body, 'vm-name'),
    'host-ifname': deviceName(body, 'host-ifname'),
    'vm-ifname': optional('vm-ifname'),
    'vm-namespace': optional('vm-namespace'),
  }
}

export function parseGateways(value: unknown, isRemoval: boolean): GatewayObject[] {
  if (!Array.isArray(value)) throw new BadBody('Unexpected Json string: no list of gateways')
  return value.map((entry) => {
    const body = objectOf(entry)
    const prefixes = (key: string) => {
      const list = body[key] ?? []
      if (!Array.isArray(list)) throw missing(key, list)
      return list.map((item) => {
        const prefix = objectOf(item)
        const ip = text(prefix, 'ip-address')
        if (isIP(ip) === 0) throw missing('ip-address', ip)
        return { 'ip-address': ip, 'prefix-len': integer(prefix, 'prefix-len', 0, isIP(ip) === 4 ? 32 : 128) }
      })
    }
    return {
      interface: deviceName(body, 'interface'),
      'routing-instance': isRemoval ? '' : text(body, 'routing-instance'),
      subnets: prefixes('subnets'),
      routes: prefixes('routes'),
    }
  })
}

function objectOf(value: unknown): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new BadBody(`Invalid Json string ==> ${JSON.stringify(value)?.slice(0, 200)}`)
  return value as Json
}

function text(body: Json, key: string): string {
  const value = body[key]
  if (typeof value !== 'string') throw missing(key, value)
  return value
}

function uuid(body: Json, key: string): string {
  const value = text(body, key).toLowerCase()
  if (!UUID.test(value)) throw missing(key, value)
  return value
}

/** Empty, 0.0.0.0 and :: are: none. */
function address(body: Json, key: string, family: 4 | 6): string {
  const value = text(body, key)
  if (value === '' || value === '0.0.0.0' || value === '::') return value
  if (isIP(value) !== family) throw missing(key, value)
  return value
}

function integer(body: Json, key: string, minimum: number, maximum: number): number {
  const value = body[key]
  if (!Number.isInteger(value) || (value as number) < minimum || (value as number) > maximum) throw missing(key, value)
  return value as number
}

/** 65535 is none; command line clients send -1 as they please. */
function vlan(body: Json, key: string): number {
  const value = integer(body, key, -1, 2 ** 32 - 1)
  return value < 0 || value >= NO_VLAN ? NO_VLAN : value
}

/** Linux's rules: no path, no white space. */
function deviceName(body: Json, key: string): string {
  const value = text(body, key)
  if (!/^(?!\.{1,2}$)[^\s/:]{1,15}$/.test(value)) throw missing(key, value)
  return value
}

/** It becomes the name of a folder. */
function folderName(body: Json, key: string): string {
  const value = text(body, key)
  if (value === '' || value.length > 255 || /[/\0]/.test(value) || /^\.{1,2}$/.test(value)) throw missing(key, value)
  return value
}

function macText(mac: string): string {
  return mac
    .toLowerCase()
    .split(':')
    .map((byte) => byte.padStart(2, '0'))
    .join(':')
}

function missing(key: string, value: unknown): BadBody {
  const shown = value === undefined ? 'is missing' : `has the value ${JSON.stringify(value).slice(0, 100)}`
  return new BadBody(`Invalid Json string ==> member ${key} ${shown}`)
}
