/**
 * CHECK: compares what is there with what the daemon says should be, with what it found in the datapath, and with the result of ADD. What others added
 * beside it is fine. All that differs is named, not only the first thing.
 */

import type { GetReply } from '@kube-vrouter/daemon/port-api/messages'
import type { LinkInfo as Link } from '@kube-vrouter/linux/netlink/link'
import { RouteSocket } from '@kube-vrouter/linux/netlink/route'
import { openNamespace } from './attachment.ts'
import type { NetworkConfig } from './config.ts'
import { Daemon, daemonError, markFromDaemon } from './daemon.ts'
import type { Attachment } from './environment.ts'
import { CniError, ErrorCode } from './errors.ts'
import { fieldOf, fieldsOf, isObject, type Json } from './json.ts'

export function check(config: NetworkConfig, attachment: Attachment): void {
  const { containerId, ifname, netns } = attachment
  if (!config.prevResult)
    throw new CniError(
      ErrorCode.INVALID_CONFIG,
      'CHECK needs prevResult',
      'the container runtime passes the result of ADD',
    )
  using namespace = openNamespace(netns, attachment.netnsOverride)
  const port = expected(config.socket, containerId, ifname)
  using node = RouteSocket.open()
  using pod = RouteSocket.open({ netns: namespace })
  const link = pod.link(ifname)
  const mismatches = [
    ...checkTap(node.link(port.tap), port, link, ifname),
    ...(link ? checkInterface(pod, link, port, ifname) : [`the pod has no interface ${ifname}`]),
    ...checkPrevResult(config.prevResult, port, attachment, pod, link),
    ...port.mismatches,
  ]
  if (mismatches.length > 0) throw failed(mismatches.join('; '))
}

function checkTap(tap: Link | undefined, port: GetReply, link: Link | undefined, ifname: string): string[] {
  if (!tap) return [`device ${port.tap} is gone`]
  return [
    ...(tap.up ? [] : [`device ${port.tap} is down`]),
    ...(tap.mac === port.tapMac ? [] : [`device ${port.tap} has MAC ${tap.mac}; it should be ${port.tapMac}`]),
    ...(link === undefined || tap.peerIndex === link.index
      ? []
      : [`interface ${ifname} is not the peer of ${port.tap}`]),
  ]
}

/** The MTU may be smaller (plugin tuning), never larger. */
function checkInterface(pod: RouteSocket, link: Link, port: GetReply, ifname: string): string[] {
  const addresses = pod.addresses({ index: link.index })
  const routes = pod.routes({ oif: link.index })
  const lacksAddress = ({ address, prefixLength }: GetReply['addresses'][number]): boolean =>
    !addresses.some((there) => there.address === address && there.prefixLength === prefixLength)
  const lacksRoute = ({ destination, gateway }: GetReply['routes'][number]): boolean =>
    !routes.some((there) => `${there.destination}/${there.prefixLength}` === destination && there.gateway === gateway)
  return [
    ...(link.up ? [] : [`interface ${ifname} is down`]),
    ...(link.mac === port.mac ? [] : [`interface ${ifname} has MAC ${link.mac}; it should be ${port.mac}`]),
    ...(link.mtu <= port.mtu ? [] : [`interface ${ifname} has MTU ${link.mtu}; it should be at most ${port.mtu}`]),
    ...port.addresses
      .filter(lacksAddress)
      .map(({ address, prefixLength }) => `interface ${ifname} lacks the address ${address}/${prefixLength}`),
    ...port.routes
      .filter(lacksRoute)
      .map(({ destination, gateway }) => `the pod lacks the route ${destination} via ${gateway}`),
  ]
}

function expected(socket: string, containerId: string, ifname: string): GetReply {
  try {
    using daemon = Daemon.connect(socket)
    return daemon.call<GetReply>({ op: 'get', containerId, ifname })
  } catch (error) {
    const refusal = daemonError(error)
    throw refusal.code === ErrorCode.REFUSED ? markFromDaemon(failed(refusal.message, refusal.details)) : refusal
  }
}

/** The runtime, the daemon and the pod must speak of the same things. A plugin behind ours may have changed MAC and MTU, and says so in the result. */
function checkPrevResult(
  prevResult: Json,
  port: GetReply,
  { ifname, netns }: Attachment,
  pod: RouteSocket,
  link: Link | undefined,
): string[] {
  const ips = objectsOf(fieldOf(prevResult, 'ips'), 'address')
  const interfaces = objectsOf(fieldOf(prevResult, 'interfaces'), 'name', 'sandbox', 'mac', 'mtu')
  const ours = interfaces.find(({ name, sandbox }) => name === ifname && sandbox)
  const tap = interfaces.find(({ name, sandbox }) => name === port.tap && !sandbox)
  const mac = ours?.mac
  const mtu = ours?.mtu
  const mismatches = port.addresses
    .filter(({ address, prefixLength }) => !ips.some((ip) => ip.address === `${address}/${prefixLength}`))
    .map(({ address, prefixLength }) => `prevResult lacks the address ${address}/${prefixLength} of ${ifname}`)
  if (!ours) mismatches.push(`prevResult lacks the interface ${ifname} of the pod`)
  else if (ours.sandbox !== netns)
    mismatches.push(`prevResult has ${ifname} in ${String(ours.sandbox)}; CNI_NETNS is ${netns}`)
  if (!tap) mismatches.push(`prevResult lacks the interface ${port.tap} of the node`)
  if (!link) return mismatches
  if (typeof mac === 'string' && mac !== '' && mac.toLowerCase() !== link.mac)
    mismatches.push(`interface ${ifname} has MAC ${link.mac}; prevResult says ${mac}`)
  if (typeof mtu === 'number' && mtu !== 0 && mtu !== link.mtu)
    mismatches.push(`interface ${ifname} has MTU ${link.mtu}; prevResult says ${mtu}`)
  const routes = pod.routes()
  for (const { dst, gw } of objectsOf(fieldOf(prevResult, 'routes'), 'dst', 'gw')) {
    const isThere = routes.some(
      (route) => `${route.destination}/${route.prefixLength}` === dst && (!gw || route.gateway === gw),
    )
    if (!isThere)
      mismatches.push(`the pod lacks the route ${String(dst)}${gw ? ` via ${String(gw)}` : ''} of prevResult`)
  }
  return mismatches
}

function objectsOf<K extends string>(value: unknown, ...keys: readonly K[]): Readonly<Record<K, unknown>>[] {
  return Array.isArray(value) ? value.filter(isObject).map((object) => fieldsOf(object, ...keys)) : []
}

function failed(message: string, details = 'delete the pod: the runtime makes it anew'): CniError {
  return new CniError(ErrorCode.CHECK_FAILED, message, details)
}
