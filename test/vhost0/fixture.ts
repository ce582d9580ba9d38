/**
 * A node to migrate: a network namespace with a NIC whose other end is a router in a second one. Everything is made under random names
 * and removed again.
 */

import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { originals } from '@kube-vrouter/daemon/vhost0/advertised'
import type { VhostDevices, VhostHooks } from '@kube-vrouter/daemon/vhost0/hooks'
import { type MigrateOptions, migrate, type VhostState } from '@kube-vrouter/daemon/vhost0/migrate'
import { uninstall } from '@kube-vrouter/daemon/vhost0/restore'
import { parseAddress } from '@kube-vrouter/linux/address'
import { close, sendto, setsockopt } from '@kube-vrouter/linux/ffi'
import { createNamed, deleteNamed, type NetworkNamespace, namedPath, openSocketIn } from '@kube-vrouter/linux/namespace'
import { RouteProtocol, RouteSocket, RouteTable } from '@kube-vrouter/linux/netlink/route'
import { until } from '../patience.ts'

export const NIC = 'eth0'
export const VHOST = 'vhost0'

const AF_INET6 = 10
const SOCK_RAW = 3
const IPPROTO_ICMPV6 = 58
const IPPROTO_IPV6 = 41
const IPV6_MULTICAST_HOPS = 18

/** Why these tests can't run here, or undefined. */
export function whyNot(): string | undefined {
  if (process.getuid?.() !== 0) return 'needs root for network namespaces and BPF'
  for (const tool of ['ip', 'tc', 'clang', 'ping', 'ethtool', 'nsenter']) {
    try {
      execFileSync('which', [tool], { stdio: 'ignore' })
    } catch {
      return `needs ${tool}`
    }
  }
  return undefined
}

export interface Line {
  readonly level: 'info' | 'warn' | 'error'
  readonly fields: Record<string, unknown>
  readonly message: string
}

export class TestNode implements Disposable {
  readonly stateDir = mkdtempSync(join(tmpdir(), 'kv-vhost-'))
  readonly name: string
  readonly worldName: string
  readonly log: Line[] = []
  readonly #namespaces: NetworkNamespace[]

  constructor() {
    const id = randomBytes(4).toString('hex')
    this.name = `kv-${id}n`
    this.worldName = `kv-${id}w`
    this.#namespaces = [createNamed(this.name), createNamed(this.worldName)]
    this.ip(`link add ${NIC} mtu 1500 type veth peer name gw netns ${this.worldName}`)
    this.ip('link set lo up')
    this.world('link set lo up')
    // The router has one link-local address, which its advertisements come from.
    this.world('link set gw addrgenmode none')
    this.world('link set gw up')
    this.world('addr add 10.77.0.1/24 dev gw')
    this.world('addr add 10.78.0.1/24 dev gw')
    this.world('addr add fd77::1/64 dev gw nodad')
    this.world('addr add fe80::77/64 dev gw nodad')
    this.world('addr add 203.0.113.1/32 dev lo')
    this.ip(`link set ${NIC} up`)
  }

  get netns(): string {
    return namedPath(this.name)
  }

  ip(args: string): string {
    return run('ip', ['-n', this.name, ...args.split(' ')])
  }

  world(args: string): string {
    return run('ip', ['-n', this.worldName, ...args.split(' ')])
  }

  /** Runs a program in the node. */
  exec(command: string): string {
    const [file, ...args] = command.split(' ')
    return run('nsenter', [`--net=${this.netns}`, file!, ...args])
  }

  canPing(address: string): boolean {
    try {
      this.exec(`ping -c 1 -W 2 -q ${address}`)
      return true
    } catch {
      return false
    }
  }

  /** Waits until the kernel has made all that it makes of a NIC that is up: its link-local address, and no address is on trial any more. */
  async settled(): Promise<void> {
    await until('the addresses', () => {
      const text = this.ip(`-6 addr show dev ${NIC}`)
      return /inet6 fe80:/.test(text) && !/tentative/.test(text)
    })
  }

  options(
    fields: Partial<Omit<MigrateOptions, 'hooks'>> & { readonly hooks?: Partial<VhostHooks> } = {},
  ): MigrateOptions {
    const line = (level: Line['level']) => (fields: unknown, message?: unknown) =>
      void this.log.push({ level, fields: fields as Record<string, unknown>, message: String(message) })
    return {
      nic: NIC,
      vhost: VHOST,
      stateDir: this.stateDir,
      // Long enough for a busy machine; only a test of what is lost waits for its end, and says less.
      watchSeconds: 30,
      gateway: 'auto',
      netns: this.netns,
      log: { info: line('info'), warn: line('warn'), error: line('error') } as MigrateOptions['log'],
      ...fields,
      hooks: { ...this.hooks, ...fields.hooks },
    }
  }

