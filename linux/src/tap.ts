/**
 * TAP devices: Ethernet frames to and from a descriptor. A persistent device stays when its descriptor is closed, and goes on
 * carrying what programs redirect to it.
 *
 * Node has no handle for such a descriptor, so a Worker reads it: `TapReader.run` sits in poll and drains what is there.
 */

import { isErrno, SystemError } from './errors.ts'
import {
  allocate,
  close,
  eventfdDrain,
  ioctl,
  type Memory,
  O_NONBLOCK,
  O_RDWR,
  open,
  POLLERR,
  POLLHUP,
  POLLIN,
  POLLNVAL,
  PollSet,
  read,
  write,
} from './ffi.ts'
import { type NamespaceHandle, withNamespace } from './namespace.ts'
import { RouteSocket } from './netlink/route.ts'

export interface TapSpec {
  /** At most 15 bytes. */
  readonly name: string
  /** The device outlives its descriptor. An existing one of that name is opened. */
  readonly persist: boolean
  readonly netns?: NamespaceHandle
  /** Frames carry a struct virtio_net_hdr in front. */
  readonly vnetHdr?: boolean
  readonly multiQueue?: boolean
  readonly mac?: string
  readonly mtu?: number
}

export interface Tap {
  /** Non-blocking. The caller's to close. */
  readonly fd: number
  readonly name: string
  readonly index: number
}

const TUNSETIFF = 0x400454ca
const TUNSETPERSIST = 0x400454cb

const IFF_TAP = 0x0002
const IFF_NO_PI = 0x1000
const IFF_MULTI_QUEUE = 0x0100
const IFF_VNET_HDR = 0x4000

/** struct ifreq: name of 16 bytes, then the flags. */
const IFREQ_SIZE = 40
const IFNAMSIZ = 16

/** Makes the device, or opens it when it is there. EBUSY: someone else has it open. It is down unless it was up. */
export function openTap(spec: TapSpec): Tap {
  return spec.netns === undefined ? openTapHere(spec) : withNamespace(spec.netns, () => openTapHere(spec))
}

function openTapHere(spec: TapSpec): Tap {
  if (Buffer.byteLength(spec.name) >= IFNAMSIZ) {
    throw new SystemError('ioctl', 22, `cannot open the TAP ${spec.name}`, 'the name is longer than 15 bytes')
  }
  const fd = open('/dev/net/tun', O_RDWR | O_NONBLOCK)
  try {
    const request = allocate(IFREQ_SIZE)
    request.bytes.set(Buffer.from(spec.name))
    const flags = IFF_TAP | IFF_NO_PI | (spec.vnetHdr ? IFF_VNET_HDR : 0) | (spec.multiQueue ? IFF_MULTI_QUEUE : 0)
    request.view.setUint16(IFNAMSIZ, flags, true)
    ioctl(fd, TUNSETIFF, request.bytes, `cannot open the TAP ${spec.name}`)
    ioctl(
      fd,
      TUNSETPERSIST,
      spec.persist ? 1 : 0,
      `cannot make the TAP ${spec.name} ${spec.persist ? '' : 'not '}persistent`,
    )
    return { fd, name: spec.name, index: adjust(spec) }
  } catch (error) {
    close(fd)
    throw error
  }
}

/** Sets MAC and MTU where they differ; returns the index. */
function adjust(spec: TapSpec): number {
  using route = RouteSocket.open()
  const link = route.link(spec.name)
  if (!link) throw new SystemError('netlink', 19, `cannot find the TAP ${spec.name} just opened`)
  const mac = spec.mac !== undefined && spec.mac.toLowerCase() !== link.mac ? spec.mac : undefined
  const mtu = spec.mtu !== undefined && spec.mtu !== link.mtu ? spec.mtu : undefined
  if (mac !== undefined || mtu !== undefined) route.setLink(link.index, { mac, mtu })
  return link.index
}

/** Removes the device even if it is persistent or open elsewhere. One that isn't there is fine. */
export function deleteTap(name: string, netns?: NamespaceHandle): void {
  using route = RouteSocket.open({ netns })
  try {
    route.deleteLink(name)
  } catch (error) {
    if (!isErrno(error, 'ENODEV')) throw error
  }
}

/** Sends one frame; false when the device's queue is full (EAGAIN). EIO: the device is down. */
export function writeFrame(fd: number, frame: Uint8Array): boolean {
  return write(fd, frame) >= 0
}

/** A frame may be a whole GSO packet, with its header and a virtio header. */
const FRAME_BYTES = 65536 + 256
const ROUND = 64

export interface TapReaderOptions {
  /** A non-blocking TAP descriptor. It stays the caller's. */
  readonly fd: number
  /** An eventfd by which another thread gets this one's attention. It stays the caller's. */
  readonly wakeFd: number
  /** Frames taken before `onWake` gets a chance; default 64. */
  readonly round?: number
}

/** Reads frames in a Worker. Nothing is allocated per frame. */
export class TapReader {
  readonly #options: TapReaderOptions
  readonly #poll: PollSet
  readonly #buffer: Memory = allocate(FRAME_BYTES)
  readonly #round: number
  #stopped = false

  constructor(options: TapReaderOptions) {
    this.#options = options
    this.#round = options.round ?? ROUND
    this.#poll = new PollSet([
      { fd: options.fd, events: POLLIN },
      { fd: options.wakeFd, events: POLLIN },
    ])
  }

  /**
   * Blocks this thread until `stop`. `onFrame` gets each frame as a view that is overwritten by the next one. `onWake` is called after
   * the eventfd was signalled: take messages from the port there (`receiveMessageOnPort`), or call `stop`. Throws when the device is gone (EBADFD).
   */
  run(onFrame: (frame: Uint8Array) => void, onWake: () => void): void {
    this.#stopped = false
    while (!this.#stopped) {
      this.#poll.wait(-1)
      this.#step(onFrame, onWake)
    }
  }

  /** One round: waits up to `timeoutMs`, then works off what is there. Returns how many frames there were. */
  turn(timeoutMs: number, onFrame: (frame: Uint8Array) => void, onWake: () => void): number {
    return this.#poll.wait(timeoutMs) > 0 ? this.#step(onFrame, onWake) : 0
  }

  /** Makes `run` return after the frame or wake that it is at. */
  stop(): void {
    this.#stopped = true
  }

  #step(onFrame: (frame: Uint8Array) => void, onWake: () => void): number {
    if (this.#poll.returned(1) & POLLIN) {
      eventfdDrain(this.#options.wakeFd)
      onWake()
      if (this.#stopped) return 0
    }
    const events = this.#poll.returned(0)
    if (events & POLLNVAL) throw new SystemError('poll', 9, 'cannot read the TAP', 'its descriptor is closed')
    return events & (POLLIN | POLLERR | POLLHUP) ? this.#drain(onFrame) : 0
  }

  #drain(onFrame: (frame: Uint8Array) => void): number {
    let frames = 0
    while (frames < this.#round && !this.#stopped) {
      const length = read(this.#options.fd, this.#buffer)
      if (length <= 0) break
      frames++
      onFrame(this.#buffer.bytes.subarray(0, length))
    }
    return frames
  }
}
