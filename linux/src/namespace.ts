/**
 * Network namespaces. A thread enters one with setns(2): only that thread moves, so everything between entering and leaving is
 * synchronous, and the thread is back where it was before anything else runs on it.
 */

import { existsSync, fstatSync, mkdirSync, unlinkSync } from 'node:fs'
import { isErrno } from './errors.ts'
import { abort, CLONE_NEWNET, close, duplicate, mount, O_RDONLY, open, setns, socket, umount2, unshare } from './ffi.ts'

/** How callers name a namespace: an open one, a path such as /run/netns/x or /proc/1/ns/net, or a descriptor of one. */
export type NamespaceHandle = NetworkNamespace | string | number

/** An open network namespace. It lives at least as long as this object is open. */
export class NetworkNamespace implements Disposable {
  readonly fd: number
  /** Identifies the namespace on this machine for as long as it exists. */
  readonly inode: number
  #open = true

  private constructor(fd: number) {
    this.fd = fd
    this.inode = fstatSync(fd).ino
  }

  /** Opens the namespace at a path, of a process by its pid, or behind a descriptor (which is duplicated). */
  static open(where: string | { readonly pid: number } | { readonly fd: number }): NetworkNamespace {
    if (typeof where === 'string') return new NetworkNamespace(open(where, O_RDONLY))
    return new NetworkNamespace('pid' in where ? open(`/proc/${where.pid}/ns/net`, O_RDONLY) : duplicate(where.fd))
  }

  /** The namespace that this thread is in now. */
  static current(): NetworkNamespace {
    return new NetworkNamespace(open('/proc/thread-self/ns/net', O_RDONLY))
  }

  /** A new, empty namespace without a name: it goes when this object and everything in it are gone. */
  static create(): NetworkNamespace {
    using home = NetworkNamespace.current()
    unshare(CLONE_NEWNET)
    try {
      return NetworkNamespace.current()
    } finally {
      restore(home)
    }
  }

  [Symbol.dispose](): void {
    if (!this.#open) return
    this.#open = false
    close(this.fd)
  }
}

/**
 * Runs `fn` with this thread in `namespace`, and returns what it returns. `fn` must be synchronous: a promise is refused, because its
 * continuation would run elsewhere. If the thread cannot be brought back the process ends: everything after it would act on the wrong network.
 */
export function withNamespace<T>(namespace: NamespaceHandle, fn: () => T): T {
  using home = NetworkNamespace.current()
  using target = namespace instanceof NetworkNamespace ? undefined : openHandle(namespace)
  setns((target ?? (namespace as NetworkNamespace)).fd, CLONE_NEWNET)
  let result: T
  try {
    result = fn()
  } finally {
    restore(home)
  }
  if (result instanceof Promise) throw new TypeError('withNamespace runs synchronous functions only')
  return result
}

function openHandle(handle: string | number): NetworkNamespace {
  return NetworkNamespace.open(typeof handle === 'string' ? handle : { fd: handle })
}

function restore(home: NetworkNamespace): void {
  try {
    setns(home.fd, CLONE_NEWNET)
  } catch (error) {
    abort(`fatal: this thread is left in a foreign network namespace: ${(error as Error).message}`)
  }
}

/** A socket that belongs to `namespace` for good, whichever namespace its user is in. */
export function openSocketIn(
  namespace: NamespaceHandle | undefined,
  family: number,
  type: number,
  protocol: number,
): number {
  if (namespace === undefined) return socket(family, type, protocol)
  return withNamespace(namespace, () => socket(family, type, protocol))
}

// ---- names, as ip-netns(8) keeps them ---------------------------------------------------------------------------------------

const NAMES = '/run/netns'
const MS_BIND = 0x1000
const MS_REC = 0x4000
const MS_SHARED = 0x100000
const MNT_DETACH = 2

/** The path of the namespace that `ip netns` calls `name`. */
export function namedPath(name: string): string {
  return `${NAMES}/${name}`
}

/** Makes a namespace that `ip netns` shows as `name`. Fails with EEXIST when there is one already. The loopback device is down. */
export function createNamed(name: string): NetworkNamespace {
  shareNames()
  const path = namedPath(name)
  close(open(path, 0o100 | 0o200 /* O_CREAT | O_EXCL */, 0o444))
  try {
    using created = NetworkNamespace.create()
    withNamespace(created, () => mount('/proc/thread-self/ns/net', path, 'none', MS_BIND))
    return NetworkNamespace.open(path)
  } catch (error) {
    unlinkSync(path)
    throw error
  }
}

/** Removes the name; the namespace goes with its last user. A name that is not there is fine. */
export function deleteNamed(name: string): void {
  const path = namedPath(name)
  try {
    umount2(path, MNT_DETACH)
  } catch (error) {
    if (!isErrno(error, 'EINVAL', 'ENOENT')) throw error
  }
  if (existsSync(path)) unlinkSync(path)
}

/** Makes the folder of names a shared mount, as ip-netns(8) does, so that a name made in one mount namespace is seen and can be removed in all. */
function shareNames(): void {
  mkdirSync(NAMES, { recursive: true, mode: 0o755 })
  try {
    mount('none', NAMES, 'none', MS_SHARED | MS_REC)
  } catch (error) {
    if (!isErrno(error, 'EINVAL')) throw error
    mount(NAMES, NAMES, 'none', MS_BIND | MS_REC)
    mount('none', NAMES, 'none', MS_SHARED | MS_REC)
  }
}
