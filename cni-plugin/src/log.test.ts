import assert from 'node:assert/strict'
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { log } from './log.ts'

describe('the log file', () => {
  let folder: string
  let logFile: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'kv-log-'))
    logFile = join(folder, 'cni.log')
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  const write = (fields: object) => log({ logFile, logLevel: 'info' }, 'info', fields, 1000)

  it('is put aside when it is long, and three old ones are kept', () => {
    for (let i = 0; i < 100; i++) write({ i, text: 'x'.repeat(60) })
    assert.deepEqual(readdirSync(folder).sort(), ['cni.log', 'cni.log.1', 'cni.log.2', 'cni.log.3'])
    const lines = ['cni.log.3', 'cni.log.2', 'cni.log.1', 'cni.log'].flatMap((name) =>
      readFileSync(join(folder, name), 'utf8').trimEnd().split('\n'),
    )
    const numbers = lines.map((line) => JSON.parse(line).i)
    assert.deepEqual(
      numbers,
      Array.from({ length: numbers.length }, (_, k) => 100 - numbers.length + k),
    )
    for (const name of readdirSync(folder)) assert.ok(statSync(join(folder, name)).size < 1200)
  })

  it('is left to whoever rotates it, but not to one that was killed', () => {
    writeFileSync(logFile, 'x'.repeat(2000))
    writeFileSync(`${logFile}.lock`, '')
    write({})
    assert.ok(!existsSync(`${logFile}.1`))
    utimesSync(`${logFile}.lock`, 0, 0)
    write({})
    assert.ok(existsSync(`${logFile}.1`))
    assert.ok(!existsSync(`${logFile}.lock`))
  })
})
