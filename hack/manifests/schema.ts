/**
 * values.schema.json: what helm checks before it renders anything. Made of values.yaml (a value's type is that of its default) and of what is said
 * here of values whose default doesn't tell; `config` is the daemon's own schema. What isn't known is refused.
 */
import type { Value } from './values.ts'

type Schema = Readonly<Record<string, unknown>>

/** Go's regular expressions, which have no way to look ahead. What only comparing tells is in the chart's templates (_checks.tpl). */
const PORT = '([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])'
const OCTET = '(25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])'
const IPV4 = `${OCTET}(\\.${OCTET}){3}`
/** About an IPv6 address: the templates count its groups. */
const IPV6 = '[0-9A-Fa-f:]*:[0-9A-Fa-f:]*'
const LABEL_OF_NAME = '[a-z0-9]([-a-z0-9]*[a-z0-9])?'
/** Of host names the last label isn't a number: addresses are. */
const HOST = `([A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?\\.)*[0-9]*[A-Za-z]([-A-Za-z0-9]*[A-Za-z0-9])?`

const address = { type: 'string', pattern: `^(${IPV4}|${IPV6})$` }
const ipv4 = { type: 'string', pattern: `^${IPV4}$` }
const podSubnet = {
  type: 'string',
  pattern: `^(${IPV4}/([1-9]|[12][0-9])|${IPV6}/([1-9]|[1-9][0-9]|1[01][0-9]|12[0-5]))$`,
}
const portRange = { type: 'string', pattern: `^${PORT}-${PORT}$` }
const dnsLabel = { type: 'string', pattern: `^${LABEL_OF_NAME}$`, maxLength: 63 }
const dnsName = { type: 'string', pattern: `^${LABEL_OF_NAME}(\\.${LABEL_OF_NAME})*$`, maxLength: 253 }
const dnsNameOrNone = { type: 'string', pattern: `^(${LABEL_OF_NAME}(\\.${LABEL_OF_NAME})*)?$`, maxLength: 253 }
const gateway = { type: 'string', pattern: `^(auto|none|${IPV4})$` }
const device = { type: 'string', pattern: '^[^\\s/:]{0,15}$' }

const port = { type: 'integer', minimum: 1, maximum: 65535 }
const absolutePath = { type: 'string', pattern: '^/[^\\s]*[^/\\s]$' }
const labelKey = { pattern: `^(${LABEL_OF_NAME}(\\.${LABEL_OF_NAME})*/)?[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$` }
const labels = {
  type: 'object',
  propertyNames: labelKey,
  additionalProperties: { type: 'string', pattern: '^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$', maxLength: 63 },
}
const annotations = { type: 'object', propertyNames: labelKey, additionalProperties: { type: 'string' } }
const anything = { type: 'object' }
const objects = { type: 'array', items: { type: 'object' } }
const tolerations = { type: 'array', items: { type: 'object' } }
const addresses = { type: 'array', minItems: 1, items: address }
const priorityClass = dnsNameOrNone
const serviceAccount = dnsName

