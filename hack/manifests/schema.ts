/**
 * values.schema.json: what helm checks before it renders anything. Made of values.yaml (a value's type is that of its default) and of what is said
 * here of values whose default doesn't tell; `config` is the daemon's own schema. What isn't known is refused.
 */
import type { Value } from './values.ts'

type Schema = Readonly<Record<string, unknown>>

const port = { type: 'integer', minimum: 1, maximum: 65535 }
const absolutePath = { type: 'string', pattern: '^/[^\\s]*[^/\\s]$' }
const texts = { type: 'object', additionalProperties: { type: 'string' } }
const anything = { type: 'object' }
const objects = { type: 'array', items: { type: 'object' } }
const tolerations = { type: 'array', items: { type: 'object' } }
const addresses = { type: 'array', minItems: 1, items: { type: 'string', minLength: 2 } }
const priorityClass = { type: 'string' }
const serviceAccount = { type: 'string', pattern: '^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$' }

/** What the type of the default doesn't say. */
const PARTICULARS: Readonly<Record<string, Schema>> = {
  'image.repository': { type: 'string', minLength: 1 },
  'image.digest': { type: 'string', pattern: '^(sha256:[0-9a-f]{64})?$' },
  'image.pullPolicy': { enum: ['Always', 'IfNotPresent', 'Never'] },
  imagePullSecrets: {
    type: 'array',
    items: {
      type: 'object',
      required: ['name'],
      properties: { name: { type: 'string' } },
      additionalProperties: false,
    },
  },
  commonLabels: texts,
  k8sServiceHost: { type: 'string', pattern: '^[^/\\s]*$' },
  k8sServicePort: { anyOf: [port, { type: 'string', pattern: '^[0-9]{1,5}$' }] },
  'cluster.name': { type: 'string', pattern: '^[a-z0-9]([-a-z0-9]*[a-z0-9])?$' },
  'cluster.domain': { type: 'string', minLength: 1 },
  'ipam.podCIDRs': { type: 'array', maxItems: 8, items: { type: 'string', pattern: '^[0-9A-Fa-f:.]+/[0-9]{1,3}$' } },
  'underlay.interface': { type: 'string', maxLength: 15 },
  'underlay.gateway': { type: 'string', pattern: '^(auto|none|[0-9.]+)$' },
  'underlay.watchSeconds': { type: 'integer', minimum: 0, maximum: 600 },
  'snat.ports': { type: 'string', pattern: '^[0-9]{1,5}-[0-9]{1,5}$' },
  logLevel: { enum: ['trace', 'debug', 'info', 'warn', 'error'] },
  'cni.binPath': absolutePath,
  'cni.confPath': absolutePath,
  'cni.chained': { type: 'array', uniqueItems: true, items: { enum: ['portmap', 'bandwidth', 'tuning'] } },
  'cni.logFile': { type: 'string', pattern: '^(/.*)?$' },
  'paths.state': absolutePath,
  'paths.run': absolutePath,
  'paths.netns': absolutePath,
  'vrouter.podSecurityContext': anything,
  'vrouter.resources': anything,
  'vrouter.nodeSelector': texts,
  'vrouter.affinity': anything,
  'vrouter.tolerations': tolerations,
  'vrouter.priorityClassName': priorityClass,
  'vrouter.updateStrategy': {
    type: 'object',
    required: ['type'],
    properties: { type: { enum: ['RollingUpdate', 'OnDelete'] }, rollingUpdate: anything },
    additionalProperties: false,
  },
  'vrouter.terminationGracePeriodSeconds': { type: 'integer', minimum: 0, maximum: 300 },
  'vrouter.podAnnotations': texts,
  'vrouter.podLabels': texts,
  'vrouter.extraEnv': objects,
  'vrouter.extraVolumes': objects,
  'vrouter.extraVolumeMounts': objects,
  'controller.replicas': { type: 'integer', minimum: 1, maximum: 9 },
  'controller.resources': anything,
  'controller.nodeSelector': texts,
  'controller.affinity': anything,
  'controller.tolerations': tolerations,
  'controller.priorityClassName': priorityClass,
  'controller.podAnnotations': texts,
  'controller.podLabels': texts,
  'controller.extraEnv': objects,
  'controller.pdb.maxUnavailable': {
    anyOf: [
      { type: 'integer', minimum: 0 },
      { type: 'string', pattern: '^[0-9]+%$' },
    ],
  },
  'controller.health.port': port,
  'health.port': port,
  'introspect.addresses': addresses,
  'introspect.port': port,
  'metrics.addresses': addresses,
  'metrics.serviceMonitor.interval': { type: 'string', pattern: '^[0-9]+(ms|s|m|h)$' },
  'metrics.serviceMonitor.labels': texts,
  'metrics.dashboard.labels': texts,
  'serviceAccounts.vrouter': serviceAccount,
  'serviceAccounts.controller': serviceAccount,
  'serviceAccounts.cleanup': serviceAccount,
  'serviceAccounts.annotations': texts,
  'cleanup.timeoutSeconds': { type: 'integer', minimum: 10, maximum: 3600 },
}

/** `config`: the schema of the daemon's configuration. Throws when a particular is about no value. */
export function valuesSchema(values: readonly Value[], config: Schema): Schema {
  const known = new Set(values.map(({ path }) => path))
  const stray = Object.keys(PARTICULARS).find((path) => !known.has(path))
  if (stray !== undefined) throw new Error(`hack/manifests/schema.ts tells of ${stray}, which values.yaml doesn't have`)
  const root = section()
  for (const { path, description, fallback } of values) {
    const names = path.split('.')
    const last = names.pop()!
    let at = root
    for (const name of names) {
      at.properties[name] ??= section()
      at = at.properties[name] as Section
    }
    const schema = path === 'config' ? withoutDefaults(config) : (PARTICULARS[path] ?? typeOf(path, fallback))
    at.properties[last] = { description, ...schema }
  }
  // helm adds this one by itself, for subcharts.
  root.properties['global'] = anything
  return { $schema: 'http://json-schema.org/draft-07/schema#', title: 'Values of the chart kube-vrouter', ...root }
}

interface Section extends Record<string, unknown> {
  readonly properties: Record<string, unknown>
}

function section(): Section {
  return { type: 'object', additionalProperties: false, properties: {} }
}

function typeOf(path: string, fallback: unknown): Schema {
  switch (typeof fallback) {
    case 'string':
    case 'boolean':
      return { type: typeof fallback }
    default:
      throw new Error(`hack/manifests/schema.ts must say what ${path} may be`)
  }
}

/** Formats and keywords of our own mean nothing to helm; the daemon checks those. */
const OURS = new Set(['$schema', '$id', 'title', 'default', 'format', 'disjoint'])

function withoutDefaults(schema: unknown): Schema {
  const strip = (node: unknown, isName: boolean): unknown => {
    if (Array.isArray(node)) return node.map((item) => strip(item, false))
    if (typeof node !== 'object' || node === null) return node
    return Object.fromEntries(
      Object.entries(node)
        .filter(([key]) => isName || !OURS.has(key))
        .map(([key, value]) => [key, strip(value, !isName && key === 'properties')]),
    )
  }
  const { description: _, ...rest } = strip(schema, false) as Record<string, unknown>
  return rest
}
