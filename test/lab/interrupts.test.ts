import assert from 'node:assert/strict'
import { Interrupts } from './interrupts.ts'

describe('interrupts of a lab that is being built', () => {
  for (const [code, signal] of [
    [130, 'SIGINT'],
    [143, 'SIGTERM'],
    [129, 'SIGHUP'],
  ] as const)
    it(`are also what ended the one who works: ${code}`, () => {
      using interrupts = new Interrupts()
      interrupts.noteEndOf(code)
      assert.deepEqual([interrupts.signal, interrupts.exitCode], [signal, code])
    })

  it('aren’t every other end', () => {
    using interrupts = new Interrupts()
    for (const code of [0, 1, 2, 127, 137]) interrupts.noteEndOf(code)
    assert.equal(interrupts.signal, undefined)
  })
})
