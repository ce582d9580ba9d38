/**
 * `vrouter --uninstall`: the way out. The NIC carries the node again before the programs go; then maps, pins and pkt0 go. Pods'
 * records stay: they are what a later ADD or DEL of the same pods goes by. Repeating it, or running it without an installation, is fine;
 * running it under a daemon isn't.
 */
import { connect } from 'node:net'
import { join } from 'node:path'
import { RouteSocket } from '@kube-vrouter/linux/netlink/route'
import type { Config } from '../config/config.ts'
import { DatapathLock } from '../dataplane/datapath-lock.ts'
import { removeLinks, removePins } from '../dataplane/remove-pins.ts'
import { releasePorts } from '../dataplane/reserved-ports.ts'
import { VrouterError } from '../errors.ts'
import type { Log } from '../log.ts'
import { uninstall } from '../vhost0/restore.ts'

export async function uninstallNode(config: Pick<Config, 'underlay' | 'paths'>, nic: string, log: Log): Promise<void> {
  const { underlay, paths } = config
  const socket = join(paths.run, 'cni.sock')
  if (await somebodyListens(socket))
    throw VrouterError.of('DAEMON_RUNNING', { what: 'this node', holder: `it answers on ${socket}` })
  using _lock = DatapathLock.takeExisting(paths)
  const restored = await uninstall({
    nic,
    vhost: underlay.vhost,
    stateDir: paths.state,
    log: log.child({ component: 'vhost0' }),
    hooks: { detach: () => removeLinks(config) },
  })
  removePins(paths.pins)
  releasePorts(paths.state)
  using route = RouteSocket.open()
  const agent = route.link(underlay.agent)
  if (agent !== undefined && agent.kind === 'tun') route.deleteLink(agent.index)
  log.info(
    { component: 'vrouter', nic, restored },
    restored ? 'the node is back on its network card' : 'nothing was installed',
  )
}

function somebodyListens(socket: string): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>()
  const connection = connect(socket)
  connection.on('connect', () => resolve(true))
  connection.on('error', () => resolve(false))
  return promise.finally(() => connection.destroy())
}
