/**
 * What contradicts something else: blocks of two nodes with the same addresses, two nodes with one address, interfaces that don't fit their
 * network or each other. Told as condition Conflict and by an Event; the daemons' own rules say what counts. Pure.
 */

import { contains, mustParseAddress } from '../model/address.ts'
import type { SourceState, VirtualMachineInterface } from '../model/objects.ts'
import { prefixOf } from '../model/prefix-of.ts'
import { type Action, statusPatch, withConditions } from './actions.ts'
import type { Durations } from './durations.ts'
import { conditionOf, type Resourceful, type Watched } from './resources.ts'
import type { View } from './view.ts'

export interface ConflictOptions {
  readonly now: number
  readonly durations: Durations
  /** How long something must be wrong before it is told, milliseconds: nodes put right in seconds what others changed. */
  readonly patienceMs: number
}

export function reportConflicts(view: View, options: ConflictOptions): Action[] {
  const actions: Action[] = []
  for (const kind of ['blocks', 'routers'] as const) {
    for (const { object } of view[kind]) actions.push(...tell(kind, object, view.problemsOf(kind, object), options))
  }
  const clashes = clashesOf(view)
  for (const { object, item } of view.interfaces) {
    const problems =
      item === undefined
        ? view.problemsOf('interfaces', object)
        : [...misfitsOf(view, item), ...(clashes.get(item) ?? [])]
    actions.push(...tell('interfaces', object, problems, options))
  }
  return actions
}

function tell(
  of: Watched,
  object: Resourceful,
  problems: readonly string[],
  { now, durations, patienceMs }: ConflictOptions,
): Action[] {
  const known = conditionOf(object, 'Conflict')
  const message = problems.join('; ')
  if (problems.length === 0) {
    if (known === undefined || known.status === 'False') return []
    const none = { type: 'Conflict', status: false, reason: 'None', message: '' }
    return [statusPatch(of, object, { conditions: withConditions(object, [none], now) }) ?? []].flat()
  }
  if (!durations.haveLasted(`${of} ${object.metadata.uid} ${message}`, patienceMs)) return []
  const wanted = { type: 'Conflict', status: true, reason: 'Conflict', message }
  const patch = statusPatch(of, object, { conditions: withConditions(object, [wanted], now) })
  const event: Action = { type: 'event', event: { of, object, type: 'Warning', reason: 'Conflict', message } }
  return patch === undefined ? [event] : [patch, event]
}

/** What an interface says that its network and its node's blocks don't bear out. */
function misfitsOf(view: View, item: VirtualMachineInterface): string[] {
  const network = view.state.virtualNetworks.get(item.vn)
  // A network may be deleted by force, or not be known yet.
  if (network === undefined) return [`spec.network (${item.vn}) doesn't exist`]
  const own = (view.blocksOf.get(item.vn) ?? []).filter((block) => block.item?.node === item.node)
  return item.addresses.flatMap((text) => {
    const address = mustParseAddress(text)
    if (!network.subnets.some((subnet) => contains(prefixOf(subnet), address))) {
      return [`spec.addresses (${text}) lies in no subnet of ${item.vn}`]
    }
    if (own.some((block) => contains(prefixOf(block.item!), address))) return []
    return [`spec.addresses (${text}) lies in no IPAMBlock of node ${item.node}`]
  })
}

type Clashes = ReadonlyMap<VirtualMachineInterface, readonly string[]>

/** By the interfaces that they are of: they change more seldom than all else. */
const clashesIn = new WeakMap<SourceState['interfaces'], Clashes>()

/** Two interfaces with one address in one network, or with one label on one node: the older one is named. */
function clashesOf({ state, interfaces }: View): Clashes {
  const known = clashesIn.get(state.interfaces)
  if (known !== undefined) return known
  const clashes = new Map<VirtualMachineInterface, string[]>()
  const owners = new Map<string, VirtualMachineInterface>()
  for (const { item } of interfaces) {
    if (item === undefined) continue
    for (const [claim, field] of claimsOf(item)) {
      const owner = owners.get(claim)
      if (owner === undefined) {
        owners.set(claim, item)
        continue
      }
      const message = `${field} is that of VirtualMachineInterface ${owner.namespace}/${owner.name} too`
      clashes.set(item, [...(clashes.get(item) ?? []), message])
    }
  }
  clashesIn.set(state.interfaces, clashes)
  return clashes
}

function claimsOf({
  vn,
  addresses,
  node,
  label,
}: VirtualMachineInterface): (readonly [claim: string, field: string])[] {
  return [
    ...addresses.map((address) => [`${vn} ${address}`, `spec.addresses (${address})`] as const),
    [`${node} ${label}`, `spec.label (${label})`] as const,
  ]
}
