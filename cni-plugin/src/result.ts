/** The result of ADD in the shape of each version of the specification (CNI specification 1.1, section 5; conventions of 0.2 to 1.0). Pure. */

import type { AllocateReply } from '@kube-vrouter/daemon/port-api/messages'
import { fieldOf, type Json } from './json.ts'
import { type CniVersion, isAtLeast } from './versions.ts'

export function addResult(
  cniVersion: CniVersion,
  port: AllocateReply,
  attachment: { readonly ifname: string; readonly netns: string },
  prevResult?: Json,
): Json {
  return isAtLeast(cniVersion, '0.3.0')
    ? currentResult(cniVersion, port, attachment, prevResult)
    : oldResult(cniVersion, port)
}

/** 0.3.0 and later. Behind other plugins, what they did comes first. */
function currentResult(
  cniVersion: CniVersion,
  port: AllocateReply,
  attachment: { readonly ifname: string; readonly netns: string },
  prevResult: Json = {},
): Json {
  const before = listOf(fieldOf(prevResult, 'interfaces'))
  const mtu = isAtLeast(cniVersion, '1.1.0') ? { mtu: port.mtu } : {}
  const interfaces = [
    ...before,
    { name: port.tap, mac: port.tapMac, ...mtu },
    { name: attachment.ifname, mac: port.mac, ...mtu, sandbox: attachment.netns },
  ]
  const ips = port.addresses.map(({ address, prefixLength, gateway }) => ({
    ...(isAtLeast(cniVersion, '1.0.0') ? {} : { version: address.includes(':') ? '6' : '4' }),
    interface: before.length + 1,
    address: `${address}/${prefixLength}`,
    gateway,
  }))
  const routes = port.routes.map(({ destination, gateway }) => ({ dst: destination, gw: gateway }))
  const allRoutes = [...listOf(fieldOf(prevResult, 'routes')), ...routes]
  return {
    cniVersion,
    interfaces,
    ips: [...listOf(fieldOf(prevResult, 'ips')), ...ips],
    ...(allRoutes.length > 0 && { routes: allRoutes }),
    dns: fieldOf(prevResult, 'dns') ?? dnsOf(port),
  }
}

/** 0.1.0 and 0.2.0: one address of a family, with its routes; no interfaces. */
function oldResult(cniVersion: CniVersion, port: AllocateReply): Json {
  const family = (isOurs: (address: string) => boolean): Json | undefined => {
    const address = port.addresses.find(({ address }) => isOurs(address))
    if (!address) return undefined
    const routes = port.routes
      .filter(({ destination }) => isOurs(destination))
      .map(({ destination, gateway }) => ({ dst: destination, gw: gateway }))
    return {
      ip: `${address.address}/${address.prefixLength}`,
      gateway: address.gateway,
      ...(routes.length > 0 && { routes }),
    }
  }
  const ip4 = family((address) => !address.includes(':'))
  const ip6 = family((address) => address.includes(':'))
  return { cniVersion, ...(ip4 && { ip4 }), ...(ip6 && { ip6 }), dns: dnsOf(port) }
}

function dnsOf({ dns }: AllocateReply): Json {
  const { nameservers, domain, search } = dns
  return {
    ...(nameservers.length > 0 && { nameservers }),
    ...(domain && { domain }),
    ...(search && search.length > 0 && { search }),
  }
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}
