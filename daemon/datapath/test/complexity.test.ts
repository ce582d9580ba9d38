/** Proves: the verifier's work per program is at most 20 % above what complexity.json records (rewrite it with test/measure.ts). */
import { strict as assert } from 'node:assert'
import { readFileSync } from 'node:fs'
import { Fixture } from './fixture.ts'
import { COMPLEXITY_FILE, type Complexity, measureComplexity } from './measure.ts'
import { cannotRun } from './node.ts'

const RISE = 1.2

describe('datapath: complexity', function () {
  this.timeout(60000)

  before(function () {
    if (cannotRun()) this.skip()
  })

  it('has not risen by more than 20 %', () => {
    using node = new Fixture()
    const recorded = JSON.parse(readFileSync(COMPLEXITY_FILE, 'utf8')) as Complexity
    const measured = measureComplexity(node)
    assert.deepEqual(Object.keys(measured).sort(), Object.keys(recorded).sort())
    const risen = Object.entries(measured).filter(([program, insns]) => insns > recorded[program]! * RISE)
    assert.deepEqual(risen, [], `recorded: ${JSON.stringify(recorded)}`)
  })
})
