/** VirtualNetworkRouters: what they select and are joined with, and what keeps them from leaking. Pure. */

import { areJoinable, imports, type Leaks, leaksOf, selectedBy } from '../model/leaks.ts'
import type { FqName, VirtualNetworkRouter } from '../model/objects.ts'
import { type Action, count, listed, statusPatch, withConditions } from './actions.ts'
import type { Resourceful } from './resources.ts'
import type { View } from './view.ts'

const MOST_SHOWN = 100

interface Selected {
  readonly router: VirtualNetworkRouter
  readonly networks: readonly FqName[]
}

/** A problem that somebody must correct, or something that waits for somebody else. */
interface Finding {
  readonly kind: 'Rejected' | 'Contradiction' | 'Overlap' | 'OneSided' | 'Idle'
  readonly message: string
}

export function reconcileNetworkRouters(view: View, now: number): Action[] {
  if (view.networkRouters.length === 0) return []
  const all = view.networkRouters.flatMap(({ item }): Selected[] =>
    item === undefined ? [] : [{ router: item, networks: selectedBy(item, view.state) }],
  )
  const byKey = new Map(all.map((one) => [nameOf(one.router), one]))
  const { refused } = leaksOf(view.state)
  return view.networkRouters.flatMap(({ object, item }) => {
    const own = item === undefined ? undefined : byKey.get(nameOf(item))
    const joined = own === undefined ? [] : all.filter((other) => isJoined(view, own.router, other.router))
    const findings =
      own === undefined
        ? view.problemsOf('networkRouters', object).map((message): Finding => ({ kind: 'Rejected', message }))
        : [...findingsOf(view, own, joined, all), ...overlapsOf(own, joined, refused)]
    return report(view, object, own, joined, findings, now)
  })
}

function nameOf({ namespace, name }: VirtualNetworkRouter): string {
  return `${namespace}/${name}`
}

function isJoined({ state }: View, a: VirtualNetworkRouter, b: VirtualNetworkRouter): boolean {
  return a !== b && areJoinable(a, b) && imports(a, b, state) && imports(b, a, state)
}

function findingsOf(view: View, own: Selected, joined: readonly Selected[], all: readonly Selected[]): Finding[] {
  const { router, networks } = own
  const findings: Finding[] = []
  const shown = (vn: FqName) => {
    const network = view.state.virtualNetworks.get(vn)!
    return `VirtualNetwork ${network.namespace}/${network.name}`
  }
  const imported = all.filter(({ router: other }) => other !== router && imports(router, other, view.state))
  // A wide selector may well select some that it can't be joined with.
  const isInVain = imported.every(({ router: other }) => !areJoinable(router, other))
  for (const { router: other } of imported) {
    if (!areJoinable(router, other)) {
      if (!isInVain) continue
      const message = `imports VirtualNetworkRouter ${nameOf(other)}, but ${describePair(router.type, other.type)}`
      findings.push({ kind: 'Contradiction', message })
    } else if (!imports(other, router, view.state)) {
      const message = `imports VirtualNetworkRouter ${nameOf(other)}, which doesn't import it: nothing leaks between them until both do`
      findings.push({ kind: 'OneSided', message })
    }
  }
  for (const { router: other, networks: others } of joined) {
    if (router.type === 'mesh') continue
    const both = networks.filter((vn) => others.includes(vn))
    if (both.length === 0) continue
    const message = `is joined with ${other.type} ${nameOf(other)}, which selects ${listed(both.map(shown))} too: a network is either hub or spoke`
    findings.push({ kind: 'Contradiction', message })
  }
  if (networks.length === 0) {
    const message = `selects no VirtualNetwork of namespace ${router.namespace} (one without labels is never selected)`
    findings.push({ kind: 'Idle', message })
  } else if (joined.length === 0 && findings.length === 0) {
    if (router.type !== 'mesh') {
      const other = router.type === 'hub' ? 'spoke' : 'hub'
      findings.push({ kind: 'Idle', message: `imports no ${other} that exists: a ${router.type} alone leaks nothing` })
    } else if (networks.length === 1) {
      findings.push({ kind: 'Idle', message: `selects ${shown(networks[0]!)} alone: there is nothing to join it with` })
    }
  }
  return findings
}

function describePair(a: VirtualNetworkRouter['type'], b: VirtualNetworkRouter['type']): string {
  if (a === b) return `${a}s are not joined with each other`
  return `a ${a} is not joined with a ${b}`
}

/** Joins that it asks for and that were left out, for the addresses are the same. */
function overlapsOf({ router, networks }: Selected, joined: readonly Selected[], refused: Leaks['refused']): Finding[] {
  const others = new Set([...(router.type === 'mesh' ? networks : []), ...joined.flatMap((other) => other.networks)])
  return refused.flatMap(({ pair: [a, b], clash }): Finding[] => {
    const isOurs = (networks.includes(a) && others.has(b)) || (networks.includes(b) && others.has(a))
    if (!isOurs) return []
    return [
      {
        kind: 'Overlap',
        message: `routes are not leaked between ${a} and ${b}: ${clash}; give one of them another subnet`,
      },
    ]
  })
}

function report(
  view: View,
  object: Resourceful,
  own: Selected | undefined,
  joined: readonly Selected[],
  findings: readonly Finding[],
  now: number,
): Action[] {
  const of = (...kinds: readonly Finding['kind'][]) => findings.filter(({ kind }) => kinds.includes(kind))
  const failures = of('Rejected', 'Contradiction', 'Overlap')
  const waiting = of('OneSided', 'Idle')
  const state = failures.length > 0 ? 'Failure' : waiting.length > 0 ? 'Pending' : 'Success'
  const text = (list: readonly Finding[]) => list.map(({ message }) => message).join('; ')
  const condition = (type: 'Overlap' | 'OneSided') => {
    const list = of(type)
    return { type, status: list.length > 0, reason: list.length > 0 ? type : 'None', message: text(list) }
  }
  const conditions = [
    {
      type: 'Ready',
      status: state === 'Success',
      reason: [...failures, ...waiting][0]?.kind ?? 'Leaking',
      message: text([...failures, ...waiting]),
    },
    condition('Overlap'),
    condition('OneSided'),
  ]
  const names = own?.networks.map((vn) => {
    const network = view.state.virtualNetworks.get(vn)!
    return `${network.namespace}/${network.name}`
  })
  const patch = statusPatch('networkRouters', object, {
    state,
    observation: findings.length === 0 ? undefined : text(findings),
    observedGeneration: object.metadata.generation,
    selected: names?.length ?? 0,
    virtualNetworks: names?.sort().slice(0, MOST_SHOWN),
    joined:
      own === undefined
        ? undefined
        : joined
            .map(({ router }) => nameOf(router))
            .sort()
            .slice(0, MOST_SHOWN),
    conditions: withConditions(object, conditions, now),
  })
  const events = [...failures, ...of('OneSided')].map(({ kind, message }): Action => {
    return { type: 'event', event: { of: 'networkRouters', object, type: 'Warning', reason: kind, message } }
  })
  if (state === 'Success' && patch !== undefined && object.status?.['state'] !== 'Success') {
    const message = `leaks routes between ${count(names!.length + joined.flatMap((one) => one.networks).length, 'network')}`
    events.push({ type: 'event', event: { of: 'networkRouters', object, type: 'Normal', reason: 'Leaking', message } })
  }
  return patch === undefined ? events : [patch, ...events]
}
