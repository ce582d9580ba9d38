/** Controllers as processes, with the rights of rbac.md and nothing else. */
import { type ChildProcess, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parse } from 'yaml'
import { type ApiServer, end } from './api-server.ts'

const repository = resolve(import.meta.dirname, '../..')
export const NAMESPACE = 'kube-vrouter'
export const ACCOUNT = 'kube-vrouter:vrouter-controller'

interface Rbac {
  readonly kind: 'ClusterRole' | 'Role'
  readonly metadata: { readonly name: string }
}

/** Namespace, CRDs, and the rights that rbac.md says. */
export async function prepare(api: ApiServer): Promise<void> {
  await api.installCrds()
  await api.run(['create', 'namespace', NAMESPACE])
  const text = readFileSync(join(repository, 'daemon/src/controller/rbac.md'), 'utf8')
  const [cluster, own, home] = [...text.matchAll(/```yaml\n([\s\S]*?)```/g)].map((match) => parse(match[1]!) as Rbac)
  const objects = [
    { role: cluster!, where: {} },
    { role: own!, where: { namespace: NAMESPACE } },
    { role: home!, where: { namespace: 'default' } },
  ].flatMap(({ role, where }) => {
    const metadata = { ...role.metadata, ...where }
    const binding = {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: `${role.kind}Binding`,
      metadata,
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: role.kind, name: role.metadata.name },
      subjects: [{ kind: 'ServiceAccount', name: 'vrouter-controller', namespace: NAMESPACE }],
    }
    return [{ ...role, metadata }, binding]
  })
  await api.apply(...objects)
}

export interface Line {
  readonly level: string
  readonly msg: string
  readonly component?: string
}

/** One replica. */
export class ControllerProcess implements AsyncDisposable {
  readonly identity: string
  readonly port: number
  readonly lines: Line[] = []
  readonly child: ChildProcess
  #rest = ''

  constructor(api: ApiServer, identity: string, port: number, env: Readonly<Record<string, string>> = {}) {
    this.identity = identity
    this.port = port
    this.child = spawn(process.execPath, [join(repository, 'daemon/src/controller/main.ts')], {
      stdio: ['ignore', 'pipe', 'inherit'],
      env: {
        PATH: process.env['PATH'],
        NODE_OPTIONS: '--disable-warning=ExperimentalWarning',
        VROUTER_LOG_LEVEL: 'info',
        VROUTER_DEFAULT_NETWORK_SUBNETS: '10.244.0.0/16',
        VROUTER_SOURCE_KUBECONFIG: api.kubeconfig(ACCOUNT),
        VROUTER_CONTROLLER_IDENTITY: identity,
        VROUTER_CONTROLLER_HEALTH_ADDRESSES: '127.0.0.1',
        VROUTER_CONTROLLER_HEALTH_PORT: String(port),
        VROUTER_CONTROLLER_LEASE_SECONDS: '3',
        VROUTER_CONTROLLER_GONE_SECONDS: '3',
        VROUTER_CONTROLLER_AGENT_GRACE_SECONDS: '2',
        VROUTER_CONTROLLER_PATIENCE_SECONDS: '1',
        VROUTER_CONTROLLER_USAGE_SECONDS: '1',
        ...env,
      },
    })
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      const lines = (this.#rest + text).split('\n')
      this.#rest = lines.pop()!
      for (const line of lines) this.lines.push(JSON.parse(line) as Line)
    })
  }

  async get(path: string): Promise<{ readonly status: number; readonly text: string }> {
    const response = await fetch(`http://127.0.0.1:${this.port}${path}`, { headers: { connection: 'close' } })
    return { status: response.status, text: await response.text() }
  }

  /** Value of a metric without labels, or with these. */
  async metric(name: string): Promise<number> {
    const { text } = await this.get('/metrics')
    const line = text.split('\n').find((one) => one.startsWith(`${name} `))
    return Number(line?.split(' ')[1] ?? Number.NaN)
  }

  get isRunning(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null
  }

  /** What it complained of. */
  get complaints(): string[] {
    return this.lines.filter(({ level }) => level === 'error' || level === 'fatal').map(({ msg }) => msg)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await end(this.child, 'SIGTERM')
  }
}
