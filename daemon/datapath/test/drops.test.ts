/**
 * Proves: every drop reason that the programs give was given while the tests of this folder ran, or is listed here with why none can make
 * it. Each TestNode notes in the file KV_DROPS_REACHED which of its counters rose; hack/test runs this one last.
 */
import { strict as assert } from 'node:assert'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import * as constants from '../../src/maps/constants.ts'

const DATAPATH = new URL('../', import.meta.url).pathname

/** Reasons of steps that fail only when the kernel does: no packet can make them. */
const NOT_BY_PACKETS: Record<string, string> = {
  DROP_FRAGMENT_QUEUE_FAIL:
    'a fragment that waited comes into its device again, unless that goes down meanwhile, or the memory is out',
  DROP_MISC: 'a pointer that the verifier wants checked is never null',
  DROP_NO_MEMORY: 'the kernel is out of memory',
  DROP_PUSH: 'no room for headers, or a super-packet of more than 64 KiB with them',
  DROP_REWRITE_FAIL: 'the headers were read before, so they can be written',
}

const numbers = constants as unknown as Record<string, number>

/** Names of the reasons that the programs give. */
function given(): string[] {
  const names = ['', 'lib/'].flatMap((folder) =>
    readdirSync(`${DATAPATH}${folder}`)
      .filter((file) => /(\.bpf\.c|\.h)$/.test(file) && file !== 'types.h')
      .flatMap((file) => readFileSync(`${DATAPATH}${folder}${file}`, 'utf8').match(/\bDROP_[A-Z0-9_]+\b/g) ?? []),
  )
  return [...new Set(names)].filter((name) => name !== 'DROP_REASONS').sort()
}

describe('datapath: drop reasons', () => {
  it('were all reached by the tests before', function () {
    const file = process.env['KV_DROPS_REACHED']
    if (file === undefined || !existsSync(file)) {
      this.test!.parent!.title += ' (skipped: no other test of the datapath ran before)'
      this.skip()
    }
    const reached = new Set(readFileSync(file, 'utf8').trim().split('\n').map(Number))
    const missing = given().filter((name) => !reached.has(numbers[name]!) && !(name in NOT_BY_PACKETS))
    assert.deepEqual(missing, [])
  })

  it('are excused only if a program gives them', () => {
    const names = given()
    assert.ok(names.length > 25, `${names.length} reasons found`)
    assert.deepEqual(
      Object.keys(NOT_BY_PACKETS).filter((name) => !names.includes(name)),
      [],
    )
  })
})
