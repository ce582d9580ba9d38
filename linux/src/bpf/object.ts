/**
 * A compiled bpf object: opened, configured, loaded and taken apart into descriptors by libbpf (libbpf.so.1).
 *
 * Everything but `open`, the setters and `load` is plain descriptors, valid until the object is disposed; pins and bpf links keep
 * maps and programs alive beyond that. Main thread only: libbpf's log callback is one for the whole process.
 */

import { readFileSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'
import { SystemError } from '../errors.ts'
import { allocate, allocateString, copyFrom, copyTo, errno, type Memory, stringAt } from '../ffi.ts'
import { readElf } from './elf.ts'
import { captureLog, type LibbpfFunctions, libbpf } from './libbpf.ts'
import { mapInfo, programInfo, TcxAttach } from './syscall.ts'
import { VerifierError } from './verifier.ts'

export { isPinned } from './pin.ts'
export { VerifierError } from './verifier.ts'

export interface OpenOptions {
  /** Sizes of maps by name; others keep what the object says. */
  readonly maxEntries?: { readonly [map: string]: number }
  /** Descriptors of maps to use instead of making new ones. They stay the caller's. */
  readonly reuse?: { readonly [map: string]: number }
  /**
   * Folder on a bpf file system: each map is pinned there under its name, and one that is pinned there already is used if it fits (EINVAL if
   * not). Maps of constants and variables (.rodata, .bss) are never pinned.
   */
  readonly pinDir?: string
  /** Values of constants (`const volatile`) by name: little-endian bytes, or a number of the variable's size. */
  readonly constants?: { readonly [name: string]: Uint8Array | number | bigint | boolean }
  /** Verifier log: 0 only when a program is refused (default), 1 branches, 2 all, 4 nothing but statistics. `programLog` returns it. */
  readonly logLevel?: 0 | 1 | 2 | 4
  /** Shown by bpftool; default: the file's name. */
  readonly name?: string
}

/** Room for the verifier's log. Untouched pages of it cost nothing; newer kernels keep the end of a longer one. */
const LOG_BYTES = 16 << 20
/** One for all objects: they are loaded one after the other. */
let logBuffer: Memory | undefined

const OPEN_OPTS_SIZE = 80
const INSTRUCTION_BYTES = 8
const PROG_TYPE_SCHED_CLS = 3
/** libbpf's own error numbers start here (a file that is no object, a missing license…); its text says what they mean. */
const LIBBPF_ERRNO_START = 4000
const EINVAL = 22

export class BpfObject implements Disposable {
  readonly name: string
  readonly #bpf: LibbpfFunctions
  /** The object's bytes: libbpf keeps pointing into them. */
  readonly #image: Memory
  readonly #elf: ReturnType<typeof readElf>
  #handle: bigint
  #messages: string[] = []
  #log = ''
  #loaded = false

  private constructor(name: string, handle: bigint, image: Memory) {
    this.name = name
    this.#bpf = libbpf()
    this.#handle = handle
    this.#image = image
    this.#elf = readElf(image.bytes)
  }

  /** Reads an object from a path or from memory, and configures it. Nothing reaches the kernel before `load`. */
  static open(source: string | Uint8Array, options: OpenOptions = {}): BpfObject {
    if (!isMainThread) throw new Error('bpf objects are loaded on the main thread only')
    const name = options.name ?? (typeof source === 'string' ? baseName(source) : 'object')
    const file = typeof source === 'string' ? readObject(source) : source
    const image = allocate(file.length)
    image.bytes.set(file)
    const object = new BpfObject(name, openMemory(name, image, options.logLevel ?? 0), image)
    try {
      object.#configure(options)
    } catch (error) {
      object[Symbol.dispose]()
      throw error
    }
    return object
  }

  #configure(options: OpenOptions): void {
    this.#typeTcxPrograms()
    for (const [map, count] of Object.entries(options.maxEntries ?? {})) this.setMaxEntries(map, count)
    for (const [map, fd] of Object.entries(options.reuse ?? {})) this.reuseMap(map, fd)
    for (const [name, value] of Object.entries(options.constants ?? {})) this.setConstant(name, value)
    if (options.pinDir === undefined) return
    for (const map of this.mapNames()) {
      if (map in (options.reuse ?? {}) || map.includes('.')) continue
      this.setPinPath(map, `${options.pinDir}/${map}`)
    }
  }

  /** libbpf learnt the section names tcx/ingress and tcx/egress in 1.3; an older one is told what they mean. */
  #typeTcxPrograms(): void {
    for (const program of this.#programs()) {
      if (this.#bpf.bpf_program__type(program) !== 0) continue
      const section = stringAt(this.#bpf.bpf_program__section_name(program))
      const attach = { 'tcx/ingress': TcxAttach.INGRESS, 'tcx/egress': TcxAttach.EGRESS }[section]
      if (attach === undefined) continue
      this.#call(`cannot set the type of ${section}`, () =>
        this.#bpf.bpf_program__set_type(program, PROG_TYPE_SCHED_CLS),
      )
      this.#call(`cannot set the hook of ${section}`, () =>
        this.#bpf.bpf_program__set_expected_attach_type(program, attach),
      )
    }
  }

  [Symbol.dispose](): void {
    if (this.#handle === 0n) return
    const handle = this.#handle
    this.#handle = 0n
    captureLog(() => this.#bpf.bpf_object__close(handle))
    this.#image.bytes.fill(0, 0, 0)
  }

  // ---- before load

  setMaxEntries(map: string, count: number): void {
    this.#call(`cannot size map ${map} for ${count} entries`, () =>
      this.#bpf.bpf_map__set_max_entries(this.#map(map), count),
    )
  }

  /** Uses an existing map. Its type, key and value must be the object's (EINVAL); its size may differ. */
  reuseMap(map: string, fd: number): void {
    const handle = this.#map(map)
    const have = mapInfo(fd)
    const want = {
      type: this.#bpf.bpf_map__type(handle),
      keySize: this.#bpf.bpf_map__key_size(handle),
      valueSize: this.#bpf.bpf_map__value_size(handle),
    }
    for (const field of ['type', 'keySize', 'valueSize'] as const) {
      if (have[field] === want[field]) continue
      const detail = `its ${field} is ${have[field]}, not ${want[field]}`
      throw new SystemError('bpf', EINVAL, `cannot use the given map as ${map}`, detail)
    }
    this.#call(`cannot use the given map as ${map}`, () => this.#bpf.bpf_map__reuse_fd(handle, fd))
  }

  /** Where `load` pins the map, or finds it pinned. */
  setPinPath(map: string, path: string): void {
    this.#call(`cannot set the pin of map ${map}`, () => this.#bpf.bpf_map__set_pin_path(this.#map(map), path))
  }

  /** false: `load` leaves the program out. */
  setAutoload(program: string, load: boolean): void {
    this.#call(`cannot choose program ${program}`, () =>
      this.#bpf.bpf_program__set_autoload(this.#program(program), load ? 1 : 0),
    )
  }

  /** Sets a `const volatile` variable. After `load` the kernel takes it as a constant, and drops code that it makes dead. */
  setConstant(name: string, value: Uint8Array | number | bigint | boolean): void {
    if (this.#loaded) throw new SystemError('bpf', 1, `cannot set constant ${name}`, 'the object is loaded')
    const symbol = this.#elf.symbols.find((candidate) => candidate.name === name && candidate.size > 0)
    const section = symbol && this.#elf.sections[symbol.section]?.name
    if (!symbol || !section?.startsWith('.rodata')) {
      throw new SystemError('bpf', 2, `cannot set constant ${name}`, 'the object has no such constant')
    }
    const bytes = toBytes(name, value, symbol.size)
    const size = allocate(8)
    const start = this.#bpf.bpf_map__initial_value(this.#map(section), size.address)
    if (start === 0n || symbol.value + symbol.size > Number(size.view.getBigUint64(0, true))) {
      throw new SystemError('bpf', 2, `cannot set constant ${name}`, `map ${section} has no room for it`)
    }
    copyTo(start + BigInt(symbol.value), bytes)
  }

  // ---- load

  /** Makes the maps and loads the programs. A refused program throws a VerifierError; nothing then stays in the kernel but maps pinned so far. */
  load(): this {
    let result = 0
    verifierLog().bytes[0] = 0
    this.#messages = captureLog(() => {
      result = this.#bpf.bpf_object__load(this.#live())
    })
    this.#log = stringAt(verifierLog().address)
    if (result < 0) throw this.#loadError(-result)
    this.#loaded = true
    return this
  }

  #loadError(code: number): SystemError {
    const text = this.#messages.join('')
    const refused = /prog '([^']+)': BPF program load failed/.exec(text)?.[1]
    if (refused) return new VerifierError(refused, code, this.#log)
    return new SystemError('bpf', kernelErrno(code), `cannot load object ${this.name}`, cause(this.#messages))
  }

  /** The verifier's log of the program loaded last, when `logLevel` was set. */
  programLog(): string {
    return this.#log
  }

  /** What libbpf had to say during `load`, one line each. */
  messages(): readonly string[] {
    return this.#messages.map((message) => message.trimEnd())
  }

  // ---- after load

  mapNames(): string[] {
    const object = this.#live()
    const names: string[] = []
    let map = this.#bpf.bpf_object__next_map(object, 0n)
    for (; map !== 0n; map = this.#bpf.bpf_object__next_map(object, map))
      names.push(stringAt(this.#bpf.bpf_map__name(map)))
    return names
  }

  programNames(): string[] {
    return Array.from(this.#programs(), (program) => stringAt(this.#bpf.bpf_program__name(program)))
  }

  *#programs(): Generator<bigint> {
    const object = this.#live()
    let program = this.#bpf.bpf_object__next_program(object, 0n)
    for (; program !== 0n; program = this.#bpf.bpf_object__next_program(object, program)) yield program
  }

  hasMap(name: string): boolean {
    return this.mapNames().includes(name)
  }

  /** The object's own descriptor: don't close it, and duplicate it to keep it. */
  mapFd(name: string): number {
    return this.#descriptor(`map ${name}`, this.#bpf.bpf_map__fd(this.#map(name)))
  }

  programFd(name: string): number {
    return this.#descriptor(`program ${name}`, this.#bpf.bpf_program__fd(this.#program(name)))
  }

  /** Instructions that the verifier walked for the program. */
  verifiedInsns(program: string): number {
    return programInfo(this.programFd(program)).verifiedInsns
  }

  /** What the kernel was given of the program: its instructions and those of all that it calls, addresses filled in. */
  instructions(program: string): Uint8Array {
    const handle = this.#program(program)
    const count = Number(this.#bpf.bpf_program__insn_cnt(handle))
    return copyFrom(this.#bpf.bpf_program__insns(handle), count * INSTRUCTION_BYTES)
  }

  /** Functions of the object: name and number of instructions. */
  functions(): { readonly name: string; readonly length: number }[] {
    return this.#elf.symbols
      .filter(({ size, section }) => size > 0 && this.#elf.sections[section]?.name === '.text')
      .map(({ name, size }) => ({ name, length: size / INSTRUCTION_BYTES }))
  }

  #descriptor(what: string, fd: number): number {
    if (fd < 0) throw new SystemError('bpf', -fd, `cannot get the descriptor of ${what}`, 'the object is not loaded')
    return fd
  }

  #map(name: string): bigint {
    const map = this.#bpf.bpf_object__find_map_by_name(this.#live(), name)
    if (map === 0n) throw new SystemError('bpf', 2, `cannot find map ${name}`, `object ${this.name} has no such map`)
    return map
  }

  #program(name: string): bigint {
    const program = this.#bpf.bpf_object__find_program_by_name(this.#live(), name)
    if (program === 0n)
      throw new SystemError('bpf', 2, `cannot find program ${name}`, `object ${this.name} has no such program`)
    return program
  }

  #live(): bigint {
    if (this.#handle === 0n) throw new SystemError('bpf', 9, `cannot use object ${this.name}`, 'it is closed')
    return this.#handle
  }

  #call(attempted: string, fn: () => number): void {
    let result = 0
    const messages = captureLog(() => {
      result = fn()
    })
    if (result < 0) throw new SystemError('bpf', -result, attempted, cause(messages))
  }
}

function kernelErrno(code: number): number {
  return code >= LIBBPF_ERRNO_START ? EINVAL : code
}

function verifierLog(): Memory {
  logBuffer ??= allocate(LOG_BYTES)
  return logBuffer
}

/** struct bpf_object_open_opts. */
function openMemory(name: string, image: Memory, logLevel: number): bigint {
  const log = verifierLog()
  const opts = allocate(OPEN_OPTS_SIZE)
  const objectName = allocateString(name)
  opts.view.setBigUint64(0, BigInt(OPEN_OPTS_SIZE), true)
  opts.view.setBigUint64(8, objectName.address, true)
  opts.view.setBigUint64(56, log.address, true)
  opts.view.setBigUint64(64, BigInt(log.bytes.length), true)
  opts.view.setUint32(72, logLevel, true)
  let handle = 0n
  let code = 0
  const messages = captureLog(() => {
    handle = libbpf().bpf_object__open_mem(image.address, BigInt(image.bytes.length), opts.address)
    if (handle === 0n) code = errno()
  })
  if (handle === 0n || objectName.bytes.length === 0) {
    throw new SystemError('bpf', kernelErrno(code), `cannot open object ${name}`, cause(messages))
  }
  return handle
}

function readObject(path: string): Uint8Array {
  try {
    return readFileSync(path)
  } catch (error) {
    throw new SystemError('open', Math.abs((error as NodeJS.ErrnoException).errno ?? 5), `cannot read object ${path}`)
  }
}

function toBytes(name: string, value: Uint8Array | number | bigint | boolean, size: number): Uint8Array {
  if (value instanceof Uint8Array) {
    if (value.length !== size) throw new RangeError(`constant ${name} has ${size} bytes, not ${value.length}`)
    return value
  }
  if (![1, 2, 4, 8].includes(size)) throw new RangeError(`constant ${name} has ${size} bytes: give its bytes`)
  const bits = BigInt(value)
  if (BigInt.asUintN(size * 8, bits) !== bits && BigInt.asIntN(size * 8, bits) !== bits) {
    throw new RangeError(`constant ${name} has ${size} bytes, too few for ${value}`)
  }
  const bytes = new Uint8Array(8)
  new DataView(bytes.buffer).setBigUint64(0, BigInt.asUintN(64, bits), true)
  return bytes.subarray(0, size)
}

/** 'build/tap.bpf.o' -> 'tap'. */
function baseName(path: string): string {
  return (path.split('/').at(-1) ?? path).split('.')[0] ?? path
}

/** libbpf's warnings go from the cause to its consequences. */
function cause(messages: readonly string[]): string | undefined {
  return messages[0]?.replace(/^libbpf: /, '').trimEnd()
}
