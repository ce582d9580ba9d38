/** What loops want done. They only say so; `apply.ts` does it. An action that was done before and is said again does no harm. */
import { isEqual } from '../model/equal.ts'
import type { Condition, Resourceful, Watched } from './resources.ts'

export type Action =
  | { readonly type: 'create'; readonly of: Watched; readonly object: Resourceful }
  | {
      readonly type: 'patch'
      readonly of: Watched
      readonly object: Resourceful
      readonly subresource?: 'status'
      /** `merge`: RFC 7386. `strategic`: lists by their keys, for kinds of Kubernetes itself. */
      readonly form: 'merge' | 'strategic'
      readonly patch: object
      /** Fails when the object has changed since: for lists that others write too. */
      readonly isExact?: boolean
    }
  | {
      readonly type: 'delete'
      readonly of: Watched
      readonly object: Resourceful
      readonly why: string
      /** Must be confirmed by the API server before: that this node, or this pod, doesn't exist, or no pod of the node has the address. */
      readonly unless?: Existence
    }
  | { readonly type: 'event'; readonly event: Event }

export type Existence =
  | { readonly kind: 'node'; readonly name: string }
  | { readonly kind: 'pod'; readonly namespace: string; readonly name: string; readonly uid: string }
  | { readonly kind: 'address'; readonly node: string; readonly address: string }

export interface Event {
  readonly of: Watched
  readonly object: Resourceful
  readonly type: 'Normal' | 'Warning'
  /** CamelCase, stable. */
  readonly reason: string
  readonly message: string
  /** Isn't told again while it lasts: a hint, no trouble. */
  readonly isOnce?: true
}

/** Merge patch of the status, or nothing when it says what is wanted already. Undefined values go; fields that aren't named stay. */
export function statusPatch(
  of: Watched,
  object: Resourceful,
  wanted: Readonly<Record<string, unknown>>,
): Extract<Action, { type: 'patch' }> | undefined {
  const patch: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(wanted)) {
    const now = object.status?.[key]
    if (value === undefined ? now !== undefined : !isEqual(now, value)) patch[key] = value ?? null
  }
  if (Object.keys(patch).length === 0) return undefined
  return { type: 'patch', of, object, subresource: 'status', form: 'merge', patch: { status: patch } }
}

export interface WantedCondition {
  readonly type: string
  readonly status: boolean
  readonly reason: string
  readonly message: string
}

/** The conditions of the object with those that are wanted; others stay. A time changes when a status does. */
export function withConditions(object: Resourceful, wanted: readonly WantedCondition[], now: number): Condition[] {
  const conditions = [...(object.status?.conditions ?? [])]
  const time = new Date(now).toISOString().replace(/\.\d+Z$/, 'Z')
  for (const { type, status, reason, message } of wanted) {
    const text = status ? 'True' : 'False'
    const index = conditions.findIndex((condition) => condition.type === type)
    const known = conditions[index]
    const condition: Condition = {
      type,
      status: text,
      reason,
      message: message.slice(0, 32_000),
      lastTransitionTime: (known?.status === text && known.lastTransitionTime) || time,
      ...(object.metadata.generation !== undefined && { observedGeneration: object.metadata.generation }),
    }
    if (known === undefined) conditions.push(condition)
    else if (!isEqual(known, condition)) conditions[index] = condition
  }
  return conditions
}

/** `a, b, c and 5 more`. */
export function listed(names: readonly string[], most = 3): string {
  const shown = names.slice(0, most).join(', ')
  return names.length <= most ? shown : `${shown} and ${names.length - most} more`
}

/** `1 pod`, `2 pods`. */
export function count(number: number, word: string): string {
  return `${number} ${word}${number === 1 ? '' : 's'}`
}
