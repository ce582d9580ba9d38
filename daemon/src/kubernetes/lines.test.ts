import assert from 'node:assert/strict'
import fc from 'fast-check'
import { Lines } from './lines.ts'
import { isOlder, pathOf } from './objects.ts'

describe('a stream of lines', () => {
  it('is the same, however its bytes are cut', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'grapheme' })), fc.array(fc.nat(20)), (texts, cuts) => {
        const wanted = texts.map((text) => text.replaceAll('\n', '')).filter((text) => text !== '')
        const bytes = Buffer.from(wanted.map((text) => `${text}\n`).join(''))
        const lines: string[] = []
        const reader = new Lines((line) => lines.push(line))
        let at = 0
        for (const cut of cuts) {
          reader.add(bytes.subarray(at, at + cut))
          at += cut
        }
        reader.add(bytes.subarray(at))
        assert.deepEqual(lines, wanted)
        assert.equal(reader.isCut, false)
      }),
    )
  })

  it('keeps what has no end, and says so', () => {
    const lines: string[] = []
    const reader = new Lines((line) => lines.push(line))
    reader.add(Buffer.from('a\nb'))
    assert.deepEqual([lines, reader.isCut], [['a'], true])
  })
})

describe('versions and paths of objects', () => {
  it('compare as numbers of any length', () => {
    assert.ok(isOlder('99', '100'))
    assert.ok(isOlder('18446744073709551615', '18446744073709551616'))
    assert.equal(isOlder('100', '100'), false)
    assert.equal(isOlder('abc', '100'), false)
    assert.equal(isOlder(undefined, '100'), false)
  })

  it('are those of the API', () => {
    const pods = { group: '', version: 'v1', plural: 'pods' }
    assert.equal(
      pathOf(pods, { namespace: 'a', name: 'b', subresource: 'status' }),
      '/api/v1/namespaces/a/pods/b/status',
    )
    assert.equal(
      pathOf({ group: 'vrouter.dev', version: 'v1alpha1', plural: 'ipamblocks' }, { name: 'x/y' }),
      '/apis/vrouter.dev/v1alpha1/ipamblocks/x%2Fy',
    )
  })
})
