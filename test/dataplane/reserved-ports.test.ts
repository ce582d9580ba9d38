/** Proves: ports of SNAT that the node would use itself are kept from it, whatever else is reserved, and given back. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { releasePorts, reservePorts } from '@kube-vrouter/daemon/dataplane/reserved-ports'
import { readSysctl, writeSysctl } from '@kube-vrouter/linux/sysctl'
import { requireRoot, Sandbox } from './sandbox.ts'

const RESERVED = 'net/ipv4/ip_local_reserved_ports'

describe('reservePorts', () => {
  let sandbox: Sandbox
  let record: string

  before(function () {
    requireRoot(this)
    sandbox = new Sandbox()
    record = join(sandbox.folder, 'reserved-ports.json')
  })
  beforeEach(() => {
    releasePorts(sandbox.folder)
    writeSysctl('net/ipv4/ip_local_port_range', '32768 60999')
    writeSysctl(RESERVED, '')
  })
  after(() => sandbox?.[Symbol.dispose]())

  it('touches nothing where the ranges don’t meet', () => {
    assert.equal(reservePorts(sandbox.folder, { first: 61000, last: 65535 }), '')
    assert.equal(readSysctl(RESERVED), '')
    assert.ok(!existsSync(record))
  })

  it('reserves what both have, beside what is there, and takes just that out again', () => {
    writeSysctl(RESERVED, '8080,60500-60600')
    assert.equal(reservePorts(sandbox.folder, { first: 60550, last: 62000 }), '60601-60999')
    assert.equal(readSysctl(RESERVED), '8080,60500-60999')
    assert.equal(reservePorts(sandbox.folder, { first: 60550, last: 62000 }), '60601-60999', 'again')
    writeSysctl(RESERVED, '7,8080,60500-60999')
    releasePorts(sandbox.folder)
    assert.equal(readSysctl(RESERVED), '7,8080,60500-60600')
    assert.ok(!existsSync(record))
    releasePorts(sandbox.folder)
  })

  it('follows the configuration, and repairs what somebody removed', () => {
    reservePorts(sandbox.folder, { first: 40000, last: 40999 })
    assert.equal(reservePorts(sandbox.folder, { first: 50000, last: 50999 }), '50000-50999')
    assert.equal(readSysctl(RESERVED), '50000-50999')
    writeSysctl(RESERVED, '9')
    reservePorts(sandbox.folder, { first: 50000, last: 50999 })
    assert.equal(readSysctl(RESERVED), '9,50000-50999')
    assert.equal(reservePorts(sandbox.folder, undefined), '')
    assert.equal(readSysctl(RESERVED), '9')
  })

  it('isn’t misled by a record of another boot, or by a torn one', () => {
    reservePorts(sandbox.folder, { first: 40000, last: 40999 })
    const text = readFileSync(record, 'utf8')
    for (const other of [text.replace(/"boot":"./, '"boot":"x'), text.slice(0, 20)]) {
      writeSysctl(RESERVED, '40000-40010')
      writeFileSync(record, other)
      assert.equal(reservePorts(sandbox.folder, { first: 40000, last: 40999 }), '40011-40999')
      releasePorts(sandbox.folder)
      assert.equal(readSysctl(RESERVED), '40000-40010')
    }
  })
})
