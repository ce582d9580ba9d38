/** Proves: every drop reason that the datapath names is reached by a test of this folder, or is listed here with why it can't be. */
import { strict as assert } from 'node:assert'
import { readdirSync, readFileSync } from 'node:fs'

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

function reasonsIn(folder: string, files: RegExp, pattern: RegExp): Set<string> {
  const found = new Set<string>()
  for (const file of readdirSync(folder).filter((name) => files.test(name)))
    for (const [, reason] of readFileSync(`${folder}${file}`, 'utf8').matchAll(pattern)) found.add(reason!)
  return found
}

describe('datapath: drop reasons', () => {
  it('are all reached', () => {
    const used = new Set([
      ...reasonsIn(DATAPATH, /\.bpf\.c$/, /\b(DROP_[A-Z0-9_]+)\b/g),
      ...reasonsIn(`${DATAPATH}lib/`, /^(?!types).*\.h$/, /\b(DROP_[A-Z0-9_]+)\b/g),
    ])
    used.delete('DROP_REASONS')
    const reached = reasonsIn(`${DATAPATH}test/`, /\.test\.ts$/, /\bc\.(DROP_[A-Z0-9_]+)\b/g)
    const missing = [...used].filter((reason) => !reached.has(reason) && !(reason in NOT_BY_PACKETS))
    assert.deepEqual(missing, [])
    assert.ok(used.size > 25, `${used.size} reasons found`)
  })
})
