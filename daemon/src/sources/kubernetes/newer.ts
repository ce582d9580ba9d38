/**
 * From objects of the API server to those of the model. Fields that a newer version wrote and we don't know are dropped, so that what we do
 * know still counts. Pure.
 */
import type { KubeObject } from '../../kubernetes/objects.ts'
import { API_VERSIONS, type Decoded, decode, type Kind, SCHEMAS } from '../objects/decode.ts'

interface JsonSchema {
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly additionalProperties?: boolean | JsonSchema
  readonly items?: JsonSchema
}

export function decodeObject(kind: Kind, object: KubeObject, cluster: string): Decoded {
  const decoded = decodeKnown(kind, object, cluster)
  if (!decoded.ok || decoded.item.kind !== 'VirtualRouter') return decoded
  const isReady = readiness(object.status)
  if (isReady === undefined) return decoded
  return { ok: true, item: { kind: 'VirtualRouter', object: { ...decoded.item.object, isReady } } }
}

/** What the controller's condition says; undefined: nothing (yet). */
function readiness(status: unknown): boolean | undefined {
  const { conditions } = (status ?? {}) as { readonly conditions?: unknown }
  if (!Array.isArray(conditions)) return undefined
  const ready = (conditions as ({ readonly type?: unknown; readonly status?: unknown } | null)[]).find(
    (condition) => condition?.type === 'Ready',
  )
  if (ready?.status === 'True') return true
  return ready?.status === 'False' ? false : undefined
}

/** Kubernetes' own, whose fields aren't all in `spec`. */
function isServiceKind(kind: Kind): boolean {
  return kind === 'Service' || kind === 'EndpointSlice' || kind === 'ServiceCIDR'
}

function decodeKnown(kind: Kind, object: KubeObject, cluster: string): Decoded {
  const { metadata, spec, status } = object
  const { name, namespace, uid, labels, annotations, deletionTimestamp = null } = metadata
  const document = isServiceKind(kind)
    ? { ...object, apiVersion: API_VERSIONS[kind], kind, metadata: { name, namespace, labels, uid } }
    : {
        apiVersion: API_VERSIONS[kind],
        kind,
        metadata:
          kind === 'Namespace'
            ? { name, labels, annotations: withoutBulk(annotations) }
            : { name, namespace, labels, ...(deletionTimestamp !== null && { deletionTimestamp }) },
        ...(kind !== 'Namespace' && { spec, ...(kind === 'VirtualNetwork' && status !== undefined && { status }) }),
      }
  const decoded = decode(document, cluster)
  if (decoded.ok || decoded.isIgnored) return decoded
  const known = withoutUnknown(SCHEMAS[kind].json as JsonSchema, document)
  return known === document ? decoded : decode(known, cluster)
}

/** The value without fields that the schema doesn't have; the same value when there are none. */
export function withoutUnknown(schema: JsonSchema, value: unknown): unknown {
  if (Array.isArray(value)) {
    const { items } = schema
    if (items === undefined) return value
    const kept = value.map((item) => withoutUnknown(items, item))
    return kept.every((item, index) => item === value[index]) ? value : kept
  }
  const { properties } = schema
  if (typeof value !== 'object' || value === null || properties === undefined) return value
  const isClosed = schema.additionalProperties === false
  const entries = Object.entries(value)
  const kept = entries
    .filter(([key]) => !isClosed || Object.hasOwn(properties, key))
    .map(
      ([key, field]) =>
        [key, Object.hasOwn(properties, key) ? withoutUnknown(properties[key]!, field) : field] as const,
    )
  const isSame = kept.length === entries.length && kept.every(([, field], index) => field === entries[index]![1])
  return isSame ? value : Object.fromEntries(kept)
}

/** What kubectl writes beside an object is as large as the object. */
export function withoutBulk(
  annotations: Readonly<Record<string, string>> | undefined,
): Readonly<Record<string, string>> | undefined {
  const key = 'kubectl.kubernetes.io/last-applied-configuration'
  if (annotations === undefined || !Object.hasOwn(annotations, key)) return annotations
  const { [key]: _, ...kept } = annotations
  return kept
}
