/**
 * The annotations and labels of namespaces and pods that mean something here, and what is found under their prefixes that can't be meant: a mistyped
 * key, a switch that is neither true nor false. What was meant to keep pods apart is never taken for nothing: whoever decides on a network asks here.
 */
import { distance, suggestion } from '../schema/suggestion.ts'

/** Annotations that name a network, best first. All take the same values. */
export const NETWORK_ANNOTATIONS = [
  'vrouter.dev/network',
  'opencontrail.org/network',
  'net.juniper.contrail.podnetwork',
] as const

/** Annotation that names a network for each interface, by the interface's name: `blue@eth1, shop/green@eth2`. */
export const NETWORKS_ANNOTATION = 'vrouter.dev/networks'

/** Annotations that ask for certain addresses, best first: `10.1.0.7` or `10.1.0.7,fd00:1::7`. */
export const ADDRESS_ANNOTATIONS = ['vrouter.dev/addresses', 'net.juniper.contrail.podnetwork.ip'] as const

/** Annotation that names addresses that a pod may use beside those of its interface: `10.1.0.100,fd00:1::100`. */
export const ALLOWED_ADDRESSES_ANNOTATION = 'vrouter.dev/allowed-addresses'

/** Annotations that ask for a certain MAC address, best first; the second holds JSON, of which `mac` is read. */
export const MAC_ANNOTATIONS = ['vrouter.dev/mac', 'net.juniper.contrail.podnetwork.cni-args'] as const

/** Annotations or labels of a namespace that give it networks of its own: `"true"` or `"false"`. */
export const ISOLATION_KEYS = [
  'vrouter.dev/isolation',
  'opencontrail.org/isolation',
  'opencontrail.kubernetes.isolated',
  'core.juniper.net/isolated-namespace',
] as const

/** Annotations of a namespace that say whether its own network has SNAT, best first: `"true"` or `"false"`. */
export const SNAT_ANNOTATIONS = ['vrouter.dev/snat', 'opencontrail.org/ip_fabric_snat'] as const

/** CN2's annotation for the same: `fabric-snat`. */
export const FORWARDING_MODE = 'core.juniper.net/forwarding-mode'

export type Texts = Readonly<Record<string, string>>

/** What there is to read of a namespace or pod. */
export interface Marked {
  readonly annotations?: Texts
  readonly labels?: Texts
}

/** What a key decides. */
type Meaning = 'network' | 'isolation' | 'snat' | 'addresses' | 'mac' | 'forwarding mode'

interface Known {
  readonly meaning: Meaning
  readonly on: readonly ('namespace' | 'pod')[]
  readonly as: readonly ('annotation' | 'label')[]
}

/** Something that can't be meant as it is written. */
export interface Slip {
  /** `annotation vrouter.dev/netwrok is not known; did you mean vrouter.dev/network?` */
  readonly message: string
  /** What it may have been meant to decide; absent: nothing that keeps pods apart. */
  readonly meaning?: 'network' | 'isolation' | 'snat'
  /** A key of Contrail that there is nothing for here. */
  readonly isForeign?: true
}

const OURS = 'vrouter.dev/'
const PREFIXES = [OURS, 'opencontrail.org/', 'opencontrail.kubernetes.', 'core.juniper.net/', 'net.juniper.contrail.']

const KNOWN: ReadonlyMap<string, Known> = new Map([
  ...entries(NETWORK_ANNOTATIONS, { meaning: 'network', on: ['namespace', 'pod'], as: ['annotation'] }),
  ...entries([NETWORKS_ANNOTATION], { meaning: 'network', on: ['namespace', 'pod'], as: ['annotation'] }),
  ...entries(ISOLATION_KEYS, { meaning: 'isolation', on: ['namespace'], as: ['annotation', 'label'] }),
  ...entries(SNAT_ANNOTATIONS, { meaning: 'snat', on: ['namespace'], as: ['annotation'] }),
  ...entries([FORWARDING_MODE], { meaning: 'forwarding mode', on: ['namespace'], as: ['annotation'] }),
  ...entries([ALLOWED_ADDRESSES_ANNOTATION], { meaning: 'addresses', on: ['pod'], as: ['annotation'] }),
  ...entries(ADDRESS_ANNOTATIONS, { meaning: 'addresses', on: ['pod'], as: ['annotation'] }),
  ...entries(MAC_ANNOTATIONS, { meaning: 'mac', on: ['pod'], as: ['annotation'] }),
])

