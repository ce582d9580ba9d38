/** What can be set: the keys that the controller shares with the daemons' configuration, and its own, from the environment alone. */
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import type { Config } from '../config/config.ts'
import { ConfigError, type ConfigIssue } from '../config/load.ts'

export interface ControllerOptions {
  readonly lease: {
    readonly namespace: string
    readonly name: string
    readonly identity: string
    /** How long others wait for a leader that is silent, milliseconds; it stops writing after two thirds of it. */
    readonly durationMs: number
  }
  readonly agents: { readonly namespace: string; readonly selector: string }
  readonly health: { readonly addresses: readonly string[]; readonly port: number }
  readonly agentGraceMs: number
  readonly goneMs: number
  readonly patienceMs: number
  readonly usageMs: number
}

const NAMESPACE_FILE = '/var/run/secrets/kubernetes.io/serviceaccount/namespace'

interface Key {
  readonly name: string
  readonly fallback: string
  readonly meaning: string
}

const PREFIX = 'VROUTER_CONTROLLER_'

const KEYS = {
  leaseNamespace: {
    name: 'LEASE_NAMESPACE',
    fallback: '',
    meaning: "Namespace of the lease; default: the pod's, else kube-vrouter.",
  },
  leaseName: { name: 'LEASE_NAME', fallback: 'vrouter-controller', meaning: 'Lease that says which replica leads.' },
  leaseSeconds: {
    name: 'LEASE_SECONDS',
    fallback: '15',
    meaning: 'How long the others wait for a leader that is silent.',
  },
  identity: {
    name: 'IDENTITY',
    fallback: '',
    meaning: 'Name of this replica in the lease; default: the host name and a random part.',
  },
  agentNamespace: {
    name: 'AGENT_NAMESPACE',
    fallback: '',
    meaning: 'Namespace of the vRouter daemons; default: that of the lease.',
  },
  agentSelector: {
    name: 'AGENT_SELECTOR',
    fallback: 'app.kubernetes.io/name=kube-vrouter,app.kubernetes.io/component=vrouter',
    meaning: 'Labels of the vRouter daemons.',
  },
  healthAddresses: {
    name: 'HEALTH_ADDRESSES',
    fallback: '0.0.0.0',
    meaning: 'Addresses of /healthz, /readyz, /metrics, separated by commas.',
  },
  healthPort: { name: 'HEALTH_PORT', fallback: '8087', meaning: 'TCP port of it. 0: not served.' },
  agentGraceSeconds: {
    name: 'AGENT_GRACE_SECONDS',
    fallback: '60',
    meaning: 'How long a node may be without a ready daemon before it gets no new pods.',
  },
  goneSeconds: {
    name: 'GONE_SECONDS',
    fallback: '60',
    meaning: 'How long a node or pod must be gone before its objects are removed.',
  },
  patienceSeconds: {
    name: 'PATIENCE_SECONDS',
    fallback: '10',
    meaning: 'How long a conflict must last before it is reported.',
  },
  usageSeconds: {
    name: 'USAGE_SECONDS',
    fallback: '30',
    meaning: 'How often the numbers of use of a network are written, at most.',
  },
} as const satisfies Readonly<Record<string, Key>>

/** Throws ConfigError, with all mistakes. */
export function readOptions(env: Readonly<Record<string, string | undefined>> = process.env): ControllerOptions {
  const issues: ConfigIssue[] = []
  const known = new Set<string>(Object.values(KEYS).map(({ name }) => PREFIX + name))
  for (const name of Object.keys(env)) {
    if (!name.startsWith(PREFIX) || known.has(name)) continue
    issues.push({ from: name, key: '', message: `is not known; see vrouter-controller --help` })
  }
  const text = ({ name, fallback }: Key) => env[PREFIX + name]?.trim() || fallback
  const number = (key: Key, min: number, max: number) => {
    const value = Number(text(key))
    if (!Number.isInteger(value) || value < min || value > max) {
      issues.push({
        from: PREFIX + key.name,
        key: '',
        value: text(key),
        message: `must be a whole number, ${min} to ${max}`,
      })
    }
    return value
  }
  const namespace = text(KEYS.leaseNamespace) || ownNamespace()
  const options: ControllerOptions = {
    lease: {
      namespace,
      name: text(KEYS.leaseName),
      identity: text(KEYS.identity) || `${hostname()}_${randomBytes(4).toString('hex')}`,
      durationMs: number(KEYS.leaseSeconds, 3, 600) * 1000,
    },
    agents: { namespace: text(KEYS.agentNamespace) || namespace, selector: text(KEYS.agentSelector) },
    health: {
      addresses: text(KEYS.healthAddresses)
        .split(',')
        .map((part) => part.trim()),
      port: number(KEYS.healthPort, 0, 65535),
    },
    agentGraceMs: number(KEYS.agentGraceSeconds, 1, 3600) * 1000,
    goneMs: number(KEYS.goneSeconds, 1, 86_400) * 1000,
    patienceMs: number(KEYS.patienceSeconds, 0, 3600) * 1000,
    usageMs: number(KEYS.usageSeconds, 0, 3600) * 1000,
  }
  if (issues.length > 0) throw new ConfigError(issues)
  return options
}

function ownNamespace(): string {
  try {
    return readFileSync(NAMESPACE_FILE, 'utf8').trim() || 'kube-vrouter'
  } catch {
    return 'kube-vrouter'
  }
}

/** Keys of the daemons' configuration that the controller reads. */
const SHARED: readonly (readonly [keyof Config, string, string])[] = [
  ['cluster', 'VROUTER_CLUSTER_NAME', 'cluster.name: prefix of all projects and built-in networks.'],
  ['defaultNetwork', 'VROUTER_DEFAULT_NETWORK_SUBNETS', 'defaultNetwork.subnets: must be those of the daemons.'],
  ['source', 'VROUTER_SOURCE_KUBECONFIG', "source.kubeconfig: default: the pod's service account."],
  [
    'source',
    'VROUTER_SOURCE_SERVER',
    'source.server: URL of the API server; default: as kubeconfig or environment say.',
  ],
  ['log', 'VROUTER_LOG_LEVEL', 'log.level: trace, debug, info, warn or error.'],
]

export function describeOptions(): string {
  const own = Object.values(KEYS).map(({ name, fallback, meaning }) => {
    return `  ${PREFIX}${name}${fallback === '' ? '' : ` [${fallback}]`}\n      ${meaning}`
  })
  const shared = SHARED.map(([, name, meaning]) => `  ${name}\n      ${meaning}`)
  return `Environment, with defaults:\n${own.join('\n')}\n\nShared with the daemons (environment, or the file of --config):\n${shared.join('\n')}\n`
}
