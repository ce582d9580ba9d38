/**
 * How the API server is reached and who we are: from a kubeconfig file, or from the service account of the pod. Files are read again
 * when they are used and a second has passed: kubelet renews tokens and CAs while we run. What can't be read then stays as it was.
 */
import { isDeepStrictEqual } from 'node:util'
import { type Access, parseServer, read } from './access.ts'
import { ApiError } from './errors.ts'
import { readKubeconfig } from './kubeconfig.ts'

export interface CredentialsOptions {
  /** Path of a kubeconfig file; empty: the service account. */
  readonly kubeconfig: string
  /** URL of the API server; empty: as the kubeconfig or the environment says. */
  readonly server: string
  readonly environment?: Readonly<Record<string, string | undefined>>
  /** Where kubelet puts token and CA. */
  readonly serviceAccount?: string
}

const SERVICE_ACCOUNT = '/var/run/secrets/kubernetes.io/serviceaccount'
const FRESH_MS = 1000

export class Credentials {
  readonly #options: CredentialsOptions
  #access: Access | undefined
  #readAt = 0

  /** Reads nothing yet. */
  constructor(options: CredentialsOptions) {
    this.#options = options
  }

  /** As the files say now; the same object as long as they say the same. Throws CREDENTIALS_UNUSABLE only when they never were usable. */
  current(): Access {
    if (this.#access === undefined || performance.now() - this.#readAt > FRESH_MS) this.reread()
    return this.#access!
  }

  /** Reads the files now; whether they say something new. */
  reread(): boolean {
    const before = this.#access
    try {
      const access = this.#read()
      this.#readAt = performance.now()
      if (isDeepStrictEqual(access, before)) return false
      this.#access = access
      return true
    } catch (error) {
      this.#readAt = performance.now()
      if (before === undefined) throw error
      return false
    }
  }

  #read(): Access {
    const { kubeconfig, server } = this.#options
    const access = kubeconfig === '' ? this.#readServiceAccount() : readKubeconfig(kubeconfig)
    return server === '' ? access : { ...access, server: parseServer(server, 'source.server') }
  }

  #readServiceAccount(): Access {
    const { environment = process.env, serviceAccount = SERVICE_ACCOUNT, server } = this.#options
    const { KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port = '443' } = environment
    if (host === undefined && server === '') {
      throw new ApiError(
        'CREDENTIALS_UNUSABLE',
        'there is neither a kubeconfig nor KUBERNETES_SERVICE_HOST: the address of the API server is not known',
      )
    }
    const token = read(`${serviceAccount}/token`).trim()
    const address = server !== '' ? server : `https://${host!.includes(':') ? `[${host}]` : host}:${port}`
    return {
      server: parseServer(address, server !== '' ? 'source.server' : 'KUBERNETES_SERVICE_HOST'),
      ca: read(`${serviceAccount}/ca.crt`),
      authorization: `Bearer ${token}`,
    }
  }
}
