/**
 * The devices of an attachment: a tap on the node, its peer in the pod's namespace under the name that the runtime wants. Both ends stay down until
 * the datapath is programmed, so a pod never sends or receives a packet that nobody checked.
 */

import type { AllocateReply } from '@kube-vrouter/daemon/port-api/messages'
import { isErrno, SystemError } from '@kube-vrouter/linux/errors'
import { NetworkNamespace, withNamespace } from '@kube-vrouter/linux/namespace'
import { newRoute } from '@kube-vrouter/linux/netlink/fib'
import { newAddress } from '@kube-vrouter/linux/netlink/ifaddr'
import { getLink, setLink } from '@kube-vrouter/linux/netlink/link'
import type { RouteSocket } from '@kube-vrouter/linux/netlink/route'
import { writeSysctl } from '@kube-vrouter/linux/sysctl'
import { CniError, ErrorCode } from './errors.ts'
import { sha256Hex } from './sha256.ts'

/** Index of the loopback device in every network namespace. */
const LOOPBACK = 1

/** Name of the tap: known without the daemon, so that DEL can do without. The daemon makes the same name (model/names.ts). */
export function tapName(containerId: string, ifname: string): string {
  return `tap${sha256Hex(`${containerId}/${ifname}`).slice(0, 12)}`
}

/** Opens the pod's namespace. Throws NETNS_GONE, NOT_A_NETNS, or INVALID_NETNS for the node's own. */
export function openNamespace(path: string, allowOwn: boolean): NetworkNamespace {
  let namespace: NetworkNamespace
  try {
    namespace = NetworkNamespace.open(path)
  } catch (error) {
    if (!(error instanceof SystemError)) throw error
    if (error.code === 'EISDIR' || error.code === 'EACCES' || error.code === 'ELOOP' || error.code === 'ENXIO')
      throw notNamespace(path)
    throw new CniError(
      ErrorCode.NETNS_GONE,
      `cannot open the network namespace ${path}: ${error.code}`,
      'the namespace of the container is gone; the runtime makes a new one',
    )
  }
  try {
    // Any file can be opened; only a namespace can be entered.
    withNamespace(namespace, () => undefined)
    using own = NetworkNamespace.current()
    if (own.inode === namespace.inode && !allowOwn) {
      throw new CniError(
        ErrorCode.INVALID_NETNS,
        "plugin's netns and netns from CNI_NETNS should not be the same",
        'name the namespace of the container, or set CNI_NETNS_OVERRIDE=1',
      )
    }
    return namespace
  } catch (error) {
    namespace[Symbol.dispose]()
    throw isErrno(error, 'EINVAL') ? notNamespace(path) : error
  }
}

function notNamespace(path: string): CniError {
  return new CniError(
    ErrorCode.NOT_A_NETNS,
    `${path} is not a network namespace`,
    'correct CNI_NETNS; a path under /run/netns that is an ordinary file was unmounted',
  )
}

/**
 * The kernel uses one queue of a veth device unless it is told otherwise. One that has more is made first and cut down then, at the price of an RCU grace
 * period for each end while the network lock is held.
 */
const QUEUES = { numTxQueues: 1, numRxQueues: 1 }

/** The pair of devices; disposing of it removes both. */
export class Tap implements Disposable {
  readonly name: string
  readonly index: number
  /** Index of the pod's end, in the pod's namespace. */
  readonly peerIndex: number
  readonly #node: RouteSocket

  private constructor(node: RouteSocket, name: string, index: number, peerIndex: number) {
    this.#node = node
    this.name = name
    this.index = index
    this.peerIndex = peerIndex
  }

  /** Throws INTERFACE_EXISTS when the pod has an interface of that name already. */
  static create(
    node: RouteSocket,
    namespace: NetworkNamespace,
    port: AllocateReply,
    ifname: string,
    alias: string,
  ): Tap {
    const { tap, tapMac, mac, mtu } = port
    try {
      const { index, peerIndex } = node.createVeth({
        name: tap,
        mac: tapMac,
        mtu,
        alias,
        ...QUEUES,
        peer: { name: ifname, mac, mtu, netnsFd: namespace.fd, ...QUEUES },
      })
      return new Tap(node, tap, index, peerIndex)
    } catch (error) {
      if (isErrno(error, 'EEXIST'))
        throw new CniError(
          ErrorCode.INTERFACE_EXISTS,
          `the pod has an interface ${ifname} already`,
          'delete the attachment before adding it again',
        )
      throw error
    }
  }

  [Symbol.dispose](): void {
    deleteTap(this.#node, this.index)
  }
}

/** Removes a tap, and with it the pod's end. One that isn't there is fine; tells whether it was. */
export function deleteTap(node: RouteSocket, which: number | string): boolean {
  try {
    node.deleteLink(which)
    return true
  } catch (error) {
    if (isErrno(error, 'ENODEV')) return false
    throw error
  }
}

/** Addresses and switches of the pod's end, while it is down: nothing of it is tentative when it comes up. */
export function configure(
  pod: RouteSocket,
  namespace: NetworkNamespace,
  tap: Tap,
  port: AllocateReply,
  ifname: string,
): void {
  const hasIpv6 = port.addresses.some(({ address }) => address.includes(':'))
  ignoreMissing(() => writeSysctl(['net', 'ipv6', 'conf', tap.name, 'disable_ipv6'], 1))
  withNamespace(namespace, () => {
    const ipv6 = ['net', 'ipv6', 'conf', ifname]
    if (hasIpv6) writeSysctl([...ipv6, 'disable_ipv6'], 0)
    // The daemon answers for every neighbour: nobody else can have the address, and nobody may give the pod routes.
    ignoreMissing(() => writeSysctl([...ipv6, 'accept_dad'], 0))
    ignoreMissing(() => writeSysctl([...ipv6, 'accept_ra'], 0))
  })
  pod.applyAll([
    ...port.addresses.map(({ address, prefixLength }) =>
      newAddress({ index: tap.peerIndex, address, prefixLength, nodad: true }),
    ),
    setLink(LOOPBACK, { up: true }),
  ])
}

/**
 * Brings both ends up. What comes up second sees its carrier at once; the rest (the first end's queue, operational state, the link-local address) is done
 * by the kernel's link watch, up to a second later, or when the link is asked for.
 */
export function bringUp(node: RouteSocket, pod: RouteSocket, tap: Tap, port: AllocateReply): void {
  node.setLink(tap.index, { up: true })
  pod.applyAll([
    setLink(tap.peerIndex, { up: true }),
    ...port.routes.map(({ destination, gateway }) => {
      const slash = destination.indexOf('/')
      return newRoute({
        family: gateway.includes(':') ? 6 : 4,
        destination: destination.slice(0, slash),
        prefixLength: Number(destination.slice(slash + 1)),
        gateway,
        oif: tap.peerIndex,
      })
    }),
    getLink(tap.peerIndex),
  ])
  node.applyAll([getLink(tap.index)])
}

/** A kernel without IPv6 has none of its switches. */
function ignoreMissing(write: () => void): void {
  try {
    write()
  } catch (error) {
    if (!isErrno(error, 'ENOENT')) throw error
  }
}
