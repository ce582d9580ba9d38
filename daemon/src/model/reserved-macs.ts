/** MAC addresses that no pod may have, because they mean somebody else. Pure. */
import { AGENT_MAC, ROUTER_MAC, ZERO_MAC } from './names.ts'
import type { Mac } from './objects.ts'

/** Virtual routers (RFC 9568 section 7.3), IPv4 and IPv6: the vRouter's own is the first of them. */
const VRRP = ['00:00:5e:00:01:', '00:00:5e:00:02:'] as const

/** Whose address it is, in words; undefined: a station may have it. `mac`: lower case, with colons. */
export function ownerOfMac(mac: Mac): string | undefined {
  if (mac === ZERO_MAC) return "nobody's"
  if (mac === 'ff:ff:ff:ff:ff:ff') return 'the broadcast address'
  if ((Number.parseInt(mac.slice(0, 2), 16) & 1) === 1) return 'the address of a group'
  if (mac === ROUTER_MAC) return "the gateway's own"
  if (mac === AGENT_MAC) return "the vRouter agent's own"
  return VRRP.some((prefix) => mac.startsWith(prefix)) ? 'kept for virtual routers (VRRP)' : undefined
}