  migrate(fields: Parameters<TestNode['options']>[0] = {}): Promise<VhostState> {
    return migrate(this.options(fields))
  }

  uninstall(): Promise<boolean> {
    return uninstall(this.options())
  }

  /** The programs of redirect.bpf.c on both devices. */
  get hooks(): VhostHooks {
    return {
      beforeMove: (devices) => attachRedirects(this.name, this.stateDir, devices),
      detach: (devices) => detachRedirects(this.name, devices),
    }
  }

  /** The router announces itself and a /64 for autoconfiguration (RFC 4861 §4.2, §4.6.2). */
  advertise(prefix: string, validSeconds: number): void {
    using world = RouteSocket.open({ netns: namedPath(this.worldName) })
    const index = world.link('gw')!.index
    const message = new Uint8Array(16 + 32)
    const view = new DataView(message.buffer)
    message.set([134, 0, 0, 0, 64, 0])
    view.setUint16(6, 1800)
    message.set([3, 4, 64, 0xc0], 16)
    view.setUint32(20, validSeconds)
    view.setUint32(24, validSeconds)
    message.set(parseAddress(prefix), 32)
    const allNodes = new Uint8Array(28)
    const address = new DataView(allNodes.buffer)
    address.setUint16(0, AF_INET6, true)
    allNodes.set(parseAddress('ff02::1'), 8)
    address.setUint32(24, index, true)
    const fd = openSocketIn(namedPath(this.worldName), AF_INET6, SOCK_RAW, IPPROTO_ICMPV6)
    try {
      setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 255)
      sendto(fd, message, 0, allNodes)
    } finally {
      close(fd)
    }
  }

  /** Everything about the NIC that the migration may touch, as text: two equal texts are two equal configurations. A copied route counts as what it stands for. */
  describe(device = NIC): string {
    using route = RouteSocket.open({ netns: this.netns })
    const link = route.link(device)
    if (link === undefined) return 'no device'
    const addresses = route.addresses({ index: link.index }).map((address) => JSON.stringify(address))
    const routes = route
      .routes({ oif: link.index })
      .filter(({ table, protocol }) => table !== RouteTable.LOCAL || protocol !== RouteProtocol.KERNEL)
      .map((fields) => ({ ...fields, since: 0 }))
    const held = originals(routes)
      .map(({ expires, since: _, ...fields }) => JSON.stringify({ ...fields, expires: expires && 'some' }))
      .sort()
    const neighbours = route
      .neighbours({ index: link.index })
      .filter(({ state }) => state === 0x80)
      .map((neighbour) => JSON.stringify(neighbour))
    const sysctls = ['ipv4', 'ipv6'].map((family) =>
      this.exec(`grep -r --exclude=stable_secret . /proc/sys/net/${family}/conf/${device}`)
        .split('\n')
        .sort()
        .join('\n'),
    )
    const state = `${link.mac} mtu ${link.mtu} up ${link.up}`
    return [state, ...addresses, ...held, ...neighbours.sort(), ...sysctls].join('\n')
  }

  [Symbol.dispose](): void {
    for (const namespace of this.#namespaces) namespace[Symbol.dispose]()
    deleteNamed(this.name)
    deleteNamed(this.worldName)
    rmSync(this.stateDir, { recursive: true, force: true })
  }
}

/** Compiles redirect.bpf.c for two devices and puts it on them. Repeating it is fine. */
export function attachRedirects(name: string, folder: string, { nic, vhost }: VhostDevices): void {
  const object = join(folder, 'redirect.bpf.o')
  const source = join(import.meta.dirname, 'redirect.bpf.c')
  const defines = [`-DNIC=${nic.index}`, `-DVHOST=${vhost.index}`]
  const include = `-I/usr/include/${run('uname', ['-m']).trim()}-linux-gnu`
  run('clang', ['-O2', '-g', '-target', 'bpf', include, ...defines, '-c', source, '-o', object])
  const tc = (args: string) => run('nsenter', [`--net=${namedPath(name)}`, 'tc', ...args.split(' ')])
  for (const [device, side, section] of [
    [vhost.name, 'egress', 'classifier/vhost'],
    [nic.name, 'ingress', 'classifier/nic'],
  ]) {
    tc(`qdisc replace dev ${device} clsact`)
    tc(`filter replace dev ${device} ${side} prio 1 handle 1 bpf da obj ${object} sec ${section}`)
  }
}

export function detachRedirects(name: string, { nic, vhost }: VhostDevices): void {
  for (const device of [nic.name, vhost.name]) {
    try {
      run('nsenter', [`--net=${namedPath(name)}`, 'tc', 'qdisc', 'del', 'dev', device, 'clsact'])
    } catch {
      // Not attached yet, or not any more.
    }
  }
}

export function run(file: string, args: readonly string[]): string {
  return execFileSync(file, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], timeout: 20_000 })
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}
