/** Proves: ranges of ports are read, written, joined and taken from each other as the kernel's own list needs it. */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { formatPorts, merge, parsePorts, subtract } from './reserved-ports.ts'

const ports = fc
  .array(fc.tuple(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 0, max: 20 })), { maxLength: 6 })
  .map((ranges) => ranges.map(([first, length]) => ({ first, last: first + length })))
const members = (ranges: readonly { readonly first: number; readonly last: number }[]) =>
  new Set(ranges.flatMap(({ first, last }) => Array.from({ length: last - first + 1 }, (_, i) => first + i)))

describe('reserved ports', () => {
  it('are written as the kernel does', () => {
    assert.deepEqual(parsePorts('\n'), [])
    assert.equal(formatPorts(parsePorts('8080,9148-9150\n')), '8080,9148-9150')
    assert.equal(formatPorts(merge(parsePorts('9149-9151,8080,9148,9152'))), '8080,9148-9152')
    assert.equal(formatPorts(subtract(parsePorts('100-200'), parsePorts('120-130,200'))), '100-119,131-199')
  })

  it('are sets', () => {
    fc.assert(
      fc.property(ports, ports, (a, b) => {
        assert.deepEqual(members(merge([...a, ...b])), members(a).union(members(b)))
        const rest = subtract(a, b)
        assert.deepEqual(members(rest), members(a).difference(members(b)))
        assert.deepEqual(merge(rest), rest)
        assert.deepEqual(parsePorts(formatPorts(rest)), rest)
      }),
    )
  })
})