/** What the type of the default doesn't say. */
const PARTICULARS: Readonly<Record<string, Schema>> = {
  'image.repository': {
    type: 'string',
    pattern: '^((\\[[0-9A-Fa-f:]+\\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?/)?[a-z0-9]([a-z0-9._/-]*[a-z0-9])?$',
  },
  'image.tag': { type: 'string', pattern: '^([A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?$' },
  'image.digest': { type: 'string', pattern: '^(sha256:[0-9a-f]{64})?$' },
  'image.pullPolicy': { enum: ['Always', 'IfNotPresent', 'Never'] },
  imagePullSecrets: {
    type: 'array',
    items: {
      type: 'object',
      required: ['name'],
      properties: { name: dnsName },
      additionalProperties: false,
    },
  },
  commonLabels: labels,
  k8sServiceHost: { type: 'string', pattern: `^(${IPV4}|${HOST}|${IPV6}|\\[${IPV6}\\])?$` },
  k8sServicePort: { anyOf: [port, { type: 'string', pattern: `^${PORT}$` }] },
  'cluster.name': dnsLabel,
  'cluster.domain': dnsName,
  'ipam.podCIDRs': { type: 'array', maxItems: 8, items: podSubnet },
  'underlay.interface': device,
  'underlay.gateway': gateway,
  'underlay.watchSeconds': { type: 'integer', minimum: 0, maximum: 600 },
  'snat.ports': portRange,
  'services.clusterIPRanges': { type: 'array', maxItems: 8, items: podSubnet },
  'tunnels.peers': { type: 'array', uniqueItems: true, items: ipv4 },
  logLevel: { enum: ['trace', 'debug', 'info', 'warn', 'error'] },
  'cni.binPath': absolutePath,
  'cni.confPath': absolutePath,
  'cni.chained': { type: 'array', uniqueItems: true, items: { enum: ['portmap', 'bandwidth', 'tuning'] } },
  'cni.logFile': { type: 'string', pattern: '^(/[^\\s]*[^/\\s])?$' },
  'paths.state': absolutePath,
  'paths.run': absolutePath,
  'paths.netns': absolutePath,
  'vrouter.podSecurityContext': anything,
  'vrouter.resources': anything,
  'vrouter.nodeSelector': labels,
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
  'vrouter.podAnnotations': annotations,
  'vrouter.podLabels': labels,
  'vrouter.extraEnv': objects,
  'vrouter.extraVolumes': objects,
  'vrouter.extraVolumeMounts': objects,
  'controller.replicas': { type: 'integer', minimum: 1, maximum: 9 },
  'controller.resources': anything,
  'controller.nodeSelector': labels,
  'controller.affinity': anything,
  'controller.tolerations': tolerations,
  'controller.priorityClassName': priorityClass,
  'controller.podAnnotations': annotations,
  'controller.podLabels': labels,
  'controller.extraEnv': objects,
  'controller.pdb.maxUnavailable': {
    anyOf: [
      { type: 'integer', minimum: 0 },
      { type: 'string', pattern: '^([0-9]{1,2}|100)%$' },
    ],
  },
  'controller.health.port': port,
  'health.port': port,
  'introspect.addresses': addresses,
  'introspect.port': port,
  'metrics.addresses': addresses,
  'metrics.serviceMonitor.interval': { type: 'string', pattern: '^([1-9][0-9]*(ms|s|m|h|d|w))+$' },
  'metrics.serviceMonitor.labels': labels,
  'metrics.dashboard.labels': labels,
  'serviceAccounts.vrouter': serviceAccount,
  'serviceAccounts.controller': serviceAccount,
  'serviceAccounts.cleanup': serviceAccount,
  'serviceAccounts.annotations': annotations,
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

/** What the daemon's formats are for helm, which knows none of ours. */
const FORMATS: Readonly<Record<string, Schema>> = {
  ip: address,
  ipv4,
  'pod-subnet': podSubnet,
  cidr: podSubnet,
  'dns-label': dnsLabel,
  'dns-name': dnsName,
  'port-range': portRange,
  'gateway-to-watch': gateway,
  device,
}

/** Keywords that mean nothing to helm; what they say is in the templates, or is the daemon's own business. */
const OURS = new Set(['$schema', '$id', 'title', 'default', 'format', 'disjoint'])

function withoutDefaults(schema: unknown): Schema {
  const strip = (node: unknown, isName: boolean): unknown => {
    if (Array.isArray(node)) return node.map((item) => strip(item, false))
    if (typeof node !== 'object' || node === null) return node
    const { format } = node as { readonly format?: unknown }
    const pattern = !isName && typeof format === 'string' ? FORMATS[format] : {}
    if (pattern === undefined) throw new Error(`hack/manifests/schema.ts must say what the format ${format} is`)
    const rest = Object.entries(node)
      .filter(([key]) => isName || !OURS.has(key))
      .map(([key, value]) => [key, strip(value, !isName && key === 'properties')])
    return { ...Object.fromEntries(rest), ...pattern }
  }
  const { description: _, ...rest } = strip(schema, false) as Record<string, unknown>
  return rest
}
