import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { aRoute } from '../../../test/doubles/simulated-kernel.ts'
import { routeIdentity } from './device-state.ts'
import {
  formatSnapshot,
  parseSnapshot,
  readSnapshot,
  removeSnapshot,
  SNAPSHOT_FILE,
  type Snapshot,
  writeSnapshot,
} from './snapshot.ts'

const route = aRoute({
  family: 4,
  destination: '10.8.0.0',
  prefixLength: 16,
  gateway: '10.0.0.1',
  metrics: { 2: 1400, 16: 'bbr' },
  mtu: 1400,
  encap: { type: 1, data: Uint8Array.of(0, 1, 255) },
})

const snapshot: Snapshot = {
  schema: 1,
  kernel: { boot: 'a', netns: 7 },
  phase: 'moving',
  takenAt: '2026-01-01T00:00:00.000Z',
  nic: {
    name: 'eth0',
    mac: '02:00:00:00:00:01',
    mtu: 1500,
    sysctls: { 'net/ipv4/conf/rp_filter': '2' },
    wasIpv6Disabled: false,
  },
  answered: ['10.0.0.1'],
  resolvConf: 'nameserver 10.0.0.1\n',
  holdings: { addresses: [], routes: [route], neighbours: [], obsolete: [] },
}

describe('the snapshot of the network card', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'kv-snapshot-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  it('is read as it was written, bytes included', () => {
    const read = parseSnapshot(formatSnapshot(snapshot))!
    assert.deepEqual(read.holdings.routes[0]!.encap, route.encap)
    assert.equal(routeIdentity(read.holdings.routes[0]!), routeIdentity(route))
    assert.equal(formatSnapshot(read), formatSnapshot(snapshot))
  })

  it('counts in the kernel and namespace that it was taken in only', () => {
    writeSnapshot(folder, snapshot)
    assert.equal(readSnapshot(folder, { boot: 'a', netns: 7 })?.phase, 'moving')
    assert.equal(readSnapshot(folder, { boot: 'b', netns: 7 }), undefined)
    assert.equal(readSnapshot(folder, { boot: 'a', netns: 8 }), undefined)
  })

  it('is not made of torn, foreign or newer files', () => {
    const text = formatSnapshot(snapshot)
    for (const broken of [
      '',
      text.slice(0, 100),
      '{}',
      '[]',
      'null',
      '42',
      text.replace('"schema": 1', '"schema": 2'),
    ]) {
      writeFileSync(join(folder, SNAPSHOT_FILE), broken)
      assert.equal(readSnapshot(folder, snapshot.kernel), undefined, broken.slice(0, 20))
    }
  })

  it('replaces the one before whole, and leaves nothing else behind', () => {
    writeSnapshot(folder, snapshot)
    writeSnapshot(folder, { ...snapshot, phase: 'settled' })
    assert.deepEqual(readdirSync(folder), [SNAPSHOT_FILE])
    assert.match(readFileSync(join(folder, SNAPSHOT_FILE), 'utf8'), /"settled"/)
    removeSnapshot(folder)
    removeSnapshot(folder)
    assert.deepEqual(readdirSync(folder), [])
  })

  it('says so when it cannot be written', () => {
    const file = join(folder, 'file')
    writeFileSync(file, '')
    assert.throws(() => writeSnapshot(join(file, 'state'), snapshot), {
      code: 'VHOST_SNAPSHOT_FAILED',
      message: /cannot write .*ENOTDIR/,
    })
  })
})
