/** Proves: the stack of a program is added up as the kernel does, over calls, callbacks and timers. */
import { strict as assert } from 'node:assert'
import { deepestChain, frameSizes, ROUNDING, subprograms } from './stack-depth.ts'

const EXIT = [0x95, 0, 0, 0, 0, 0, 0, 0]
const call = (offset: number) => [0x85, 0x10, 0, 0, ...int32(offset)]
const helper = (id: number) => [0x85, 0, 0, 0, ...int32(id)]
const address = (offset: number) => [0x18, 0x42, 0, 0, ...int32(offset), 0, 0, 0, 0, 0, 0, 0, 0]
const BPF_LOOP = 181
const TIMER_SET_CALLBACK = 170

function int32(value: number): number[] {
  return [...new Uint8Array(Int32Array.of(value).buffer)]
}

describe('stack depth', () => {
  it('is that of the deepest chain of calls, each frame rounded up', () => {
    // 0: calls 3 and 5; 3: calls 5; 5: calls nobody
    const program = subprograms(Uint8Array.from([call(2), call(3), EXIT, call(1), EXIT, EXIT].flat()))
    assert.deepEqual(
      program.map(({ start, length, calls }) => [start, length, calls]),
      [
        [0, 3, [3, 5]],
        [3, 2, [5]],
        [5, 1, []],
      ],
    )
    const frames = frameSizes('processed 6 insns\nverification time 9 usec\nstack depth 40+0+17\n')
    assert.deepEqual(deepestChain(program, frames, ROUNDING.compiled), { bytes: 48 + 0 + 32, frames: [0, 3, 5] })
    assert.deepEqual(deepestChain(program, frames, ROUNDING.linux66), { bytes: 64 + 32 + 32, frames: [0, 3, 5] })
  })

  it('counts a callback as a call, and a timer’s as a stack of its own', () => {
    const callback = (id: number) => subprograms(Uint8Array.from([address(3), helper(id), EXIT, EXIT].flat()))
    // The verifier tells of 24 bytes more where it inlined a loop.
    assert.deepEqual(deepestChain(callback(BPF_LOOP), [88, 96], ROUNDING.compiled), { bytes: 160, frames: [0, 4] })
    assert.deepEqual(deepestChain(callback(TIMER_SET_CALLBACK), [64, 96], ROUNDING.compiled), {
      bytes: 96,
      frames: [4],
    })
    assert.deepEqual(deepestChain(callback(TIMER_SET_CALLBACK), [112, 96], ROUNDING.compiled), {
      bytes: 112,
      frames: [0],
    })
  })

  it('is not told without the verifier’s statistics, or of another program', () => {
    assert.throws(() => frameSizes('processed 6 insns'), /log level 4/)
    assert.throws(() => deepestChain(subprograms(Uint8Array.from(EXIT)), [8, 8], ROUNDING.compiled), /2 subprograms/)
  })
})
