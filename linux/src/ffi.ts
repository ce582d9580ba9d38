/**
 * The one module that touches node:ffi. It owns every raw pointer: callers hand over typed arrays and numbers, and get numbers
 * back. A failing call throws a SystemError; nothing here returns -1.
 *
 * Safe on the main thread and in Workers: each thread evaluates this module once, and errno is read from that thread's own
 * location. All calls are synchronous. What may wait (poll, recv on a blocking descriptor) belongs into a Worker.
 *
 * Memory handed to the kernel for longer than one call, or by address inside a structure, comes from `allocate`: its bytes never
 * move, and live as long as the `Memory` is referenced.
 */

import type * as NodeFfi from 'node:ffi'
import { SystemError } from './errors.ts'

const ffi = loadFfi()

/** node:ffi announces itself as experimental once per thread. That one line is known and kept back; every other warning goes its way. */
function loadFfi(): typeof NodeFfi {
  const { emitWarning } = process
  process.emitWarning = ((warning: string | Error, ...rest: unknown[]) => {
    if (typeof warning === 'string' && warning.startsWith('FFI is an experimental feature')) return
    Reflect.apply(emitWarning, process, [warning, ...rest])
  }) as typeof process.emitWarning
  try {
    return process.getBuiltinModule('node:ffi')
  } finally {
    process.emitWarning = emitWarning
  }
}

/**
 * Functions of the process's own symbols, each bound at its first use: binding one takes 0.1 ms, which a process that lives for 15 ms and calls ten of them
 * notices.
 */
function bindAtFirstUse<const T extends NodeFfi.FunctionDefinitions>(
  definitions: T,
): NodeFfi.DynamicLibraryResult<T>['functions'] {
  const { lib } = ffi.dlopen(null, {})
  const functions = {}
  for (const [name, signature] of Object.entries(definitions)) {
    const get = (): unknown => {
      const value = lib.getFunction(name, signature)
      Object.defineProperty(functions, name, { value })
      return value
    }
    Object.defineProperty(functions, name, { get, configurable: true })
  }
  return functions as NodeFfi.DynamicLibraryResult<T>['functions']
}

const c = bindAtFirstUse({
  __errno_location: { arguments: [], return: 'pointer' },
  open: { arguments: ['string', 'int32', 'uint32'], return: 'int32' },
  close: { arguments: ['int32'], return: 'int32' },
  read: { arguments: ['int32', 'pointer', 'uint64'], return: 'int64' },
  write: { arguments: ['int32', 'pointer', 'uint64'], return: 'int64' },
  ioctl: { arguments: ['int32', 'uint64', 'pointer'], return: 'int32' },
  socket: { arguments: ['int32', 'int32', 'int32'], return: 'int32' },
  bind: { arguments: ['int32', 'pointer', 'uint32'], return: 'int32' },
  connect: { arguments: ['int32', 'pointer', 'uint32'], return: 'int32' },
  getsockname: { arguments: ['int32', 'pointer', 'pointer'], return: 'int32' },
  setsockopt: { arguments: ['int32', 'int32', 'int32', 'pointer', 'uint32'], return: 'int32' },
  sendto: { arguments: ['int32', 'pointer', 'uint64', 'int32', 'pointer', 'uint32'], return: 'int64' },
  recv: { arguments: ['int32', 'pointer', 'uint64', 'int32'], return: 'int64' },
  poll: { arguments: ['pointer', 'uint64', 'int32'], return: 'int32' },
  eventfd: { arguments: ['uint32', 'int32'], return: 'int32' },
  setns: { arguments: ['int32', 'int32'], return: 'int32' },
  unshare: { arguments: ['int32'], return: 'int32' },
  fcntl: { arguments: ['int32', 'int32', 'int64'], return: 'int32' },
  flock: { arguments: ['int32', 'int32'], return: 'int32' },
  mount: { arguments: ['string', 'string', 'string', 'uint64', 'string'], return: 'int32' },
  umount2: { arguments: ['string', 'int32'], return: 'int32' },
  renameat2: { arguments: ['int32', 'string', 'int32', 'string', 'uint32'], return: 'int32' },
  gettid: { arguments: [], return: 'int32' },
  malloc_trim: { arguments: ['uint64'], return: 'int32' },
  abort: { arguments: [], return: 'void' },
})

// syscall(2) is variadic, and a library handle knows one signature per symbol: one handle for each shape.
const longs = bindAtFirstUse({
  syscall: { arguments: ['int64', 'int64', 'int64', 'int64', 'int64', 'int64', 'int64'], return: 'int64' },
})
const ints = bindAtFirstUse({
  syscall: { arguments: ['int32', 'int32', 'pointer', 'int32'], return: 'int32' },
})

// At once: what binds it spoils errno.
const errnoAddress = c.__errno_location()

