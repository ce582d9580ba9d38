import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { SystemError } from '@kube-vrouter/linux/errors'
import { CniError, cniErrorOf, ErrorCode, errorDocument } from './errors.ts'

describe('errors', () => {
  it('that this plugin gives are in the table for operators, and no others', () => {
    const page = readFileSync(join(import.meta.dirname, '../../docs/cni.md'), 'utf8')
    const documented = [...page.matchAll(/^\| (\d+) \|/gm)].map(([, code]) => Number(code))
    const sources = ['add', 'attachment', 'check', 'config', 'daemon', 'environment', 'gc', 'main', 'release', 'status']
    const text = [...sources, 'versions', 'wishes', 'errors']
      .map((name) => readFileSync(join(import.meta.dirname, `${name}.ts`), 'utf8'))
      .join('\n')
    const used = Object.entries(ErrorCode).filter(([name]) => text.includes(`ErrorCode.${name}`))
    assert.deepEqual(
      documented,
      used.map(([, code]) => code),
    )
  })

  it('keep the first cause when cleaning up fails too', () => {
    const first = new CniError(ErrorCode.INTERFACE_EXISTS, 'taken', 'remedy')
    const error = cniErrorOf(new SuppressedError(new Error('no space'), first))
    assert.deepEqual(
      [error.code, error.message, error.details],
      [101, 'taken', 'remedy; cleaning up failed too: no space'],
    )
  })

  it('of any kind become one document', () => {
    assert.equal(cniErrorOf(new SystemError('sendmsg', 1, 'cannot make a link')).code, ErrorCode.KERNEL)
    for (const thrown of [new TypeError('x'), 'x', undefined, null, 7]) assert.equal(cniErrorOf(thrown).code, 999)
    const document = errorDocument(new CniError(7, 'm'), '1.0.0')
    assert.deepEqual(document, { cniVersion: '1.0.0', code: 7, msg: 'm' })
  })
})
