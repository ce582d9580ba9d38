/** Ports of the node that a pod asks for (`hostPort`): which of them can be served here, and who has one already. Pure. */
import { canonicalAddress, familyOf } from '../model/address.ts'
import type { HostPort, Port } from '../model/facts.ts'
import { ANY_ADDRESS, addressesOfHostPort } from '../model/host-port-addresses.ts'
import type { Address } from '../model/objects.ts'
import type { PortMapping } from '../port-api/messages.ts'
import { PortError } from './errors.ts'

/**
 * What the runtime asks for, as the port keeps it; undefined where it asks for none.
 * Throws PortError HOST_PORT_SCTP, HOST_PORT_ADDRESS, HOST_PORT_TWICE.
 */
export function hostPortsOf(
  mappings: readonly PortMapping[],
  podAddresses: readonly Address[],
  nodeAddresses: readonly Address[],
): readonly HostPort[] | undefined {
  const ports: HostPort[] = []
  for (const { hostPort, containerPort, protocol, hostIp } of mappings) {
    const port: HostPort = {
      ...{ hostPort, containerPort, protocol },
      ...(hostIp !== undefined && { hostIp: canonicalAddress(hostIp) ?? hostIp }),
    }
    const what = describeHostPort(port)
    // The checksum of SCTP covers all of the packet, its ports too (RFC 9260 §6.8).
    if (protocol === 'sctp' && hostPort !== containerPort)
      throw PortError.of('HOST_PORT_SCTP', `${what} leads to port ${containerPort} of the pod`)
    const twin = ports.find((one) => isOverlap(one, port))
    if (twin !== undefined && twin.containerPort === containerPort && twin.hostIp === port.hostIp) continue
    if (twin !== undefined)
      throw PortError.of('HOST_PORT_TWICE', `${what} is asked for twice, the other time as ${describeHostPort(twin)}`)
    if (addressesOfHostPort(port, nodeAddresses).every((address) => !hasFamily(podAddresses, address))) {
      const known = nodeAddresses.join(', ')
      throw PortError.of(
        'HOST_PORT_ADDRESS',
        `${what} can't lead to a pod with ${podAddresses.join(', ')}: this node has ${known}`,
      )
    }
    ports.push(port)
  }
  return ports.length === 0 ? undefined : ports
}

function hasFamily(addresses: readonly Address[], address: Address): boolean {
  return addresses.some((one) => familyOf(one) === familyOf(address))
}

/** The first of others' ports that a new one would take something from. A former sandbox of the same pod is none, nor is one whose tap is gone. */
export function rivalOf(
  wanted: readonly HostPort[],
  pod: { readonly namespace: string; readonly name: string; readonly uid: string },
  others: Iterable<{ readonly port: Port; readonly registered: boolean }>,
): { readonly wanted: HostPort; readonly port: Port } | undefined {
  for (const { port, registered } of others) {
    if (port.hostPorts === undefined || (registered && port.ifindex === undefined)) continue
    if (port.namespace === pod.namespace && port.pod.name === pod.name && port.pod.uid === pod.uid) continue
    for (const one of wanted) if (port.hostPorts.some((its) => isOverlap(one, its))) return { wanted: one, port }
  }
  return undefined
}

function isOverlap(a: HostPort, b: HostPort): boolean {
  if (a.hostPort !== b.hostPort || a.protocol !== b.protocol) return false
  const [one, other] = [a.hostIp, b.hostIp]
  if (one === undefined || other === undefined || one === other) return true
  return familyOf(one) === familyOf(other) && (ANY_ADDRESS.has(one) || ANY_ADDRESS.has(other))
}

/** Such as `host port 8080/tcp of 192.0.2.11`. */
export function describeHostPort({ hostPort, protocol, hostIp }: HostPort): string {
  return `host port ${hostPort}/${protocol}${hostIp === undefined ? '' : ` of ${hostIp}`}`
}
