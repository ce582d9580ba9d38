import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { limit, type Verdict } from './figures.ts'
import { acrossModels, fileOfModel, formatModels, readKept } from './models.ts'

const spread = { median: 1, least: 1, most: 1 }
const stream = (value: number, against = 'kernel VXLAN + bridge'): Verdict => ({
  figure: 'cross node TCP stream',
  against,
  variant: 'one CPU',
  ours: spread,
  theirs: spread,
  unit: 'Gb/s',
  value,
  // Of the day on which it was measured.
  target: '>= 9',
  isReached: false,
})

describe('results by processor model', () => {
  it('lie in a file that the model names', () => {
    assert.equal(fileOfModel('bench', 'AMD EPYC'), 'bench/amd-epyc.json')
    const intel = 'Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz'
    assert.equal(fileOfModel('bench', intel), 'bench/intel-xeon-platinum-8481c-cpu-2-70ghz.json')
    assert.equal(fileOfModel('bench', '../../etc/passwd'), 'bench/etc-passwd.json')
    assert.equal(fileOfModel('bench', '()'), 'bench/unknown.json')
  })

  it('reach a target when they do on every model that was met', () => {
    const rss = (mb: number) => limit('daemon RSS', 'idle', [mb], 'MB', 130)
    const kept = [
      { model: 'a', verdicts: [rss(120), { ...stream(1.2), isReached: true }] },
      { model: 'b', verdicts: [rss(140), limit('start to ready', '', [1], 's', 2)] },
    ]
    assert.deepEqual(
      acrossModels(kept).map(({ verdict, isReached }) => [verdict.figure, isReached]),
      [
        ['daemon RSS', false],
        ['cross node TCP stream', true],
        ['start to ready', true],
      ],
    )
    const [head, first] = formatModels(kept).split('\n')
    assert.match(head!, /target +a +b$/)
    assert.match(first!, /^-- {2}daemon RSS, idle .*<= 130 +120 MB +140 MB$/)
  })

  it('are judged by the targets of today, and without those that are struck', () => {
    const folder = mkdtempSync(join(tmpdir(), 'kv-models-'))
    try {
      const verdicts = [
        stream(1.2),
        stream(1.1),
        stream(7, 'what nobody asks for any more'),
        stream(0.9, 'bare tunnel'),
      ]
      writeFileSync(join(folder, 'a.json'), JSON.stringify({ machine: { model: 'A' }, verdicts }))
      const [kept] = readKept(folder)
      assert.deepEqual(
        kept!.verdicts.map(({ value, target, isReached }) => [value, target, isReached]),
        [
          [1.2, '>= 1.15', true],
          [1.1, '>= 1.15', false],
          [0.9, '', true],
        ],
      )
      assert.equal(acrossModels([kept!]).length, 1)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('that are kept name no machine', () => {
    for (const { model } of readKept(join(import.meta.dirname, '../../bench/results'))) {
      const text = readFileSync(fileOfModel(join(import.meta.dirname, '../../bench/results'), model), 'utf8')
      assert.doesNotMatch(text, /hostname|"host":/)
    }
  })
})
