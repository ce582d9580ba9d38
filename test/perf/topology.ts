/**
 * What is measured between: a client and a server, each in a network namespace. A topology is made whole before anything is measured,
 * and takes everything away again when it is disposed.
 */
import { randomBytes } from 'node:crypto'
import { run } from '../lab/shell.ts'

export interface Endpoint {
  /** Path that nsenter --net takes. */
  readonly netns: string
  readonly address: string
}

export interface Pair {
  readonly client: Endpoint
  readonly server: Endpoint
}

export interface Topology extends Disposable {
  readonly name: string
  readonly sameNode?: Pair
  readonly crossNode?: Pair
}

/** Makes and removes namespaces; what lies in one goes with it. */
export class Namespaces implements Disposable {
  readonly #prefix = `kv-perf-${randomBytes(3).toString('hex')}`
  readonly #names: string[] = []

  /** Adds a namespace with loopback up, forwarding on, and no waiting for duplicate addresses. Returns its name. */
  add(name: string): string {
    const full = `${this.#prefix}-${name}`
    run(['ip', 'netns', 'add', full])
    this.#names.push(full)
    run(['ip', '-n', full, 'link', 'set', 'lo', 'up'])
    this.sysctl(full, 'net.ipv4.ip_forward=1', 'net.ipv4.conf.all.rp_filter=0', 'net.ipv4.conf.default.rp_filter=0')
    this.sysctl(full, 'net.ipv6.conf.all.disable_ipv6=1', 'net.ipv6.conf.default.disable_ipv6=1')
    return full
  }

  sysctl(namespace: string, ...settings: string[]): void {
    run(['nsenter', `--net=${namespacePath(namespace)}`, 'sysctl', '-qw', ...settings])
  }

  [Symbol.dispose](): void {
    for (const name of this.#names.reverse()) run(['ip', 'netns', 'del', name])
  }
}

export function namespacePath(name: string): string {
  return `/run/netns/${name}`
}

export function endpoint(namespace: string, address: string): Endpoint {
  return { netns: namespacePath(namespace), address }
}

/** `ip -n NAMESPACE …` */
export function ip(namespace: string, words: string): string {
  return run(['ip', '-n', namespace, ...words.split(' ')])
}

/** MAC of a device. */
export function macOf(namespace: string, device: string): string {
  const [link] = JSON.parse(ip(namespace, `-j link show dev ${device}`)) as [{ address: string }]
  return link.address
}
