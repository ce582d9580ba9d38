import assert from 'node:assert/strict'
import { isRecentKernel, missingCapabilities, preflight, printPreflight } from './preflight.ts'

describe('preflight', () => {
  it('knows kernels that are too old', () => {
    for (const old of ['5.15.0-91-generic', '6.1.0-18-amd64', '6.5.13', '4.19'])
      assert.equal(isRecentKernel(old), false, old)
    for (const recent of ['6.6.0', '6.10.3-cloud', '6.18.44-fc', '7.0.1', '10.0'])
      assert.equal(isRecentKernel(recent), true, recent)
  })

  it('names the capabilities that are missing', () => {
    assert.deepEqual(missingCapabilities((1n << 41n) - 1n), [])
    assert.deepEqual(missingCapabilities((1n << 12n) | (1n << 21n)), [])
    assert.deepEqual(missingCapabilities(1n << 12n), ['CAP_SYS_ADMIN', 'CAP_PERFMON', 'CAP_BPF'])
  })

  it('gives a remedy for every item that is not ok, and none for others', async () => {
    const report = await preflight()
    for (const { name, status, detail, remedy } of report.items) {
      assert.ok(detail.length > 0, name)
      assert.equal(remedy !== undefined, status !== 'ok', name)
    }
    assert.equal(
      report.ok,
      report.items.every(({ status }) => status !== 'missing'),
    )
  })

  it('prints the remedy under what is missing', () => {
    const items = [
      { name: 'kernel', status: 'ok', detail: 'kernel 6.18' },
      { name: 'tun', status: 'missing', detail: 'ENOENT', remedy: 'modprobe tun' },
      { name: 'clang', status: 'optional', detail: 'not installed', remedy: 'apt install clang' },
    ] as const
    assert.equal(
      printPreflight({ ok: false, items }),
      [
        '✓ kernel   kernel 6.18',
        '✗ tun      ENOENT',
        '           modprobe tun',
        '– clang    not installed',
        '           apt install clang',
        '',
        'This machine can not run a vRouter yet.',
        '',
      ].join('\n'),
    )
  })
})
