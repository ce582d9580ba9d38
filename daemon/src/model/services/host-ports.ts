/**
 * Ports of the node that pods of it ask for (`hostPort`), as fronts of the underlay with the pod behind them. They come from the ports of this node alone, so they
 * are there whether Services are known or not. A NodePort of a Service counts before them (front-list.ts).
 */
import { familyOf } from '../address.ts'
import type { HostPort } from '../facts.ts'
import { addressesOfHostPort } from '../host-port-addresses.ts'
import type { Ids } from '../ids.ts'
import type { LocalPod } from '../interfaces.ts'
import * as keys from '../keys.ts'
import type { Address, ServiceProtocol } from '../objects.ts'
import type { BackSet, Front, Problem } from '../tables.ts'
import { FABRIC_VRF_ID } from '../vrfs.ts'
import { type FrontList, type KeyedFront, keyedFront } from './front-list.ts'

const PROTOCOLS: Readonly<Record<HostPort['protocol'], ServiceProtocol>> = { tcp: 'TCP', udp: 'UDP', sctp: 'SCTP' }

export class HostPorts {
  #fronts: readonly KeyedFront[] = []
  #numbers = new Set<string>()
  #problems: readonly Problem[] = []

  get problems(): readonly Problem[] {
    return this.#problems
  }

  /** What their numbers are known by. */
  get keys(): ReadonlySet<string> {
    return this.#numbers
  }

  /** @param pods those whose tap is there, by creation: of two sandboxes of one pod the later one counts */
  update(pods: readonly LocalPod[], nodeAddresses: readonly Address[], list: FrontList, ids: Ids, now: number): void {
    const asking = pods.filter(({ port }) => port.hostPorts !== undefined)
    if (asking.length === 0 && this.#fronts.length === 0 && this.#problems.length === 0) return
    const claims = new Map<string, KeyedFront>()
    const numbers = new Set<string>()
    const problems: Problem[] = []
    for (const pod of asking) {
      for (const hostPort of pod.port.hostPorts ?? []) {
        const object = `Pod ${pod.port.namespace}/${pod.port.pod.name}`
        const places = addressesOfHostPort(hostPort, nodeAddresses)
        if (places.length === 0 && hostPort.hostIp !== undefined) {
          const message = `host port ${hostPort.hostPort}/${hostPort.protocol} leads nowhere: ${hostPort.hostIp} is no address of this node`
          problems.push({ object, message })
        }
        for (const address of places) {
          const own = pod.port.addresses.find((one) => familyOf(one) === familyOf(address))
          if (own === undefined) continue
          const key = keys.hostPort(pod.port.uuid, hostPort, familyOf(address))
          const id = ids.allocate('service', key, now)
          if (id === undefined) {
            problems.push({
              object,
              message: `no service number is left (limit ${ids.limits.service})`,
              table: 'service',
            })
            continue
          }
          numbers.add(key)
          const keyed = keyedFront(frontOf(pod, hostPort, address, own, id))
          claims.set(keyed.key, keyed)
        }
      }
    }
    for (const key of this.#numbers) if (!numbers.has(key)) ids.release('service', key, now)
    this.#numbers = numbers
    this.#problems = problems
    this.#fronts = list.replace(this.#fronts, [...claims.values()])
  }
}

function frontOf(pod: LocalPod, hostPort: HostPort, address: Address, own: Address, id: number): Front {
  const { namespace, pod: named } = pod.port
  const backs = [{ address: own, port: hostPort.containerPort, vrf: pod.vrf.id, nexthop: pod.nexthop }]
  const set: BackSet = { backs, whenEmpty: 'reject' }
  return {
    ...{ vrf: FABRIC_VRF_ID, address, kind: 'host-port', id },
    listener: { protocol: PROTOCOLS[hostPort.protocol], port: hostPort.hostPort },
    service: { namespace, name: named.name, port: `${hostPort.hostPort}`, family: familyOf(address), isPod: true },
    ...{ inside: set, outside: set, local: set },
  }
}