/** Other words for a switch of ours that are too far from it to be slips of the hand. */
const SYNONYMS: readonly (readonly [RegExp, string])[] = [
  [/isolat|private/i, 'vrouter.dev/isolation'],
  [/network|^vn$|^net$/i, 'vrouter.dev/network'],
  [/snat|masquerade/i, 'vrouter.dev/snat'],
]

/** So many edits from a key of Contrail's are a slip; more are another key, which there may be. */
const CONTRAIL_EDITS = 2
const LONGEST_VALUE = 80

function entries(keys: readonly string[], known: Known): [string, Known][] {
  return keys.map((key) => [key, known])
}

/** Undefined: neither. */
export function truthOf(value: string): boolean | undefined {
  switch (value.trim().toLowerCase()) {
    case 'true':
      return true
    case 'false':
      return false
    default:
      return undefined
  }
}

/** Namespaces are looked at in every round. */
const slipsOfNamespaces = new WeakMap<Marked, readonly Slip[]>()

export function slipsOf(of: 'namespace' | 'pod', marked: Marked): readonly Slip[] {
  const before = of === 'namespace' ? slipsOfNamespaces.get(marked) : undefined
  if (before !== undefined) return before
  const { annotations = {}, labels = {} } = marked
  const slips = [...slipsAs(of, 'annotation', annotations), ...slipsAs(of, 'label', labels)]
  if (of === 'namespace') slipsOfNamespaces.set(marked, slips)
  return slips
}

function slipsAs(of: 'namespace' | 'pod', as: 'annotation' | 'label', texts: Texts): Slip[] {
  return Object.entries(texts).flatMap(([key, value]) => {
    const prefix = PREFIXES.find((prefix) => key.startsWith(prefix))
    if (prefix === undefined) return []
    const known = KNOWN.get(key)
    const slip = known === undefined ? unknownKey(prefix, key, value) : knownKey(of, as, key, value, known)
    return slip === undefined ? [] : [{ ...slip, message: `${as} ${key} ${slip.message}` }]
  })
}

function knownKey(
  of: 'namespace' | 'pod',
  as: 'annotation' | 'label',
  key: string,
  value: string,
  { meaning, on, as: places }: Known,
): Slip | undefined {
  if (!on.includes(of)) return { message: `is not read on a ${of}, but on its ${on[0]}`, ...weight(meaning, value) }
  if (!places.includes(as)) return { message: `is not read: write it as ${places[0]}`, ...weight(meaning, value) }
  const shown = JSON.stringify(value.slice(0, LONGEST_VALUE))
  switch (meaning) {
    case 'isolation':
    case 'snat':
      return truthOf(value) === undefined ? { message: `is ${shown}, neither true nor false`, meaning } : undefined
    case 'network':
      if (value.trim() !== '') return undefined
      return key.startsWith(OURS) ? { message: 'is empty', meaning } : { message: 'is empty' }
    case 'forwarding mode':
      if (value.trim().toLowerCase() === 'fabric-snat') return undefined
      return { message: `is ${shown}; known is fabric-snat alone`, isForeign: true }
    case 'addresses':
    case 'mac':
      return undefined
    default:
      return meaning satisfies never
  }
}

function unknownKey(prefix: string, key: string, value: string): Slip {
  const word = key.slice(prefix.length)
  const words = [...KNOWN.keys()].filter((known) => known.startsWith(prefix)).map((known) => known.slice(prefix.length))
  const near = suggestion(word, words)
  const meant =
    near !== undefined && (prefix === OURS || distance(word, near) <= CONTRAIL_EDITS)
      ? `${prefix}${near}`
      : prefix === OURS
        ? SYNONYMS.find(([synonym]) => synonym.test(word))?.[1]
        : undefined
  if (meant !== undefined)
    return { message: `is not known; did you mean ${meant}?`, ...weight(KNOWN.get(meant)!.meaning, value) }
  if (prefix !== OURS) return { message: 'is not known here, and does nothing', isForeign: true }
  return { message: `is not known; known are ${words.map((one) => `${prefix}${one}`).join(', ')}` }
}

/** A switch that says in so many words that it is off was meant to keep nobody apart. */
function weight(meaning: Meaning, value: string): Pick<Slip, 'meaning'> {
  switch (meaning) {
    case 'network':
      return { meaning }
    case 'isolation':
      return truthOf(value) === false ? {} : { meaning }
    case 'snat':
      return truthOf(value) === true ? {} : { meaning }
    case 'addresses':
    case 'mac':
    case 'forwarding mode':
      return {}
    default:
      return meaning satisfies never
  }
}
