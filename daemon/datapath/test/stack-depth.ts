/**
 * How deep a program's stack gets, as the kernel adds it up before it takes the program: along the deepest chain of calls, each frame
 * rounded up. Pure: the frames' sizes are the verifier's own, the chain is read from the instructions.
 */

/** Bytes that the kernel gives a chain of calls (MAX_BPF_STACK). */
export const STACK_LIMIT = 512

/** What a frame is rounded up to. An empty one is the interpreter's smallest in 6.6, and nothing in kernels that compile. */
export const ROUNDING = {
  compiled: (bytes: number) => Math.ceil(bytes / 16) * 16,
  linux66: (bytes: number) => Math.ceil(Math.max(bytes, 1) / 32) * 32,
} as const

export interface Subprogram {
  /** Index of its first instruction. */
  readonly start: number
  /** Instructions. */
  readonly length: number
  /** Starts of those that it calls, callbacks (bpf_loop, bpf_for_each_map_elem) among them. */
  readonly calls: readonly number[]
  /** Starts of its timers' callbacks: they run later, on a stack of their own. */
  readonly timers: readonly number[]
  readonly hasLoop: boolean
}

export interface Chain {
  readonly bytes: number
  /** Starts of the subprograms, from the outermost inwards. */
  readonly frames: readonly number[]
}

const SIZE = 8
const CALL = 0x85
const LOAD_64 = 0x18
/** In the source register of a call: a subprogram, not a helper. */
const PSEUDO_CALL = 1
/** In the source register of a 64-bit load: the address of a subprogram. */
const PSEUDO_FUNC = 4
const TIMER_SET_CALLBACK = 170
const LOOP = 181
/** What a bpf_loop takes more when the kernel inlines it: after it has checked the depth, and before it tells of it. */
const INLINED_LOOP = 24

/** The subprograms of what is given to the kernel, in its order. The program itself is the first. */
export function subprograms(instructions: Uint8Array): Subprogram[] {
  const view = new DataView(instructions.buffer, instructions.byteOffset, instructions.byteLength)
  const count = instructions.length / SIZE
  const source = (at: number) => view.getUint8(at * SIZE + 1) >> 4
  const isCall = (at: number) => view.getUint8(at * SIZE) === CALL
  const immediate = (at: number) => view.getInt32(at * SIZE + 4, true)
  const isHelper = (at: number, id: number) => isCall(at) && source(at) === 0 && immediate(at) === id
  /** Whom a callback is for: the helper that is called next. */
  function isForTimer(load: number): boolean {
    let at = load + 2
    while (at < count && !(isCall(at) && source(at) === 0)) at++
    return at < count && isHelper(at, TIMER_SET_CALLBACK)
  }
  const loops: number[] = []
  const references: { at: number; start: number; isTimer: boolean }[] = []
  for (let at = 0; at < count; at++) {
    if (isHelper(at, LOOP)) loops.push(at)
    const isWide = view.getUint8(at * SIZE) === LOAD_64
    const isDirect = isCall(at) && source(at) === PSEUDO_CALL
    if (isDirect || (isWide && source(at) === PSEUDO_FUNC))
      references.push({ at, start: at + immediate(at) + 1, isTimer: !isDirect && isForTimer(at) })
    if (isWide) at++
  }
  const starts = [...new Set([0, ...references.map(({ start }) => start)])].sort((a, b) => a - b)
  return starts.map((start, i) => {
    const end = starts[i + 1] ?? count
    const isOwn = (at: number) => at >= start && at < end
    const own = references.filter(({ at }) => isOwn(at))
    return {
      start,
      length: end - start,
      calls: own.filter(({ isTimer }) => !isTimer).map((reference) => reference.start),
      timers: own.filter(({ isTimer }) => isTimer).map((reference) => reference.start),
      hasLoop: loops.some(isOwn),
    }
  })
}

/** Bytes of each subprogram's frame, in their order, from a verifier log with statistics: "stack depth 24+0+56". */
export function frameSizes(log: string): number[] {
  const depths = /^stack depth ([\d+]+)/m.exec(log)?.[1]
  if (depths === undefined) throw new TypeError('the verifier’s log has no line “stack depth”: load with log level 4')
  return depths.split('+').map(Number)
}

/** The chain of calls that needs most, of those that start with the program and those that start with a timer. */
export function deepestChain(
  program: readonly Subprogram[],
  frames: readonly number[],
  round: (bytes: number) => number,
): Chain {
  if (frames.length !== program.length)
    throw new TypeError(`the verifier tells of ${frames.length} subprograms, the instructions of ${program.length}`)
  const byStart = new Map(
    program.map((subprogram, i) => {
      const bytes = frames[i]! - (subprogram.hasLoop ? INLINED_LOOP : 0)
      return [subprogram.start, { ...subprogram, bytes: round(bytes) }]
    }),
  )
  const known = new Map<number, Chain>()
  function from(start: number): Chain {
    const before = known.get(start)
    if (before) return before
    const { bytes, calls } = byStart.get(start)!
    const inner = deepest(calls.map(from))
    const chain = { bytes: bytes + inner.bytes, frames: [start, ...inner.frames] }
    known.set(start, chain)
    return chain
  }
  return deepest([0, ...program.flatMap(({ timers }) => timers)].map(from))
}

function deepest(chains: readonly Chain[]): Chain {
  return chains.reduce((most, chain) => (chain.bytes > most.bytes ? chain : most), { bytes: 0, frames: [] })
}