/** errno of this thread's last failing call. Meaningful only directly after it. */
export function errno(): number {
  return ffi.getInt32(errnoAddress, 0)
}

/** Bytes at a fixed address, for structures that hold pointers to each other. `address` is valid while the object is referenced. */
export interface Memory {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly view: DataView<ArrayBuffer>
  readonly address: bigint
  /** `bytes.length`, as size_t arguments want it. */
  readonly length: bigint
}

/** References whatever a running call has only the address of, so that the collector can't take it meanwhile. */
const inFlight: { held: unknown } = { held: undefined }

/** Zeroed memory outside the garbage collector's moving heap. */
export function allocate(size: number): Memory {
  const buffer = new ArrayBuffer(Math.max(size, 1))
  return {
    bytes: new Uint8Array(buffer, 0, size),
    view: new DataView(buffer),
    address: ffi.getRawPointer(buffer),
    length: BigInt(size),
  }
}

/** Memory that starts as a copy of `bytes`. */
export function allocateCopy(bytes: Uint8Array): Memory {
  const memory = allocate(bytes.length)
  memory.bytes.set(bytes)
  return memory
}

/** A NUL-terminated copy of `text`. */
export function allocateString(text: string): Memory {
  return allocateCopy(Buffer.from(`${text}\0`))
}

// ---- descriptors ----------------------------------------------------------------------------------------------------------

export const O_RDONLY = 0
export const O_RDWR = 2
export const O_CREAT = 0o100
export const O_EXCL = 0o200
export const O_NONBLOCK = 0o4000
export const O_CLOEXEC = 0o2000000

/** Opens `path`; O_CLOEXEC is always added. */
export function open(path: string, flags: number = O_RDONLY, mode = 0): number {
  const fd = c.open(path, flags | O_CLOEXEC, mode)
  if (fd < 0) throw new SystemError('open', errno(), `cannot open ${path}`)
  return fd
}

export function close(fd: number): void {
  if (c.close(fd) < 0) throw new SystemError('close', errno(), `cannot close descriptor ${fd}`)
}

/** Reads into `into`. Returns the bytes read (0: end of file), or -1 when a non-blocking descriptor has nothing (EAGAIN). */
export function read(fd: number, into: Uint8Array | Memory): number {
  inFlight.held = into
  const n = Number(c.read(fd, pointerOf(into), into instanceof Uint8Array ? BigInt(into.length) : into.length))
  return n >= 0 ? n : wouldBlock('read', fd)
}

/** Writes `bytes`. Returns the bytes written, or -1 when a non-blocking descriptor takes nothing now (EAGAIN). */
export function write(fd: number, bytes: Uint8Array | Memory): number {
  inFlight.held = bytes
  const n = Number(c.write(fd, pointerOf(bytes), bytes instanceof Uint8Array ? BigInt(bytes.length) : bytes.length))
  return n >= 0 ? n : wouldBlock('write', fd)
}

/** ioctl(2) with memory that is read and written in place, or a plain number. */
export function ioctl(
  fd: number,
  request: number,
  argument: Uint8Array | Memory | number,
  attempted = 'ioctl',
): number {
  inFlight.held = argument
  const value = typeof argument === 'number' ? BigInt(argument) : pointerOf(argument)
  const result = c.ioctl(fd, BigInt(request), value)
  if (result < 0) throw new SystemError('ioctl', errno(), attempted)
  return result
}

export function fcntl(fd: number, command: number, argument = 0): number {
  const result = c.fcntl(fd, command, BigInt(argument))
  if (result < 0) throw new SystemError('fcntl', errno(), `cannot change descriptor ${fd}`)
  return result
}

const F_DUPFD_CLOEXEC = 1030

export function duplicate(fd: number): number {
  return fcntl(fd, F_DUPFD_CLOEXEC, 3)
}

const LOCK_EX = 2
const LOCK_NB = 4
const EWOULDBLOCK = 11

/** Locks an open file or folder against all other openings of it, until it is closed. False: somebody else has it locked. */
export function flock(fd: number): boolean {
  if (c.flock(fd, LOCK_EX | LOCK_NB) === 0) return true
  const number = errno()
  if (number === EWOULDBLOCK) return false
  throw new SystemError('flock', number, `cannot lock descriptor ${fd}`)
}

const AT_FDCWD = -100
const RENAME_EXCHANGE = 2

/** Two files change names, at one moment. Throws ENOENT when one of them isn't there, EINVAL where the file system can't. */
export function exchangeFiles(a: string, b: string): void {
  if (c.renameat2(AT_FDCWD, a, AT_FDCWD, b, RENAME_EXCHANGE) < 0)
    throw new SystemError('renameat2', errno(), `cannot exchange ${a} and ${b}`)
}

