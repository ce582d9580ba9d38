import assert from 'node:assert/strict'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { decodeRecord, encodeRecord, type PortRecord, Records, recordKey } from './records.ts'

const record: PortRecord = {
  port: {
    uuid: '74a96270-83e9-5b08-94a8-b34584efd512',
    containerId: 'c0ffee',
    ifname: 'eth0',
    namespace: 'red',
    pod: { name: 'web', uid: 'u1' },
    vn: 'default-domain:k8s-red:net',
    mac: '02:74:a9:62:70:83',
    addresses: ['10.1.0.3', 'fd00::3'],
    tap: 'tap538f587a2365',
    mtu: 1468,
    labels: { app: 'web' },
    createdAt: '2026-01-01T00:00:00.000Z',
  },
  registered: false,
  netns: '/run/netns/x',
  network: 'kube-vrouter',
  addresses: [
    { address: '10.1.0.3', prefixLength: 24, gateway: '10.1.0.1', service: '10.1.0.2' },
    { address: 'fd00::3', prefixLength: 64, gateway: 'fd00::1', service: 'fd00::2' },
  ],
}

describe('port records', () => {
  let state: string
  beforeEach(() => {
    state = mkdtempSync(join(tmpdir(), 'kv-records-'))
  })
  afterEach(() => rmSync(state, { recursive: true }))

  const files = () => readdirSync(join(state, 'ports'))

  it('reads back what it wrote, and replaces it', async () => {
    const records = new Records(state)
    await records.load()
    await records.write(record)
    const registered = { ...record, registered: true, port: { ...record.port, ifindex: 7 } }
    records.update(registered)
    assert.deepEqual(await new Records(state).load(), { records: [registered], corrupt: [] })
    assert.deepEqual(files(), ['c0ffee-eth0.json'])
  })

  it('knows an interface beside the first by its ways, in records of before', async () => {
    const second: PortRecord = { ...record, routes: [] }
    const records = new Records(state)
    await records.load()
    await records.write(second)
    const [read] = (await new Records(state).load()).records
    assert.deepEqual(read, { ...second, port: { ...second.port, isSecondary: true } })
  })

  it('writes over a record that is there, longer or shorter, without another file', async () => {
    const records = new Records(state)
    await records.load()
    await records.writeDurably(record)
    const { ino } = statSync(join(state, 'ports/c0ffee-eth0.json'))
    const variants = [
      { ...record, registered: true, port: { ...record.port, ifindex: 2147483647 } },
      { ...record, registered: true, netns: '/x' },
      { ...record, netns: `/run/netns/${'x'.repeat(300)}` },
    ]
    for (const next of variants) {
      records.update(next)
      assert.deepEqual(await new Records(state).load(), { records: [next], corrupt: [] })
      assert.equal(statSync(join(state, 'ports/c0ffee-eth0.json')).ino, ino)
    }
  })

  it('replaces a record as a whole that the kernel would write in pieces, and one that is gone', async () => {
    const records = new Records(state)
    await records.load()
    const large = (of: string) => ({ ...record, port: { ...record.port, labels: { app: of.repeat(5000) } } })
    await records.write(large('a'))
    const { ino } = statSync(join(state, 'ports/c0ffee-eth0.json'))
    records.update(large('b'))
    assert.deepEqual(await new Records(state).load(), { records: [large('b')], corrupt: [] })
    assert.notEqual(statSync(join(state, 'ports/c0ffee-eth0.json')).ino, ino)
    // Once large, a short one isn't put over it in pieces either.
    records.update(record)
    assert.deepEqual(await new Records(state).load(), { records: [record], corrupt: [] })
    await records.remove('c0ffee-eth0')
    records.update(record)
    assert.deepEqual(await new Records(state).load(), { records: [record], corrupt: [] })
    assert.deepEqual(files(), ['c0ffee-eth0.json'])
  })

  it('takes a file that was made ahead, and makes one where there is none', async () => {
    const spare = join(state, 'ports.spare')
    // Of a daemon that was killed in the middle of a write.
    writeFileSync(spare, '{"schema":1,')
    using records = new Records(state)
    await records.load()
    while (!existsSync(spare) || statSync(spare).size > 0) await sleep(5)
    const { ino } = statSync(spare)
    await records.writeDurably(record)
    assert.equal(statSync(join(state, 'ports/c0ffee-eth0.json')).ino, ino)
    const second = { ...record, port: { ...record.port, containerId: 'second' } }
    await records.writeDurably(second)
    while (!existsSync(spare)) await sleep(5)
    // Somebody clears the folder.
    rmSync(spare)
    const third = { ...record, port: { ...record.port, containerId: 'third' } }
    await records.writeDurably(third)
    assert.deepEqual(await new Records(state).load(), { records: [record, second, third], corrupt: [] })
  })

  it('removes a record, and one that is not there', async () => {
    const records = new Records(state)
    await records.load()
    await records.write(record)
    await records.remove('c0ffee-eth0')
    await records.remove('c0ffee-eth0')
    assert.deepEqual(files(), [])
  })

  it('keeps the record of a container id that fits no file name', async () => {
    const records = new Records(state)
    await records.load()
    const long = { ...record, port: { ...record.port, containerId: 'a'.repeat(4000) } }
    await records.write(long)
    assert.deepEqual(await new Records(state).load(), { records: [long], corrupt: [] })
    await records.remove(recordKey(long.port.containerId, long.port.ifname))
    assert.deepEqual(files(), [])
  })

  it('removes the temporary file of a write that was interrupted', async () => {
    mkdirSync(join(state, 'ports'))
    writeFileSync(join(state, 'ports/c0ffee-eth0.json.1.tmp'), '{')
    assert.deepEqual(await new Records(state).load(), { records: [], corrupt: [] })
    assert.deepEqual(files(), [])
  })

  const broken: readonly [text: string, reason: RegExp][] = [
    ['', /it is empty/],
    ['{"schema":1,"port":', /it is not JSON/],
    ['[]', /the record is not an object/],
    [JSON.stringify({ ...record, schema: 2 }), /it has schema 2; this daemon reads 1/],
    [JSON.stringify(record), /it has schema undefined/],
    [
      encodeRecord({ ...record, port: { ...record.port, mtu: '1' as unknown as number } }),
      /port.mtu is not an integer/,
    ],
    [
      encodeRecord({ ...record, port: { ...record.port, addresses: ['10.1.0.3', 7 as unknown as string] } }),
      /port.addresses\[1\] is not a string/,
    ],
    [encodeRecord({ ...record, addresses: undefined as unknown as [] }), /addresses is not a list/],
    [encodeRecord({ ...record, port: { ...record.port, ifname: 'eth1' } }), /it belongs to another attachment/],
  ]
  for (const [text, reason] of broken) {
    it(`moves a corrupt one aside and goes on: ${reason.source}`, async () => {
      const records = new Records(state)
      await records.load()
      const good = { ...record, port: { ...record.port, containerId: 'good' } }
      await records.write(good)
      writeFileSync(join(state, 'ports/c0ffee-eth0.json'), text)
      const loaded = await records.load()
      assert.deepEqual(loaded.records, [good])
      const [corrupt] = loaded.corrupt
      assert.match(corrupt!.reason, reason)
      assert.equal(corrupt!.key, 'c0ffee-eth0')
      assert.equal(readFileSync(corrupt!.movedTo!, 'utf8'), text)
      assert.deepEqual(await records.load(), { records: [good], corrupt: [] })
    })
  }

  it('never takes a cut record for a whole one', () => {
    const text = encodeRecord(record)
    for (let length = 0; length < text.trimEnd().length; length++) {
      assert.throws(() => decodeRecord(text.slice(0, length)), `cut at ${length}`)
    }
  })

  it('names the file so that container id and interface name are never mixed up, however long they are', () => {
    const id = fc.oneof(
      fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,20}$/),
      // Around the longest that fits a file name, with the same beginning.
      fc.integer({ min: 195, max: 600 }).map((length) => 'a'.repeat(length)),
      fc.stringMatching(/^a{220}[a-z-]{0,9}$/),
    )
    const ifname = fc.stringMatching(/^[A-Za-z0-9%_.~-]{1,15}$/)
    const owners = new Map<string, string>()
    fc.assert(
      fc.property(id, ifname, (containerId, name) => {
        const key = recordKey(containerId, name)
        assert.ok(Buffer.byteLength(`${key}.json.1000000000.tmp`) <= 255, key)
        const owner = `${containerId}/${name}`
        assert.equal(owners.get(key) ?? owner, owner)
        owners.set(key, owner)
      }),
    )
    assert.equal(recordKey('c0ffee', 'eth0'), 'c0ffee-eth0')
    assert.notEqual(recordKey('a', 'b-c'), recordKey('a-b', 'c'))
  })
})
