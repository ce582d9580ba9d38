import assert from 'node:assert/strict'
import { ApiError } from './kubernetes/errors.ts'
import { briefly, createLog, errorFields } from './log.ts'

describe('errors in the log', () => {
  const inner = new Error('no answer within 5000 ms')
  const exchange = Object.assign(new Error('the connection was ended', { cause: inner }), { code: 23 })
  const slow = new ApiError('API_UNREACHABLE', 'PATCH /api/v1/x at 192.0.2.1:6443: no answer within 5000 ms', {
    cause: exchange,
  })

  it('of ours say code, message, remedy and what the causes say, without anybody’s stack', () => {
    const fields = errorFields(slow) as Record<string, unknown>
    assert.equal(fields['cause'], 'the connection was ended: no answer within 5000 ms')
    assert.doesNotMatch(JSON.stringify(fields), /\bat .*:\d+:\d+/)
  })

  it('that are nobody’s own say where they come from', () => {
    assert.match(JSON.stringify(errorFields(new TypeError('x is not a function'))), /log\.test\.ts/)
    assert.match(JSON.stringify(briefly(new TypeError('x is not a function'))), /log\.test\.ts/)
  })

  it('of what is tried again are one short line', () => {
    const lines: string[] = []
    const log = createLog('info', { write: (line: string) => void lines.push(line) })
    log.warn({ ...briefly(slow), what: 'others' }, `trying again: ${slow.message}`)
    assert.equal(lines.length, 1)
    assert.ok(lines[0]!.length < 300)
    const { level, code, err } = JSON.parse(lines[0]!)
    assert.deepEqual([level, code, err], ['warn', 'API_UNREACHABLE', undefined])
  })
})
