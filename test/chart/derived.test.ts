/** What is made of the chart and committed is what the chart gives now. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { findHelm } from '../../hack/manifests/helm.ts'
import { readme } from '../../hack/manifests/readme.ts'
import { valuesSchema } from '../../hack/manifests/schema.ts'
import { readValues } from '../../hack/manifests/values.ts'
import { type Derived, derivedFromChart, derivedFromValues } from '../../hack/manifests.ts'
import { skipWithoutHelm } from './chart.ts'

const root = resolve(import.meta.dirname, '../..')

function assertCurrent({ file, text }: Derived): void {
  const committed = readFileSync(join(root, file), 'utf8')
  assert.ok(committed === text, `${file} isn't what the chart gives: npm run manifests`)
}

describe('what is made of values.yaml', () => {
  it('is up to date', () => {
    for (const derived of derivedFromValues()) assertCurrent(derived)
  })

  it('tells of every value, the first of a section included', () => {
    const values = readValues(`
section:
  # -- The first,
  # over two lines.
  first: 1
  # -- The second | third.
  second: {a: b}
`)
    assert.deepEqual(values, [
      { path: 'section.first', description: 'The first, over two lines.', fallback: 1 },
      { path: 'section.second', description: 'The second | third.', fallback: { a: 'b' } },
    ])
    assert.match(readme('# Head\n', values), /\| `section\.second` \| `\{"a":"b"\}` \| The second \\\| third\. \|/)
  })

  it('can not leave a value out', () => {
    assert.throws(() => readValues('a: 1\n'), /values\.yaml: a has no comment/)
    assert.throws(() => readValues('# -- Good.\na: 1\nb: {}\n'), /b has no comment/)
  })

  it('can not tell of a value that is not there, nor be silent about a type', () => {
    const values = readValues('# -- Good.\na: x\n')
    assert.throws(() => valuesSchema(values, {}), /values\.yaml doesn't have/)
  })
})

describe('manifests/', function () {
  this.timeout(60_000)

  before(function () {
    skipWithoutHelm(this)
  })

  it('is up to date', () => {
    for (const derived of derivedFromChart(findHelm()!)) assertCurrent(derived)
  })

  it('has no hook among what is applied: kubectl would run the clean-up at once', () => {
    const text = readFileSync(join(root, 'manifests/kube-vrouter.yaml'), 'utf8')
    assert.doesNotMatch(text, /helm\.sh\/hook|vrouter-cleanup/)
  })
})
