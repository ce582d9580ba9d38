/**
 * Foreign changes after the migration: what DHCP clients, network managers and people go on doing to the NIC they know. An address
 * or route that appears on the NIC moves to vhost0, a renewed lease renews it there, a lost route is put back, MAC and MTU follow the NIC.
 * Every pass goes by what is there now; events only say when to look. A way back that another process has begun (`--uninstall`) is left alone.
 */

import { kernelIdentity } from '@kube-vrouter/linux/kernel-identity'
import type { NamespaceHandle } from '@kube-vrouter/linux/namespace'
import type { RouteEvent } from '@kube-vrouter/linux/netlink/events'
import { RouteMonitor } from '@kube-vrouter/linux/netlink/monitor'
import { Gathering } from '../ground/gathering.ts'
import { VROUTER_PROTOCOL } from '../ground/route-protocol.ts'
import { errorFields, type Log } from '../log.ts'
import { converge, describeFailure } from './converge.ts'
import { alignVhost } from './device.ts'
import { addressKey, routeIdentity } from './device-state.ts'
import { VhostKernel } from './kernel.ts'
import { absorb, type Holdings, planToVhost } from './plan.ts'
import { readSnapshot, writeSnapshot } from './snapshot.ts'

export interface FollowOptions {
  readonly nic: string
  readonly vhost: string
  readonly stateDir: string
  readonly log: Pick<Log, 'info' | 'warn' | 'error'>
  /** Path of the namespace, or an open one; by default the process's. */
  readonly netns?: NamespaceHandle
  /** The caller's, ready and of the same namespace; by default one of our own. */
  readonly monitor?: RouteMonitor
  /** vhost0 is gone: `migrate` makes it anew. Called once per loss. */
  readonly onVhostLost?: () => void
}

/** Changes come in bursts: a renewed lease is several messages. */
const GATHER_MS = 30
/** Against changes that no event told of. */
const SLOW_PASS_MS = 30_000
const RETRY_MS = 1000
const MAX_RETRY_MS = 30_000

/** Resolves when changes are followed. Disposing ends that, and leaves everything as it is. */
export async function followChanges(options: FollowOptions): Promise<ChangeFollower> {
  if (options.monitor) return new ChangeFollower(options, options.monitor)
  const netns = typeof options.netns === 'string' ? options.netns : undefined
  const monitor = new RouteMonitor({ netns, kinds: ['link', 'address', 'route'] })
  try {
    await monitor.ready
    return new ChangeFollower(options, monitor)
  } catch (error) {
    await monitor.close()
    throw error
  }
}

export class ChangeFollower implements AsyncDisposable {
  readonly #options: FollowOptions
  readonly #monitor: RouteMonitor
  readonly #kernel: VhostKernel
  readonly #slow: NodeJS.Timeout
  readonly #passes: Gathering
  #isVhostLost = false

  constructor(options: FollowOptions, monitor: RouteMonitor) {
    this.#options = options
    this.#monitor = monitor
    this.#kernel = new VhostKernel(options)
    this.#passes = new Gathering({
      work: () => this.#pass(),
      onError: (error) =>
        options.log.warn(
          { err: errorFields(error) },
          'a change of the network configuration could not be followed; trying again',
        ),
      retry: { firstMs: RETRY_MS, maxMs: MAX_RETRY_MS },
    })
    const passIn = (inMs: number) => void this.#passes.ask({ inMs })
    monitor.on('event', (event) => this.#concerns(event) && passIn(GATHER_MS))
    monitor.on('resync', () => passIn(GATHER_MS))
    monitor.on('error', (error) =>
      options.log.error(
        { err: errorFields(error) },
        'changes are noticed late: their monitor ended, and is started again',
      ),
    )
    this.#slow = setInterval(() => passIn(0), SLOW_PASS_MS)
    this.#slow.unref()
    passIn(0)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#slow)
    await this.#passes[Symbol.asyncDispose]()
    if (!this.#options.monitor) await this.#monitor.close()
    this.#kernel[Symbol.dispose]()
  }

  #concerns(event: RouteEvent): boolean {
    const { nic, vhost } = this.#options
    if (event.kind === 'link') return event.link.name === nic || event.link.name === vhost
    // The dataplane's own, one for each pod.
    if (event.kind === 'route' && event.route.protocol === VROUTER_PROTOCOL) return false
    const indices = [this.#kernel.nic()?.index, this.#kernel.vhost()?.index]
    if (event.kind === 'address') return indices.includes(event.address.index)
    if (event.kind !== 'route') return false
    const { oif, multipath } = event.route
    return multipath?.some((path) => indices.includes(path.oif)) ?? (oif === undefined || indices.includes(oif))
  }

  #pass(): void {
    const { stateDir, netns, log, vhost: name } = this.#options
    const snapshot = readSnapshot(stateDir, kernelIdentity(netns))
    const nic = this.#kernel.nic()
    if (snapshot?.phase !== 'settled' || nic === undefined) return
    if (this.#kernel.vhost() === undefined) {
      if (!this.#isVhostLost) {
        log.error({ vhost: name }, 'vhost0 is gone')
        this.#isVhostLost = true
        this.#options.onVhostLost?.()
      }
      return
    }
    this.#isVhostLost = false
    if (alignVhost(this.#kernel, nic))
      log.info({ vhost: name, mac: nic.mac, mtu: nic.mtu }, 'vhost0 follows the network card')
    let holdings = snapshot.holdings
    const changes = converge(
      this.#kernel,
      (situation) => {
        holdings = absorb(holdings, situation, true)
        return planToVhost(holdings, situation)
      },
      undefined,
      (failures) => {
        log.warn({ failures: failures.map(describeFailure) }, 'the kernel refused a change')
        const refused = new Set(
          failures.flatMap(({ operation }) => (operation.op === 'add-route' ? [routeIdentity(operation.route)] : [])),
        )
        // A route whose gateway went with its subnet can't come back: it is given up unless it stands on the NIC.
        const standing = new Set(this.#kernel.observe().nic.routes.map(routeIdentity))
        holdings = {
          ...holdings,
          routes: holdings.routes.filter(
            (route) => !refused.has(routeIdentity(route)) || standing.has(routeIdentity(route)),
          ),
        }
      },
    )
    if (fingerprint(holdings) !== fingerprint(snapshot.holdings)) writeSnapshot(stateDir, { ...snapshot, holdings })
    if (changes > 0) log.info({ changes }, 'followed a change of the network configuration')
  }
}

/** What must be on disk: everything but lifetimes, which count down by themselves. */
function fingerprint({ addresses, routes, neighbours, obsolete }: Holdings): string {
  const permanence = ({ validLifetime }: { validLifetime: number }) => validLifetime === 0xffffffff
  return JSON.stringify([
    addresses.map((address) => [addressKey(address), permanence(address)]),
    routes.map(routeIdentity),
    neighbours,
    obsolete.map(routeIdentity),
  ])
}
