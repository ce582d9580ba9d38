import assert from 'node:assert/strict'
import { join } from 'node:path'
import { idleReasons, lengthsOf, tooLong } from './lengths.ts'

describe('lengths of files', () => {
  const lengths = [
    { file: 'a.ts', lines: 401 },
    { file: 'b.ts', lines: 400 },
    { file: 'c.ts', lines: 900 },
    { file: 'd.test.ts', lines: 900 },
    { file: 'e.ts', lines: 12 },
  ]
  const exceptions = { 'c.ts': 'generated', 'e.ts': 'was long', 'gone.ts': 'was there' }

  it('names what is too long and has no reason; tests may be long', () => {
    assert.deepEqual(tooLong(lengths, exceptions), [
      'a.ts has 401 lines: give its concepts files of their own, or a reason in hack/lengths.ts',
    ])
  })

  it('names reasons that nothing needs any more', () => {
    assert.deepEqual(idleReasons(lengths, exceptions), ['e.ts', 'gone.ts'])
  })

  it('finds nothing in this tree', () => {
    assert.deepEqual(tooLong(lengthsOf(join(import.meta.dirname, '..'))), [])
  })
})
