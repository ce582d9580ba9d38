/**
 * Which API server to speak to. The bootstrap address may be a load balancer or a ClusterIP that is our own job to make work, so the
 * addresses of the API servers themselves (EndpointSlices of `default/kubernetes`) come first once they are known, and are remembered on
 * disk. An address that failed is tried last for a while.
 */
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Access } from './access.ts'

export interface Endpoint {
  readonly protocol: 'http:' | 'https:'
  /** Name or address, IPv6 without brackets. */
  readonly host: string
  readonly port: number
  /** Put before every path; empty, or `/k8s/clusters/a`. */
  readonly prefix: string
  /** Name that the certificate must have; undefined: `host`. */
  readonly serverName: string | undefined
}

export interface EndpointAddress {
  readonly host: string
  readonly port: number
}

/** A name in the certificate of every API server. */
const SERVER_NAME = 'kubernetes.default.svc'
/** How long an address that failed is avoided, milliseconds. */
const AVOID_MS = 30_000
const VERSION = 1

export class Endpoints {
  readonly #file: string | undefined
  #addresses: readonly EndpointAddress[]
  /** By `host:port`: when it failed. */
  readonly #failed = new Map<string, number>()

  /** `file`: keeps what was found over restarts. */
  constructor(file?: string) {
    this.#file = file
    this.#addresses = shuffle(this.#load())
  }

  /** In the order in which they are to be tried. */
  all({ server, serverName }: Access): Endpoint[] {
    const bootstrap: Endpoint = {
      protocol: server.protocol as Endpoint['protocol'],
      host: server.hostname.replace(/^\[|\]$/g, ''),
      port: server.port === '' ? (server.protocol === 'http:' ? 80 : 443) : Number(server.port),
      prefix: server.pathname.replace(/\/+$/, ''),
      serverName,
    }
    // Behind a proxy that has paths or speaks HTTP, the API servers themselves are not what we were told to use.
    const isDirect = bootstrap.protocol === 'https:' && bootstrap.prefix === ''
    const found = isDirect ? this.#addresses : []
    const endpoints: Endpoint[] = found.map(({ host, port }) => ({
      protocol: 'https:',
      host,
      port,
      prefix: '',
      serverName: SERVER_NAME,
    }))
    endpoints.push(bootstrap)
    const since = performance.now() - AVOID_MS
    const failedAt = (endpoint: Endpoint) => {
      const at = this.#failed.get(nameOf(endpoint)) ?? 0
      return at > since ? at : 0
    }
    return endpoints.sort((a, b) => failedAt(a) - failedAt(b))
  }

  /** Addresses of the API servers, as far as they are known; sorted. */
  addresses(): string[] {
    return this.#addresses.map(({ host }) => host).sort()
  }

  failed(endpoint: Endpoint): void {
    this.#failed.set(nameOf(endpoint), performance.now())
  }

  worked(endpoint: Endpoint): void {
    this.#failed.delete(nameOf(endpoint))
  }

  /** The addresses as the cluster says now; none: what was known stays. */
  set(addresses: readonly EndpointAddress[]): void {
    const known = new Set(this.#addresses.map(nameOf))
    if (addresses.length === 0 || (addresses.length === known.size && addresses.every((one) => known.has(nameOf(one)))))
      return
    this.#addresses = shuffle(addresses)
    this.#save()
  }

  #load(): readonly EndpointAddress[] {
    if (this.#file === undefined) return []
    try {
      const data = JSON.parse(readFileSync(this.#file, 'utf8')) as {
        readonly version?: unknown
        readonly addresses?: readonly EndpointAddress[]
      } | null
      if (data?.version !== VERSION || !Array.isArray(data.addresses)) return []
      return data.addresses.filter(({ host, port }) => typeof host === 'string' && Number.isInteger(port))
    } catch {
      // The bootstrap address finds them again.
      return []
    }
  }

  #save(): void {
    if (this.#file === undefined) return
    try {
      mkdirSync(dirname(this.#file), { recursive: true })
      const temporary = `${this.#file}.tmp`
      writeFileSync(temporary, `${JSON.stringify({ version: VERSION, addresses: this.#addresses }, null, 1)}\n`)
      renameSync(temporary, this.#file)
    } catch {
      // Only a restart would miss it, and finds them again.
    }
  }
}

function nameOf({ host, port }: EndpointAddress): string {
  return `${host}:${port}`
}

/** So that not all nodes speak to the first one. */
function shuffle<T>(list: readonly T[]): readonly T[] {
  return list
    .map((item) => ({ item, order: Math.random() }))
    .sort((a, b) => a.order - b.order)
    .map(({ item }) => item)
}