// ---- waiting --------------------------------------------------------------------------------------------------------------

export const POLLIN = 0x1
export const POLLOUT = 0x4
export const POLLERR = 0x8
export const POLLHUP = 0x10
export const POLLNVAL = 0x20

/** A set of descriptors to wait on, reusable without allocation. */
export class PollSet {
  readonly #memory: Memory
  readonly #count: number

  constructor(entries: readonly { readonly fd: number; readonly events: number }[]) {
    this.#count = entries.length
    this.#memory = allocate(entries.length * 8)
    entries.forEach(({ fd, events }, i) => {
      this.#memory.view.setInt32(i * 8, fd, true)
      this.#memory.view.setInt16(i * 8 + 4, events, true)
    })
  }

  /** Blocks this thread until an entry is ready or `timeoutMs` (-1: for ever) has passed. Returns how many are ready; a signal counts as none. */
  wait(timeoutMs: number): number {
    const ready = c.poll(this.#memory.address, BigInt(this.#count), timeoutMs)
    if (ready >= 0) return ready
    const code = errno()
    if (code === 4 /* EINTR */) return 0
    throw new SystemError('poll', code, 'cannot wait for descriptors')
  }

  /** The events of entry `i` after the last `wait`. */
  returned(i: number): number {
    return this.#memory.view.getInt16(i * 8 + 6, true)
  }
}

/** Waits once on the given descriptors; returns their returned events in the same order. */
export function poll(
  entries: readonly { readonly fd: number; readonly events: number }[],
  timeoutMs: number,
): number[] {
  const set = new PollSet(entries)
  set.wait(timeoutMs)
  return entries.map((_, i) => set.returned(i))
}

const EFD_CLOEXEC = 0o2000000
const EFD_NONBLOCK = 0o4000

/** A non-blocking eventfd: how one thread wakes another that sits in `poll`. */
export function eventfd(initial = 0): number {
  const fd = c.eventfd(initial, EFD_CLOEXEC | EFD_NONBLOCK)
  if (fd < 0) throw new SystemError('eventfd', errno(), 'cannot make an eventfd')
  return fd
}

const one = new Uint8Array(BigUint64Array.of(1n).buffer)
const drained = allocate(8)

/** Makes the eventfd readable. */
export function eventfdSignal(fd: number): void {
  write(fd, one)
}

/** Makes the eventfd unreadable again; tells whether it was signalled. */
export function eventfdDrain(fd: number): boolean {
  return read(fd, drained) === 8
}

// ---- sockets --------------------------------------------------------------------------------------------------------------

export const SOCK_NONBLOCK = 0o4000
export const SOCK_CLOEXEC = 0o2000000

export function socket(family: number, type: number, protocol: number): number {
  const fd = c.socket(family, type | SOCK_CLOEXEC, protocol)
  if (fd < 0) throw new SystemError('socket', errno(), `cannot open a socket of family ${family}, protocol ${protocol}`)
  return fd
}

export function bind(fd: number, address: Uint8Array): void {
  if (c.bind(fd, address, address.length) < 0) throw new SystemError('bind', errno(), 'cannot bind the socket')
}

/** connect(2). Throws EAGAIN on a non-blocking unix socket whose listener's queue is full. */
export function connect(fd: number, address: Uint8Array): void {
  if (c.connect(fd, address, address.length) < 0) throw new SystemError('connect', errno(), 'cannot connect the socket')
}

export function getsockname(fd: number, size: number): Uint8Array {
  const address = allocate(size)
  const length = allocate(4)
  length.view.setUint32(0, size, true)
  if (c.getsockname(fd, address.bytes, length.bytes) < 0) {
    throw new SystemError('getsockname', errno(), 'cannot read the address of the socket')
  }
  return address.bytes.subarray(0, length.view.getUint32(0, true))
}

export function setsockopt(fd: number, level: number, option: number, value: number): void {
  const memory = new Uint8Array(Int32Array.of(value).buffer)
  if (c.setsockopt(fd, level, option, memory, 4) < 0) {
    throw new SystemError('setsockopt', errno(), `cannot set socket option ${option} of level ${level}`)
  }
}

/** Sends `bytes` to `address` (or to the connected peer). */
export function sendto(fd: number, bytes: Uint8Array, flags = 0, address?: Uint8Array): number {
  const n = c.sendto(fd, bytes, BigInt(bytes.length), flags, address ?? null, address?.length ?? 0)
  if (n < 0n) throw new SystemError('sendto', errno(), `cannot send ${bytes.length} bytes`)
  return Number(n)
}

/** Receives one datagram. Returns its length (with MSG_TRUNC in `flags`: its real length), or -1 for EAGAIN. Interrupted calls are repeated. */
export function recv(fd: number, into: Memory, flags = 0): number {
  inFlight.held = into
  for (;;) {
    const n = Number(c.recv(fd, into.address, into.length, flags))
    if (n >= 0) return n
    const code = errno()
    if (code === 4 /* EINTR */) continue
    if (code === 11 /* EAGAIN */) return -1
    throw new SystemError('recv', code, 'cannot receive')
  }
}

// ---- namespaces and mounts ------------------------------------------------------------------------------------------------

export const CLONE_NEWNET = 0x40000000
export const CLONE_NEWNS = 0x00020000

/** Moves this thread, and no other, into the namespace behind `fd`. */
export function setns(fd: number, kind: number): void {
  if (c.setns(fd, kind) < 0) throw new SystemError('setns', errno(), 'cannot enter the namespace')
}

/** Gives this thread, and no other, new namespaces. */
export function unshare(kinds: number): void {
  if (c.unshare(kinds) < 0) throw new SystemError('unshare', errno(), 'cannot make a new namespace')
}

export function mount(
  source: string,
  target: string,
  type: string | null,
  flags: number,
  data: string | null = null,
): void {
  if (c.mount(source, target, type, BigInt(flags), data) < 0) {
    throw new SystemError('mount', errno(), `cannot mount ${source} on ${target}`)
  }
}

export function umount2(target: string, flags = 0): void {
  if (c.umount2(target, flags) < 0) throw new SystemError('umount2', errno(), `cannot unmount ${target}`)
}

/** The kernel's id of this thread. */
/** Gives memory that libc holds for later back to the kernel: after loading BPF objects that is ten megabytes and more. */
export function trimMalloc(): void {
  c.malloc_trim(0n)
}

export function gettid(): number {
  return c.gettid()
}

/** Ends the whole process with SIGABRT, from whichever thread. */
export function abort(message: string): never {
  process.getBuiltinModule('node:fs').writeSync(2, `${message}\n`)
  c.abort()
  throw new Error(message)
}

// ---- system calls without a libc wrapper ------------------------------------------------------------------------------------

/** syscall(2). Arguments are numbers or memory; throws a SystemError named `name` when the call fails. */
export function syscall(nr: number, args: readonly (number | bigint | Memory)[], name = `syscall ${nr}`): bigint {
  inFlight.held = args
  const value = (i: number): bigint => {
    const argument = args[i]
    if (argument === undefined) return 0n
    return typeof argument === 'object' ? argument.address : BigInt(argument)
  }
  const result = longs.syscall(BigInt(nr), value(0), value(1), value(2), value(3), value(4), value(5))
  if (result < 0n) throw new SystemError(name, errno(), name)
  return result
}

const NR_BPF =
  ({ x64: 321, arm64: 280, riscv64: 280, loong64: 280, s390x: 351, ppc64: 361 } as Record<string, number>)[
    process.arch
  ] ?? 321

/**
 * bpf(2) on an attribute block. `held` is whatever owns the memory that the block points to: it is kept referenced during the call.
 * Returns the kernel's result, or the negated errno: map lookups miss all the time, and a miss must not cost an exception.
 * The command, the size and the result are ints in the kernel, so the 32-bit halves of the registers are enough.
 */
export function bpf(command: number, attr: Memory, size: number, held: unknown = attr): number {
  inFlight.held = held
  const result = ints.syscall(NR_BPF, command, attr.address, size)
  const outcome = result < 0 ? -errno() : result
  inFlight.held = undefined
  return outcome
}

// ---- other libraries --------------------------------------------------------------------------------------------------------

export type Library = NodeFfi.DynamicLibrary

/** Opens a shared library by its dlopen name. Stays open for the life of the thread. */
export function library<const T extends NodeFfi.FunctionDefinitions>(
  name: string,
  definitions: T,
): NodeFfi.DynamicLibraryResult<T> {
  return ffi.dlopen(name, definitions)
}

/** Writes `bytes` to a foreign address. */
export function copyTo(address: bigint, bytes: Uint8Array): void {
  ffi.exportArrayBufferView(bytes, address, bytes.length)
}

/** A copy of `length` bytes at a foreign address. */
export function copyFrom(address: bigint, length: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(ffi.toArrayBuffer(address, length))
}

/** The NUL-terminated string at a foreign address. */
export function stringAt(address: bigint): string {
  return ffi.toString(address) ?? ''
}

// ---------------------------------------------------------------------------------------------------------------------------

function pointerOf(data: Uint8Array | Memory): Uint8Array | bigint {
  return data instanceof Uint8Array ? data : data.address
}

function wouldBlock(syscallName: string, fd: number): -1 {
  const code = errno()
  if (code === 11 /* EAGAIN */ || code === 4 /* EINTR */) return -1
  throw new SystemError(syscallName, code, `cannot ${syscallName} descriptor ${fd}`)
}
