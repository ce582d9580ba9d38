/**
 * How packets travel between nodes: what this vRouter speaks, and what each takes of a packet's room. The datapath's side of it is
 * lib/encapsulation.h.
 */
import { MPLS_UDP_OVERHEAD } from '../maps/constants.ts'
import type { Encapsulation, VirtualRouter } from './objects.ts'

/** Bytes from the outer IPv4 header to the packet inside. MPLSoUDP: IPv4 20, UDP 8, label 4 (RFC 7510). */
const OVERHEADS = { MPLSoUDP: MPLS_UDP_OVERHEAD } as const satisfies Partial<Record<Encapsulation, number>>

export type SpokenEncapsulation = keyof typeof OVERHEADS

/** In order of preference. */
export const SPOKEN: readonly SpokenEncapsulation[] = ['MPLSoUDP']

/** Largest L3 packet that fits into a tunnel. */
export function tunnelMtu(encapsulation: SpokenEncapsulation, underlayMtu: number): number {
  return underlayMtu - OVERHEADS[encapsulation]
}

/** Largest L3 packet that fits into every tunnel that there may be: the MTU of pods. */
export function podMtu(underlayMtu: number): number {
  return Math.min(...SPOKEN.map((encapsulation) => tunnelMtu(encapsulation, underlayMtu)))
}

/** What this node sends to another one; undefined: they have none in common. */
export function agreedWith({ encapsulations }: VirtualRouter): SpokenEncapsulation | undefined {
  return SPOKEN.find((encapsulation) => encapsulations.includes(encapsulation))
}
