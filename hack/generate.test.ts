/** The generated codecs say what the C says, now. */

import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { sharedBits } from './generate/constants.ts'
import { generate } from './generate.ts'

describe('npm run generate', () => {
  it('would change nothing', function () {
    if (spawnSync('clang', ['--version']).error) this.skip() // needs clang
    for (const [name, text] of generate()) {
      const committed = readFileSync(join(import.meta.dirname, '../daemon/src/maps', name), 'utf8')
      assert.equal(committed, text, `${name} is stale: run npm run generate`)
    }
  })
  it('refuses flags that share a bit', () => {
    const flags = [
      { name: 'A', value: 0x1 },
      { name: 'B', value: 0x80000000 },
      { name: 'C', value: 0x2 },
    ]
    assert.deepEqual(sharedBits(flags), [])
    assert.deepEqual(sharedBits([...flags, { name: 'D', value: 0x80000000 }]), ['B', 'D'])
  })
})
