/**
 * Reads a kubeconfig: cluster and user of its current context. Tokens, token files, client certificates and passwords are understood;
 * credential programs (`exec`) and the old auth providers are not: a daemon has an account of its own.
 */
import { dirname, resolve } from 'node:path'
import { parse } from 'yaml'
import { type Access, parseServer, read } from './access.ts'
import { ApiError } from './errors.ts'

interface Kubeconfig {
  readonly 'current-context'?: string
  readonly contexts?: readonly {
    readonly name: string
    readonly context?: { readonly cluster?: string; readonly user?: string }
  }[]
  readonly clusters?: readonly { readonly name: string; readonly cluster?: Cluster }[]
  readonly users?: readonly { readonly name: string; readonly user?: User }[]
}

interface Cluster {
  readonly server?: string
  readonly 'certificate-authority'?: string
  readonly 'certificate-authority-data'?: string
  readonly 'insecure-skip-tls-verify'?: boolean
  readonly 'tls-server-name'?: string
}

interface User {
  readonly token?: string
  readonly tokenFile?: string
  readonly 'client-certificate'?: string
  readonly 'client-certificate-data'?: string
  readonly 'client-key'?: string
  readonly 'client-key-data'?: string
  readonly username?: string
  readonly password?: string
  readonly exec?: unknown
  readonly 'auth-provider'?: unknown
}

/** Throws CREDENTIALS_UNUSABLE. Paths in the file are relative to its folder. */
export function readKubeconfig(path: string): Access {
  const bad = (message: string, cause?: unknown) =>
    new ApiError('CREDENTIALS_UNUSABLE', `kubeconfig ${path}: ${message}`, { cause })
  const text = read(path)
  let config: Kubeconfig | null
  try {
    config = parse(text) as Kubeconfig | null
  } catch (error) {
    throw bad(`is not YAML: ${(error as Error).message.split('\n')[0]}`, error)
  }
  const name = config?.['current-context']
  const context = config?.contexts?.find((one) => one.name === name)?.context
  if (context === undefined) throw bad(`has no context ${JSON.stringify(name ?? '')} (current-context)`)
  const cluster = config?.clusters?.find((one) => one.name === context.cluster)?.cluster
  if (cluster?.server === undefined) throw bad(`has no cluster ${JSON.stringify(context.cluster ?? '')} with a server`)
  const user = config?.users?.find((one) => one.name === context.user)?.user ?? {}
  if (user.exec !== undefined || user['auth-provider'] !== undefined) {
    throw bad(
      `user ${JSON.stringify(context.user)} logs in by a program, which is not supported: use a token or a certificate`,
    )
  }

  const contents = (data: string | undefined, file: string | undefined) => {
    if (data !== undefined) return Buffer.from(data, 'base64').toString('utf8')
    return file === undefined ? undefined : read(resolve(dirname(path), file))
  }
  const authorization = () => {
    const token = user.tokenFile !== undefined ? contents(undefined, user.tokenFile)!.trim() : user.token
    if (token !== undefined && token !== '') return `Bearer ${token}`
    if (user.username === undefined) return undefined
    return `Basic ${Buffer.from(`${user.username}:${user.password ?? ''}`).toString('base64')}`
  }
  return {
    server: parseServer(cluster.server, `kubeconfig ${path}`),
    serverName: cluster['tls-server-name'],
    isInsecure: cluster['insecure-skip-tls-verify'],
    ca: contents(cluster['certificate-authority-data'], cluster['certificate-authority']),
    certificate: contents(user['client-certificate-data'], user['client-certificate']),
    key: contents(user['client-key-data'], user['client-key']),
    authorization: authorization(),
  }
}
