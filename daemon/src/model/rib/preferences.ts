/**
 * Whose route counts where several contributors have one for the same prefix: what stands first. A longer prefix counts before all of this, by the nature
 * of routing.
 */
import type { Contributor } from './offer.ts'

const OF_NETWORKS = [
  /** The network's own plan: what its addresses are for. */
  'subnet',
  'gateway',
  'service',
  /** Ranges of cluster IPs, into the service network. */
  'service-range',
  /** The way out, and ranges that it doesn't lead to. */
  'way-out',
  'inside-range',
  /** Nodes, in the default pod network. */
  'node',
  /** Who has an address; all of them share it. */
  'pod',
  'leaked-pod',
  /** This node, in all other networks. */
  'own-node',
  /** Single addresses of Services: they take nobody's. */
  'service-address',
  'block',
  'leaked-subnet',
  'leaked-block',
] as const

const OF_FABRIC = [
  /** The host's own. */
  'receive',
  'metadata',
  'pod',
  'tenant-pod',
  'node-gateway',
  'subnet',
  'gateway',
  /** Addresses of Services. What the node reaches in its own way otherwise is theirs while there is such a Service. */
  'service-range',
  'service-address',
  /** Where the kernel's routes lead. */
  'kernel',
  'neighbour',
  /** Other nodes' part of the default network. */
  'remote-pod',
  'block',
] as const

function numbered<T extends string>(names: readonly T[], shared: readonly T[]): Readonly<Record<T, Contributor>> {
  const of = (name: T, at: number): Contributor => ({
    name,
    preference: names.length - at,
    isShared: shared.includes(name),
  })
  return Object.fromEntries(names.map((name, at) => [name, of(name, at)])) as Record<T, Contributor>
}

/** In the VRF of a virtual network. */
export const IN_NETWORK = numbered(OF_NETWORKS, ['pod', 'leaked-pod'])
/** In VRF 0. */
export const IN_FABRIC = numbered(OF_FABRIC, [])
