/** Services as tests write them: fronts of the service network, their backs, and the routes that lead there. */
import * as c from '../../src/maps/constants.ts'
import { addressBytes } from '../../src/maps/services.ts'
import type { TestNode } from './node.ts'

/** VRF of the service network. */
export const SERVICE_VRF = 9
export const SERVICE_RANGES = ['10.96.0.0/16', '2001:db8:96::/112'] as const
const NH_SERVICE = 60

export interface BackOptions {
  readonly ip: string
  readonly port: number
  readonly flags?: number
  readonly vrf?: number
  readonly nh?: number
  readonly label?: number
}

export interface FrontOptions {
  readonly vip: string
  readonly port: number
  readonly proto: number
  readonly backs: readonly BackOptions[]
  /** What those outside may choose of; default: nothing. */
  readonly outside?: readonly BackOptions[]
  /** For what other nodes hand over; default: none. */
  readonly local?: readonly BackOptions[]
  readonly service?: number
  readonly flags?: number
  readonly affinityS?: number
  readonly vrf?: number
}

/** Leads these VRFs to the service network. */
export function routeServices(node: TestNode, vrfs: readonly number[]): void {
  node.setVrf(SERVICE_VRF)
  const flags = (c.NH_FLAG_VALID | c.NH_FLAG_SERVICE) >>> 0
  node.setNexthop(NH_SERVICE, { type: c.NH_VRF_TRANSLATE, flags, vrf: SERVICE_VRF })
  for (const vrf of vrfs) for (const range of SERVICE_RANGES) node.setRoute(vrf, range, NH_SERVICE)
}

/** Writes services into a node's maps, each set into a block that none had before. */
export class Services {
  readonly node: TestNode
  #nextBack = 0

  constructor(node: TestNode) {
    this.node = node
  }

  set(options: FrontOptions): void {
    const { vip, port, proto, service = 1, flags = 0, affinityS = 0, vrf = SERVICE_VRF } = options
    const address = { vrf, ...addressBytes(vip) }
    const inside = this.#block(options.backs)
    const front = {
      service,
      flags,
      inside,
      outside: this.#block(options.outside ?? []),
      local: this.#block(options.local ?? []),
      affinityS,
    }
    const none = { first: 0, count: 0 }
    const { fronts } = this.node.maps.services
    fronts.set({ ...address, port, proto }, front)
    fronts.set({ ...address, port: 0, proto: 0 }, { ...front, inside: none, outside: none, local: none, affinityS: 0 })
  }

  /** Fronts of the node's own addresses are looked for at this port. */
  listen(port: number): void {
    const { nodePorts } = this.node.maps.services
    const bits = Uint8Array.from(nodePorts.get(0)!.bits)
    bits[port >> 3]! |= 1 << (port & 7)
    nodePorts.set(0, { bits })
  }

  delete({ vip, port, proto, vrf = SERVICE_VRF }: Pick<FrontOptions, 'vip' | 'port' | 'proto' | 'vrf'>): void {
    this.node.maps.services.fronts.delete({ vrf, ...addressBytes(vip), port, proto })
  }

  /** Lets `prefix` use the service. */
  open(service: number, prefix: string): void {
    const [address, length] = prefix.split('/') as [string, string]
    const { family, ip } = addressBytes(address)
    const key = { prefixlen: 64 + Number(length), service, family, ip }
    this.node.maps.services.ranges.set(key, 1)
  }

  stats(service = 1): { connections: number; refused: number; dropped: number } {
    const { connections, refused, dropped } = this.node.maps.services.stats.get(service)!
    return { connections: Number(connections), refused: Number(refused), dropped: Number(dropped) }
  }

  #block(backs: readonly BackOptions[]): { first: number; count: number } {
    const first = this.#nextBack
    for (const { ip, port, flags = 0, vrf = 2, nh = 0, label = c.LABEL_NONE } of backs)
      this.node.maps.services.backs.set(this.#nextBack++, { ip: addressBytes(ip).ip, port, flags, vrf, nh, label })
    return { first, count: backs.length }
  }
}
