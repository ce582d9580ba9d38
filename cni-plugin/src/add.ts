/** ADD: gives the pod its interface, or leaves nothing behind. The attachment stands once its result is delivered. */

import type { AllocateReply, AllocateRequest, RegisterReply } from '@kube-vrouter/daemon/port-api/messages'
import type { NetworkNamespace } from '@kube-vrouter/linux/namespace'
import { RouteSocket } from '@kube-vrouter/linux/netlink/route'
import { bringUp, configure, deleteTap, openNamespace, Tap, tapName } from './attachment.ts'
import type { NetworkConfig } from './config.ts'
import { DaemonGarbled, DaemonUnreachable, daemonError, PatientDaemon } from './daemon.ts'
import type { Attachment } from './environment.ts'
import { CniError, ErrorCode } from './errors.ts'
import { release } from './release.ts'
import { addResult } from './result.ts'
import { wishesOf } from './wishes.ts'

/** IFALIASZ less the zero at its end, bytes. */
const LONGEST_ALIAS = 255

export function add(config: NetworkConfig, attachment: Attachment, deliver: (result: object) => void): void {
  using undo = new DisposableStack()
  const { containerId, ifname } = attachment
  const request = allocateRequest(config, attachment)
  const namespace = undo.use(openNamespace(attachment.netns, attachment.netnsOverride))
  const daemon = undo.use(new PatientDaemon(config.socket, config.daemonWaitMs))
  // The daemon chooses addresses while the sockets are opened.
  const allocated = allocate(daemon, request, config)
  const { node, pod } = openSockets(undo, namespace, () => abandon(allocated, config, request))
  const port = allocated()
  if (port.existed) clearFormer(node, port, ifname)

  using attached = new DisposableStack()
  attached.defer(() => void release(config, { containerId, ifname }))
  const alias = `${request.pod.namespace}/${request.pod.name}/${ifname}`
  const tap = attached.use(Tap.create(node, namespace, port, ifname, cut(alias)))
  // The daemon programs the datapath while the pod's end is configured; both ends are down.
  const { netns } = attachment
  const registration = {
    op: 'register',
    containerId,
    ifname,
    ifindex: tap.index,
    ...(port.existed && { netns }),
  } as const
  const registered = ask(() => daemon.ask<RegisterReply>(registration))
  configure(pod, namespace, tap, port, ifname)
  ask(registered)
  bringUp(node, pod, tap, port)
  deliver(addResult(config.cniVersion, port, attachment, config.prevResult))
  attached.move()
}

function allocateRequest(config: NetworkConfig, { containerId, ifname, netns, args }: Attachment): AllocateRequest {
  return {
    op: 'allocate',
    containerId,
    ifname,
    netns,
    network: config.name,
    // A caller without Kubernetes (cnitool) names no pod: its containers are pods of the default namespace.
    pod: {
      namespace: args['K8S_POD_NAMESPACE'] || 'default',
      name: args['K8S_POD_NAME'] || containerId,
      uid: args['K8S_POD_UID'] ?? '',
    },
    ...wishesOf(config, args),
  }
}

/** Sends the request; the function that it returns waits for the answer. */
function allocate(daemon: PatientDaemon, request: AllocateRequest, config: NetworkConfig): () => AllocateReply {
  const attempt = <T>(question: () => T): T => {
    try {
      return question()
    } catch (error) {
      // Whether it allocated before it broke off, or what, nobody knows.
      const isUnknown = error instanceof DaemonUnreachable || error instanceof DaemonGarbled
      if (isUnknown && daemon.wasReached) release(config, request)
      throw daemonError(error)
    }
  }
  const answer = attempt(() => daemon.ask<AllocateReply>(request))
  return () =>
    attempt(() => {
      const port = answer()
      // A device of that name is removed, should it exist: it must be ours.
      const wanted = tapName(request.containerId, request.ifname)
      if (port.tap !== wanted)
        throw new DaemonGarbled(`the answer to allocate can not be used: tap is ${port.tap}; wanted ${wanted}`)
      return port
    })
}

function openSockets(
  owner: DisposableStack,
  namespace: NetworkNamespace,
  onFailure: () => void,
): { readonly node: RouteSocket; readonly pod: RouteSocket } {
  try {
    return { node: owner.use(RouteSocket.open()), pod: owner.use(RouteSocket.open({ netns: namespace })) }
  } catch (error) {
    onFailure()
    throw error
  }
}

/** Gives back what was asked for, unless it is an attachment that was there before. */
function abandon(allocated: () => AllocateReply, config: NetworkConfig, request: AllocateRequest): void {
  if (!allocated().existed) release(config, request)
}

/**
 * The attachment is known. One that is complete stays as it is, in whatever namespace: the runtime may not ADD it twice. What an interrupted ADD left, or
 * a namespace that went, is cleared away; the addresses stay the same.
 */
function clearFormer(node: RouteSocket, port: AllocateReply, ifname: string): void {
  const tap = port.registered ? node.link(port.tap) : undefined
  // The pod's end comes up last, and only then the tap has a carrier.
  if (tap?.operstate === 'up') {
    throw new CniError(
      ErrorCode.INTERFACE_EXISTS,
      `interface ${ifname} of the pod is attached already`,
      'the runtime must DEL the attachment before it adds it again',
    )
  }
  deleteTap(node, port.tap)
}

/** As many bytes as the kernel takes for an alias, and no half of a character. */
function cut(alias: string): string {
  const bytes = Buffer.from(alias)
  let end = Math.min(bytes.length, LONGEST_ALIAS)
  while (end < bytes.length && (bytes[end]! & 0xc0) === 0x80) end--
  return bytes.toString('utf8', 0, end)
}

function ask<T>(question: () => T): T {
  try {
    return question()
  } catch (error) {
    throw daemonError(error)
  }
}
