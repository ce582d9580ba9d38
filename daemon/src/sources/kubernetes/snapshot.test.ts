import assert from 'node:assert/strict'
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { until as untilTrue } from '../../../../test/patience.ts'
import { Cluster } from './cluster.ts'
import { decodePod } from './pods.ts'
import { SnapshotFile } from './snapshot.ts'

describe('the cluster as it is kept on disk', () => {
  let folder: string
  let path: string
  const errors: unknown[] = []
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'kv-snapshot-'))
    path = join(folder, 'cluster.json')
    errors.length = 0
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  const object = (name: string) => ({
    metadata: { name, namespace: 'default', uid: `uid-${name}` },
    spec: { nodeName: 'node-1' },
  })

  function make(at = path) {
    const file = new SnapshotFile({
      path: at,
      cluster: 'k8s',
      node: 'node-1',
      onError: (error) => errors.push(error),
    })
    const cluster = new Cluster({
      ...{ node: 'node-1', cluster: 'k8s', defaultSubnets: [], accepted: new Map(), onChange: () => undefined },
      onNews: (kind, key, value) => file.note(kind, key, value),
    })
    return { file, cluster }
  }

  /** What a daemon finds that starts after this one was killed. */
  async function kept(): Promise<string[]> {
    const copy = mkdtempSync(join(folder, 'killed-'))
    for (const name of readdirSync(folder))
      if (!name.startsWith('killed-')) cpSync(join(folder, name), join(copy, name))
    const { file, cluster } = make(join(copy, 'cluster.json'))
    assert.equal(await file.load(cluster), true)
    return [...cluster.pods.values.keys()]
  }

  const until = (what: string, isTrue: () => boolean) => untilTrue(what, isTrue, { pollMs: 1 })

  const change = (cluster: Cluster, name: string) => cluster.pods.changed(object(name))
  const remove = (cluster: Cluster, name: string) => cluster.pods.removed(object(name))

  it('loses nothing that changes while it is written', async () => {
    const { file, cluster } = make()
    for (let i = 0; i < 20_000; i++) cluster.pods.seed(`default/p${i}`, decodePod(object(`p${i}`))!)
    file.follow(cluster)
    await until('the writing', () => existsSync(`${path}.tmp`))
    assert.equal(existsSync(path), false)
    remove(cluster, 'p0')
    change(cluster, 'new')
    await until('the file', () => existsSync(path))
    const known = await kept()
    assert.equal(known.length, 20_000)
    assert.deepEqual([known.includes('default/new'), known.includes('default/p0')], [true, false])
    await file[Symbol.asyncDispose]()
    assert.deepEqual(errors, [])
  })

  it('goes on with the old file and its journal until the new one is whole', async () => {
    const { file, cluster } = make()
    file.follow(cluster)
    await until('the file', () => existsSync(path))
    for (let i = 0; i < 4000; i++) change(cluster, `p${i}`)
    await until('the writing', () => existsSync(`${path}.tmp`))
    change(cluster, 'new')
    await sleep(0)
    assert.equal((await kept()).length, 4001)
    await until('the new file', () => !existsSync(`${path}.tmp`))
    assert.equal((await kept()).length, 4001)
    await until('one journal', () => readdirSync(folder).filter((name) => name.includes('journal')).length === 1)
    await file[Symbol.asyncDispose]()
  })

  async function written(...names: readonly string[]): Promise<void> {
    const { file, cluster } = make()
    for (const name of names) change(cluster, name)
    file.follow(cluster)
    await until('the file', () => existsSync(path))
    await file[Symbol.asyncDispose]()
  }

  it('is no news where the API server has said something by itself', async () => {
    await written('kept', 'gone', 'other')
    const { file, cluster } = make()
    // The list is under way; in another node's words.
    cluster.pods.beginList()
    const newer = { ...object('kept'), metadata: { ...object('kept').metadata, labels: { is: 'newer' } } }
    cluster.pods.listed(newer)
    await file.load(cluster)
    assert.deepEqual([...cluster.pods.values.keys()].sort(), ['default/gone', 'default/kept', 'default/other'])
    assert.deepEqual(cluster.pods.values.get('default/kept')?.pod.labels, { is: 'newer' })
    cluster.pods.endList('9')
    await file.load(cluster)
    assert.deepEqual([...cluster.pods.values.keys()], ['default/kept'])
  })

  it('leaves the event loop free while it is read', async () => {
    const { file, cluster } = make()
    for (let i = 0; i < 20_000; i++) cluster.pods.seed(`default/p${i}`, decodePod(object(`p${i}`))!)
    file.follow(cluster)
    await until('the file', () => existsSync(path))
    await file[Symbol.asyncDispose]()
    let turns = 0
    const counting = setInterval(() => turns++, 0)
    try {
      const again = make()
      await again.file.load(again.cluster)
      assert.equal(again.cluster.pods.values.size, 20_000)
      assert.ok(turns > 1, `${turns} turns`)
    } finally {
      clearInterval(counting)
    }
  })

  for (const [what, damaged] of [
    ['cut off', (text: string) => text.slice(0, -20)],
    ['cut off between two objects', (text: string) => text.slice(0, text.lastIndexOf('\n', text.length - 2) + 1)],
    ['without a list', (text: string) => text.replace('"IPAMBlock":[', '"Block":[')],
    ['of something else', () => 'null'],
    ['with half a line', (text: string) => text.replace('"uid":', '"uid')],
    ['empty', () => ''],
  ] as const)
    it(`is not used where it is ${what}, and then nothing of it`, async () => {
      await written('one', 'two')
      writeFileSync(path, damaged(readFileSync(path, 'utf8')))
      const { file, cluster } = make()
      await assert.rejects(file.load(cluster), SyntaxError)
      assert.equal(cluster.pods.values.size, 0)
    })

  it('says what keeps it from writing, and tries again', async () => {
    const blocked = join(folder, 'blocked')
    writeFileSync(blocked, '')
    const { file, cluster } = make(join(blocked, 'cluster.json'))
    file.follow(cluster)
    await until('an error', () => errors.length > 0)
    assert.match(String(errors[0]), /ENOTDIR|EEXIST/)
    change(cluster, 'new')
    rmSync(blocked)
    await file[Symbol.asyncDispose]()
    const again = make(join(blocked, 'cluster.json'))
    assert.equal(await again.file.load(again.cluster), true)
    assert.deepEqual([...again.cluster.pods.values.keys()], ['default/new'])
  })
})
