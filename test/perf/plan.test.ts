import assert from 'node:assert/strict'
import { fileOfModel } from './models.ts'
import { KEPT, type Plan, readPlan } from './plan.ts'

describe('what hack/bench is asked for', () => {
  const plan = (...words: string[]): Plan => {
    const read = readPlan(words)
    assert.ok(typeof read === 'object')
    return read
  }

  it('is a whole run, kept by the model of the processor', () => {
    const { parts, ...rest } = plan()
    assert.deepEqual([...parts], ['traffic', 'add', 'memory', 'start'])
    assert.deepEqual(rest, { runs: 5, seconds: 3, patience: 3, out: fileOfModel(KEPT) })
  })

  it('leaves the kept run alone when parts are named', () => {
    assert.equal(plan('--only', 'add').out, undefined)
    assert.equal(plan('--only', 'add', '--only', 'flood').out, undefined)
  })

  it('goes where --out says, whatever it is', () => {
    assert.equal(plan('--out', '/tmp/all.json').out, '/tmp/all.json')
    assert.equal(plan('--only', 'add', '--out', '/tmp/add.json').out, '/tmp/add.json')
  })

  it('is told apart from what measures nothing, and from what there is not', () => {
    assert.equal(readPlan(['--help']), 'help')
    assert.equal(readPlan(['--models']), 'models')
    assert.throws(() => readPlan(['--only', 'tea']), /there is no part 'tea'/)
    assert.throws(() => readPlan(['--runs', '0']), /whole numbers above 0/)
  })
})
