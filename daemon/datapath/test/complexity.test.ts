/**
 * Proves: the verifier's work per program is at most 20 % above what complexity.json records, and no program's stack is deeper than
 * recorded, or deeper than kernels allow. What rises knowingly is recorded anew: node daemon/datapath/test/measure.ts
 */
import { strict as assert } from 'node:assert'
import { readFileSync } from 'node:fs'
import { Fixture } from './fixture.ts'
import { COMPLEXITY_FILE, type Complexity, ENTRIES, measureComplexity, stackOf } from './measure.ts'
import { cannotRun } from './node.ts'
import { ROUNDING, STACK_LIMIT } from './stack-depth.ts'

const RISE = 1.2

describe('datapath: complexity', function () {
  const recorded = JSON.parse(readFileSync(COMPLEXITY_FILE, 'utf8')) as Complexity
  this.timeout(60000)

  before(function () {
    if (cannotRun()) this.skip()
  })

  it('has not risen by more than 20 %', () => {
    using node = new Fixture()
    const measured = measureComplexity(node)
    assert.deepEqual(Object.keys(measured).sort(), Object.keys(recorded).sort())
    const risen = Object.entries(measured).filter(
      ([program, { instructions }]) => instructions > recorded[program]!.instructions * RISE,
    )
    assert.deepEqual(risen, [], `recorded: ${JSON.stringify(recorded)}`)
  })

  for (const [field, round, kernels] of [
    ['stack', ROUNDING.compiled, 'frames rounded up to 16'],
    ['stackLinux66', ROUNDING.linux66, 'frames rounded up to 32, as Linux 6.6 does'],
  ] as const)
    it(`leaves the stack as deep as it was, and within ${STACK_LIMIT} bytes: ${kernels}`, () => {
      for (const [object, program] of ENTRIES) {
        const { bytes, frames } = stackOf(object, program, round)
        const chain = `${program}: ${frames.join(' → ')}`
        assert.ok(bytes <= STACK_LIMIT, `${bytes} bytes of stack in ${chain}`)
        const before = recorded[program]![field]
        assert.ok(bytes <= before, `${bytes} bytes of stack, ${before} are recorded, in ${chain}`)
      }
    })
})
