/**
 * A real kube-apiserver with etcd for tests, on the loopback of a network namespace of its own. While it stands, the main thread of the
 * test process is inside that namespace, so requests and child processes reach the server without more ado.
 */
import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { CLONE_NEWNET, setns } from '@kube-vrouter/linux/ffi'
import { NetworkNamespace } from '@kube-vrouter/linux/namespace'
import { PATIENCE_MS, until } from '../patience.ts'
import { skipBecause } from '../skip.ts'

const HYPERKUBE = process.env['HYPERKUBE'] ?? join(homedir(), '.cache/kube-vrouter/bin/hyperkube')
const ADDRESS = '10.255.0.1'

export const CRDS = resolve(import.meta.dirname, '../../charts/kube-vrouter/files/crds')

export interface Outcome {
  readonly status: number
  readonly stdout: string
  readonly stderr: string
}

/** For a `before` hook: skips the suite, with the reason in its title, where the server can't run. */
export function skipWithoutApiServer(context: Mocha.Context): void {
  const why =
    process.getuid?.() !== 0
      ? 'not root'
      : existsSync(HYPERKUBE)
        ? undefined
        : `no ${HYPERKUBE}: hack/kubelab builds it`
  skipBecause(context, why)
}

export class ApiServer implements AsyncDisposable {
  readonly folder: string
  readonly #home: NetworkNamespace
  readonly #namespace: NetworkNamespace
  readonly #tokens: Readonly<Record<string, string>>
  #etcd: ChildProcess | undefined
  #server: ChildProcess | undefined

  private constructor(tokens: Readonly<Record<string, string>>) {
    this.folder = mkdtempSync(join(tmpdir(), 'kv-api-'))
    this.#home = NetworkNamespace.current()
    this.#namespace = NetworkNamespace.create()
    this.#tokens = tokens
  }

