/**
 * Pods of other nodes, each with the label of the pod itself: the many. What changed is told by the table of them (../remote-pods.ts), so one that came or went
 * is all that is looked at.
 */

import { bitsOf, familyOf } from '../address.ts'
import type { Address, VirtualMachineInterface } from '../objects.ts'
import { path } from '../paths.ts'
import type { RemotePods } from '../remote-pods.ts'
import { type Contributor, type Offer, offerOfTunnel } from '../rib/offer.ts'
import type { VrfRib } from '../rib/rib.ts'
import type { Problem } from '../tables.ts'
import type { RemoteNode } from '../tunnels.ts'
import type { Admission } from './admission.ts'

/** Pods between two turns of the event loop. */
const SLICE = 512

export interface RemoteInput {
  readonly pods: RemotePods
  readonly nodes: ReadonlyMap<string, RemoteNode>
  readonly admission: Admission
  /** The admission is another one, but only of these addresses it may think otherwise. Absent: of all. */
  readonly isAffected?: ((address: Address) => boolean) | undefined
}

export class RemotePodRoutes {
  readonly #rib: VrfRib
  readonly #by: Contributor
  readonly #problems = new Map<string, Problem>()
  /** Of the last update. */
  #input: RemoteInput | undefined

  constructor(rib: VrfRib, by: Contributor) {
    this.#rib = rib
    this.#by = by
  }

  get problems(): Iterable<Problem> {
    return this.#problems.values()
  }

  /** To be called once after each update of the table of pods. Yields now and then. */
  *update(input: RemoteInput): Generator<void> {
    const before = this.#input
    this.#input = input
    let count = 0
    for (const change of input.pods.changes) {
      if (change.before !== undefined) this.#withdraw(change.before, change.after)
      if (++count % SLICE === 0) yield
    }
    if (before !== undefined) {
      for (const { after } of input.pods.changes) {
        if (after !== undefined) this.#put(after, input)
        if (++count % SLICE === 0) yield
      }
    }
    const isWanted = before === undefined ? () => true : concerned(before, input)
    if (isWanted === undefined) return
    for (const pod of input.pods) {
      if (isWanted(pod)) this.#put(pod, input)
      if (++count % SLICE === 0) yield
    }
  }

  /** Nothing is offered any more, for good. */
  *withdraw(pods: RemotePods): Generator<void> {
    let count = 0
    for (const { before } of pods.changes) {
      this.#withdraw(before, undefined)
      if (++count % SLICE === 0) yield
    }
    for (const pod of pods) {
      this.#withdraw(pod, undefined)
      if (++count % SLICE === 0) yield
    }
  }

  #put(pod: VirtualMachineInterface, { nodes, admission }: RemoteInput): void {
    const node = nodes.get(pod.node)
    for (const address of pod.addresses) {
      const refusal = node === undefined ? 'outside' : admission(address, pod.node)
      if (refusal === undefined) this.#rib.offer(this.#offer(pod, address, node!))
      else this.#withdrawAddress(address, pod.uuid)
      const key = `${address} ${pod.uuid}`
      if (refusal === 'reserved')
        this.#problems.set(key, {
          object: `VirtualMachineInterface ${pod.name}`,
          message: `${address} is the gateway or service address of ${pod.vn}`,
        })
      else if (this.#problems.size > 0) this.#problems.delete(key)
    }
  }

  /** What a pod offered; but for addresses that it still has. */
  #withdraw(pod: VirtualMachineInterface | undefined, now: VirtualMachineInterface | undefined): void {
    for (const address of pod?.addresses ?? []) {
      if (now?.addresses.includes(address)) continue
      this.#withdrawAddress(address, pod!.uuid)
      this.#problems.delete(`${address} ${pod!.uuid}`)
    }
  }

  #withdrawAddress(address: Address, source: string): void {
    this.#rib.withdraw(address, bitsOf(familyOf(address)), { by: this.#by, source })
  }

  #offer({ uuid, vn, label }: VirtualMachineInterface, address: Address, node: RemoteNode): Offer {
    const only = path(node.peer, node.nexthop, vn, label)
    const key = { by: this.#by, source: uuid }
    return offerOfTunnel(key, address, bitsOf(familyOf(address)), only, label, 'remote-pod')
  }
}

/** Which pods have to be looked at although they didn't change; undefined: none. */
function concerned(
  before: RemoteInput,
  { nodes, admission, isAffected }: RemoteInput,
): ((pod: VirtualMachineInterface) => boolean) | undefined {
  const isSameAdmission = before.admission === admission
  if (isSameAdmission && before.nodes === nodes) return undefined
  if (!isSameAdmission && isAffected === undefined) return () => true
  // Nodes that came, went, or are reached in another way.
  const names = new Set(
    [...before.nodes.keys(), ...nodes.keys()].filter((name) => before.nodes.get(name) !== nodes.get(name)),
  )
  return ({ node, addresses }) => names.has(node) || (!isSameAdmission && addresses.some(isAffected!))
}
