/** What the CNI binary is told of an attachment. */

import { ROUTER_MAC } from '../model/names.ts'
import type { AllocateReply } from '../port-api/messages.ts'
import type { PortRecord } from './records.ts'
import { defaultRoutes } from './routes.ts'

/** `existed`: it was there before this request. */
export function replyOf(
  { port, addresses, registered, routes }: PortRecord,
  domain: string,
  existed: boolean,
): AllocateReply {
  const dns =
    routes === undefined ? { nameservers: addresses.map(({ service }) => service), domain } : { nameservers: [] }
  return {
    ok: true,
    uuid: port.uuid,
    tap: port.tap,
    tapMac: ROUTER_MAC,
    mac: port.mac,
    mtu: port.mtu,
    addresses: addresses.map(({ address, prefixLength, gateway }) => ({ address, prefixLength, gateway })),
    routes: routes ?? defaultRoutes(addresses),
    dns,
    existed,
    registered: existed && registered,
  }
}