  /** `users`: names of service accounts (`namespace:name`) that get a kubeconfig besides `admin`. */
  static async start(users: readonly string[] = []): Promise<ApiServer> {
    const server = new ApiServer(Object.fromEntries(['admin', ...users].map((user) => [user, `token-of-${user}`])))
    try {
      setns(server.#namespace.fd, CLONE_NEWNET)
      execFileSync('ip', ['link', 'set', 'lo', 'up'])
      execFileSync('ip', ['address', 'add', `${ADDRESS}/32`, 'dev', 'lo'])
      server.#writeFiles()
      server.#etcd = server.#spawn('etcd', [
        `--data-dir=${server.folder}/etcd`,
        '--unsafe-no-fsync',
        '--listen-client-urls=http://127.0.0.1:2379',
        '--advertise-client-urls=http://127.0.0.1:2379',
        '--listen-peer-urls=http://127.0.0.1:2380',
        '--log-level=warn',
      ])
      await server.serve()
      return server
    } catch (error) {
      await server[Symbol.asyncDispose]()
      throw error
    }
  }

  /** Path of the kubeconfig of a user. */
  kubeconfig(user = 'admin'): string {
    return join(this.folder, `${user.replaceAll(':', '-')}.kubeconfig`)
  }

  #writeFiles(): void {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    writeFileSync(join(this.folder, 'sa.key'), privateKey.export({ type: 'pkcs1', format: 'pem' }))
    const lines = Object.entries(this.#tokens).map(([user, token]) => {
      if (user === 'admin') return `${token},admin,admin,"system:masters"`
      return `${token},system:serviceaccount:${user},${user},"system:serviceaccounts"`
    })
    writeFileSync(join(this.folder, 'tokens.csv'), `${lines.join('\n')}\n`)
    for (const [user, token] of Object.entries(this.#tokens)) {
      const config = {
        apiVersion: 'v1',
        kind: 'Config',
        clusters: [
          {
            name: 'test',
            cluster: {
              server: `https://${ADDRESS}:6443`,
              'certificate-authority': join(this.folder, 'pki/apiserver.crt'),
            },
          },
        ],
        users: [{ name: 'me', user: { token } }],
        contexts: [{ name: 'test', context: { cluster: 'test', user: 'me' } }],
        'current-context': 'test',
      }
      writeFileSync(this.kubeconfig(user), JSON.stringify(config))
    }
  }

  #spawn(part: string, args: readonly string[]): ChildProcess {
    const log = openSync(join(this.folder, `${part}.log`), 'a')
    try {
      return spawn(HYPERKUBE, [part, ...args], { stdio: ['ignore', log, log] })
    } finally {
      closeSync(log)
    }
  }

  /** Starts the API server (again). */
  async serve(): Promise<void> {
    const { folder } = this
    this.#server = this.#spawn('kube-apiserver', [
      '--etcd-servers=http://127.0.0.1:2379',
      `--advertise-address=${ADDRESS}`,
      `--bind-address=${ADDRESS}`,
      '--secure-port=6443',
      `--cert-dir=${folder}/pki`,
      `--token-auth-file=${folder}/tokens.csv`,
      '--service-account-issuer=https://kubernetes.default.svc',
      `--service-account-key-file=${folder}/sa.key`,
      `--service-account-signing-key-file=${folder}/sa.key`,
      '--service-cluster-ip-range=10.96.0.0/16',
      '--authorization-mode=RBAC',
      '--allow-privileged=true',
      '--disable-admission-plugins=ServiceAccount',
      '--max-requests-inflight=2000',
      '--max-mutating-requests-inflight=1000',
      '--profiling=false',
    ])
    const end = Date.now() + 60_000
    for (;;) {
      const { status } = await this.kubectl(['get', '--raw', '/readyz'])
      if (status === 0) return
      if (this.#server.exitCode !== null || Date.now() > end) {
        const log = readFileSync(join(folder, 'kube-apiserver.log'), 'utf8').slice(-3000)
        throw new Error(`kube-apiserver isn't ready: ${log}`)
      }
      await sleep(200)
    }
  }

  /** Takes the API server away; what it stores stays. */
  async silence(): Promise<void> {
    await end(this.#server)
    this.#server = undefined
  }

  kubectl(args: readonly string[], options: { input?: string; user?: string } = {}): Promise<Outcome> {
    return new Promise((settle) => {
      const child = execFile(
        HYPERKUBE,
        ['kubectl', `--kubeconfig=${this.kubeconfig(options.user)}`, `--cache-dir=${this.folder}/cache`, ...args],
        { maxBuffer: 1 << 28 },
        (error, stdout, stderr) => {
          const status = error === null ? 0 : typeof error.code === 'number' ? error.code : 1
          settle({ status, stdout, stderr })
        },
      )
      child.stdin!.on('error', () => {})
      child.stdin!.end(options.input ?? '')
    })
  }

  /** As `kubectl`; a failure is an error. Returns what it printed. */
  async run(args: readonly string[], options: { input?: string; user?: string } = {}): Promise<string> {
    const { status, stdout, stderr } = await this.kubectl(args, options)
    if (status !== 0) throw new Error(`kubectl ${args.join(' ')}: ${stderr}${stdout}`)
    return stdout
  }

  /** Applies objects; a failure is an error. */
  async apply(...objects: readonly object[]): Promise<void> {
    const input = JSON.stringify({ apiVersion: 'v1', kind: 'List', items: objects })
    await this.run(['apply', '--server-side', '--force-conflicts', '-f', '-'], { input })
  }

  async get<T>(kind: string, name: string, namespace?: string): Promise<T> {
    const where = namespace === undefined ? [] : ['-n', namespace]
    return JSON.parse(await this.run(['get', kind, name, ...where, '-o', 'json'])) as T
  }

  async installCrds(): Promise<void> {
    await this.run(['apply', '--server-side', '-f', CRDS])
    await this.run(['wait', '--for=condition=Established', '--timeout=30s', 'crd', '--all'])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await end(this.#server)
    await end(this.#etcd)
    setns(this.#home.fd, CLONE_NEWNET)
    this.#namespace[Symbol.dispose]()
    this.#home[Symbol.dispose]()
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** Kills a child, and waits until it is gone. */
export async function end(child: ChildProcess | undefined, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
  if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
  const gone = new Promise((settle) => child.once('exit', settle))
  child.kill(signal)
  await gone
}

/** Waits until `check` returns something else than undefined or false; fails with what it said last. */
export function eventually<T>(
  what: string,
  check: () => Promise<T | undefined | false>,
  limitMs = PATIENCE_MS,
): Promise<NonNullable<Exclude<T, false>>> {
  return until(what, check, { limitMs: Math.max(limitMs, PATIENCE_MS), pollMs: 200 })
}
