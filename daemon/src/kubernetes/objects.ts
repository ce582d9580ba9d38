/** What all objects of the Kubernetes API have in common, and where the kinds live. */

export interface Metadata {
  readonly name: string
  readonly namespace?: string
  readonly uid?: string
  readonly resourceVersion?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly creationTimestamp?: string | null
  readonly deletionTimestamp?: string | null
  readonly ownerReferences?: readonly OwnerReference[]
}

export interface OwnerReference {
  readonly apiVersion: string
  readonly kind: string
  readonly name: string
  readonly uid: string
}

/** An object as it came: only `metadata.name` is known to be there. */
export interface KubeObject {
  readonly apiVersion?: string
  readonly kind?: string
  readonly metadata: Metadata
  readonly spec?: unknown
  readonly status?: unknown
}

/** A kind and where it is served. */
export interface Resource {
  /** Empty: the core group. */
  readonly group: string
  readonly version: string
  readonly plural: string
}

/** What people call a kind: `virtualnetworks.vrouter.dev`. */
export function resourceName({ group, plural }: Resource): string {
  return group === '' ? plural : `${plural}.${group}`
}

/** Path of one object, of all of a namespace, or of all there are; `subresource`: `status`. */
export function pathOf(
  { group, version, plural }: Resource,
  {
    namespace,
    name,
    subresource,
  }: { readonly namespace?: string; readonly name?: string; readonly subresource?: string } = {},
): string {
  const parts = group === '' ? ['api', version] : ['apis', group, version]
  if (namespace !== undefined) parts.push('namespaces', namespace)
  parts.push(plural)
  if (name !== undefined) parts.push(name)
  if (subresource !== undefined) parts.push(subresource)
  return `/${parts.map(encodeURIComponent).join('/')}`
}

export function isKubeObject(value: unknown): value is KubeObject {
  const name = (value as { readonly metadata?: { readonly name?: unknown } } | null | undefined)?.metadata?.name
  return typeof name === 'string' && name !== ''
}

/** `<namespace>/<name>`, or the name of what has no namespace. */
export function keyOf({ metadata: { namespace, name } }: KubeObject): string {
  return namespace === undefined ? name : `${namespace}/${name}`
}

/**
 * Whether version `a` is older than `b` of the same resource. Versions are whole numbers that grow (Kubernetes 1.35 promises what has
 * always been so); what isn't one is older than nothing.
 */
export function isOlder(a: string | undefined, b: string | undefined): boolean {
  if (a === undefined || b === undefined || !/^\d+$/.test(a) || !/^\d+$/.test(b)) return false
  return a.length === b.length ? a < b : a.length < b.length
}
