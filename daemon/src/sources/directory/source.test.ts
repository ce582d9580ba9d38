import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { until as untilTrue } from '../../../../test/patience.ts'
import { interfaceObjectName } from '../../model/names.ts'
import type { IpamBlock, VirtualMachineInterface } from '../../model/objects.ts'
import { DirectorySource, type DirectorySourceOptions } from './source.ts'

const RED = 'default-domain:k8s-default:red'
const network = (name: string, cidr: string) =>
  `apiVersion: vrouter.dev/v1alpha1\nkind: VirtualNetwork\nmetadata:\n  name: ${name}\nspec:\n  subnets:\n  - cidr: ${cidr}\n`
const block = (node: string, cidr = '10.1.0.0/26'): IpamBlock => ({
  name: `b-${cidr.replaceAll(/[./]/g, '-')}`,
  vn: RED,
  cidr,
  node,
})
const vmi = (n: number, node = 'n1'): VirtualMachineInterface => ({
  name: `pod-${n}`,
  namespace: 'default',
  uuid: `00000000-0000-5000-8000-${String(n).padStart(12, '0')}`,
  vn: RED,
  node,
  pod: { name: `pod-${n}`, uid: 'u' },
  containerId: 'c',
  ifname: 'eth0',
  mac: '02:00:00:00:00:01',
  addresses: ['10.1.0.5'],
  label: 20,
})

/** A folder with a source on it, watched as fast as the test needs. */
class Folder implements AsyncDisposable {
  readonly path = mkdtempSync(join(tmpdir(), 'vrouter-source-'))
  readonly #sources: DirectorySource[] = []
  changes = 0

  async source(options: Partial<DirectorySourceOptions> = {}): Promise<DirectorySource> {
    const source = new DirectorySource({
      path: this.path,
      cluster: 'k8s',
      node: 'n1',
      debounceMs: 5,
      pollMs: 60_000,
      ...options,
    })
    this.#sources.push(source)
    await source.start(() => {
      this.changes++
    })
    return source
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.path, name), text)
  }

  file(name: string): string {
    return join(this.path, name)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const source of this.#sources) await source[Symbol.asyncDispose]()
    rmSync(this.path, { recursive: true, force: true })
  }
}

const until = (isTrue: () => boolean, what: string) => untilTrue(what, isTrue, { pollMs: 2 })

const networksOf = (source: DirectorySource) =>
  [...source.state().virtualNetworks.values()].map(({ name }) => name).sort()

describe('the directory source', () => {
  it('reads everything before start resolves, without calling back', async () => {
    await using folder = new Folder()
    folder.write('a.yaml', network('red', '10.1.0.0/16'))
    mkdirSync(folder.file('tenant'))
    folder.write('tenant/b.yml', network('blue', '10.1.0.0/16'))
    folder.write('.hidden.yaml', network('hidden', '10.1.0.0/16'))
    folder.write('notes.txt', 'not a manifest')
    const source = await folder.source()
    assert.deepEqual(networksOf(source), ['blue', 'red'])
    assert.deepEqual(source.state().rejected, [])
    assert.equal(folder.changes, 0)
  })

  it('knows Services, their endpoints and their ranges, all of them from the start', async () => {
    await using folder = new Folder()
    const service = (ip: string) =>
      `{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {clusterIP: ${ip}, ports: [{port: 80}]}}\n`
    const headless = '---\n{apiVersion: v1, kind: Service, metadata: {name: none}, spec: {clusterIP: None}}\n'
    const slice =
      '---\n{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, addressType: IPv4, ports: [{port: 8080}], ' +
      'metadata: {name: web-1, labels: {kubernetes.io/service-name: web}}, endpoints: [{addresses: [10.1.0.5]}]}\n'
    folder.write('a.yaml', service('10.96.0.7') + headless + slice)
    const source = await folder.source({ serviceRanges: ['10.96.0.0/12'] })
    const before = source.state()
    assert.deepEqual([...before.services!.keys()], ['default/web'])
    assert.deepEqual(before.slices!.get('default/web-1')!.endpoints[0]!.address, '10.1.0.5')
    assert.deepEqual(before.serviceRanges, ['10.96.0.0/12'])
    assert.deepEqual(before.rejected, [])
    folder.write('b.yaml', network('red', '10.1.0.0/16'))
    await until(() => source.state().virtualNetworks.size > before.virtualNetworks.size, 'another object')
    assert.equal(source.state().services, before.services)
    assert.equal(source.state().slices, before.slices)
    assert.equal(source.state().serviceRanges, before.serviceRanges)
    folder.write('a.yaml', headless)
    folder.write(
      'r.yaml',
      '{apiVersion: networking.k8s.io/v1, kind: ServiceCIDR, metadata: {name: k}, spec: {cidrs: [10.97.0.0/16]}}',
    )
    await until(() => source.state().services!.size === 0 && source.state().slices!.size === 0, 'they are gone')
    await until(() => source.state().serviceRanges![0] === '10.97.0.0/16', 'the range')
    folder.write('b.yaml', service('10.96.0.8'))
    folder.write('c.yaml', service('10.96.0.9'))
    await until(() => source.state().rejected.length > 0, 'the duplicate')
    assert.equal(source.state().services!.get('default/web')!.clusterIps[0], '10.96.0.8')
    assert.match(source.state().rejected.at(-1)!.message, /is defined in b\.yaml already \(Service default\/web\)/)
  })

  it('of nothing at all is the built-in networks', async () => {
    await using folder = new Folder()
    const source = await folder.source({ defaultSubnets: ['10.244.0.0/16'] })
    assert.deepEqual([...source.state().virtualNetworks.keys()], ['default-domain:k8s-default:k8s-default-pod-network'])
  })

  it('follows new, changed, replaced and removed files, and new folders', async () => {
    await using folder = new Folder()
    const source = await folder.source()
    folder.write('a.yaml', network('red', '10.1.0.0/16'))
    await until(() => networksOf(source).join() === 'red', 'a new file')
    folder.write('a.yaml', network('redder', '10.1.0.0/16'))
    await until(() => networksOf(source).join() === 'redder', 'a changed file')
    folder.write('b.tmp', network('blue', '10.2.0.0/16'))
    renameSync(folder.file('b.tmp'), folder.file('b.yaml'))
    await until(() => networksOf(source).join() === 'blue,redder', 'a renamed file')
    mkdirSync(folder.file('more'))
    folder.write('more/c.yaml', network('green', '10.3.0.0/16'))
    await until(() => networksOf(source).join() === 'blue,green,redder', 'a new folder')
    rmSync(folder.file('a.yaml'))
    await until(() => networksOf(source).join() === 'blue,green', 'a removed file')
    rmSync(folder.file('more'), { recursive: true })
    await until(() => networksOf(source).join() === 'blue', 'a removed folder')
  })

  it('sees a change of the same size within the same instant', async () => {
    await using folder = new Folder()
    folder.write('a.yaml', network('red', '10.1.0.0/16'))
    const source = await folder.source()
    for (const name of ['re1', 're2', 're3', 're4']) {
      folder.write('a.yaml', network(name, '10.1.0.0/16'))
      await until(() => networksOf(source).join() === name, name)
    }
  })

  it('finds by polling what no word came of', async () => {
    await using folder = new Folder()
    const source = await folder.source({ pollMs: 20, debounceMs: 1e6 })
    folder.write('a.yaml', network('red', '10.1.0.0/16'))
    await until(() => networksOf(source).join() === 'red', 'poll')
  })

  it('calls back once for a burst', async () => {
    await using folder = new Folder()
    const source = await folder.source({ debounceMs: 500 })
    for (let i = 0; i < 50; i++) folder.write(`n${i}.yaml`, network(`n${i}`, '10.1.0.0/16'))
    await until(() => networksOf(source).length === 50, 'all')
    assert.ok(folder.changes <= 3, `${folder.changes} calls`)
  })

  it('doesn’t call back when a file is written with the same content', async () => {
    await using folder = new Folder()
    folder.write('a.yaml', network('red', '10.1.0.0/16'))
    const source = await folder.source()
    const before = source.state()
    folder.write('a.yaml', `# a remark\n${network('red', '10.1.0.0/16')}`)
    await sleep(100)
    assert.equal(folder.changes, 0)
    assert.equal(source.state(), before)
  })
})

describe('damage', () => {
  it('of one file leaves the others and its own last good content', async () => {
    await using folder = new Folder()
    folder.write('a.yaml', network('red', '10.1.0.0/16'))
    const source = await folder.source()
    folder.write('a.yaml', 'kind: Virt')
    await until(() => source.state().rejected.length > 0, 'a rejection')
    folder.write('b.yaml', network('blue', '10.1.0.0/16'))
    await until(() => networksOf(source).join() === 'blue,red', 'both')
    folder.write('a.yaml', network('red', '10.7.0.0/16'))
    await until(() => source.state().rejected.length === 0, 'no rejection')
    assert.equal(source.state().virtualNetworks.get(RED)!.subnets[0]!.cidr, '10.7.0.0/16')
  })

  it('of a file that can’t be read is reported, and heals', async () => {
    await using folder = new Folder()
    folder.write('a.yaml', network('red', '10.1.0.0/16'))
    // A folder with a manifest's name can't be read as a file, by root neither.
    mkdirSync(folder.file('real'))
    const source = await folder.source()
    symlinkSync(folder.file('real'), folder.file('link.yaml'))
    await until(() => source.state().rejected.length === 1, 'a rejection')
    assert.deepEqual(
      { ...source.state().rejected[0] },
      { object: 'file', file: 'link.yaml', message: 'is not a regular file' },
    )
    assert.deepEqual(networksOf(source), ['red'])
    rmSync(folder.file('link.yaml'))
    await until(() => source.state().rejected.length === 0, 'healed')
  })

  it('of megabytes that are no manifest is reported in a few words', async () => {
    await using folder = new Folder()
    folder.write('a.yaml', 'x'.repeat(1_000_000))
    const source = await folder.source()
    assert.equal(source.state().rejected.length, 1)
    assert.ok(JSON.stringify(source.state().rejected).length < 1000)
  })

  it('of a pipe in a file’s place doesn’t hang whoever reads', async () => {
    await using folder = new Folder()
    folder.write('a.yaml', network('red', '10.1.0.0/16'))
    execFileSync('mkfifo', [folder.file('pipe.yaml')])
    symlinkSync('/dev/zero', folder.file('zero.yaml'))
    const source = await folder.source()
    const messages = source.state().rejected.map(({ file, message }) => `${file}: ${message}`)
    assert.deepEqual(messages, ['pipe.yaml: is not a regular file', 'zero.yaml: is not a regular file'])
    assert.deepEqual(networksOf(source), ['red'])
  })

  it('of the whole folder keeps everything: emptied, removed, and back again', async () => {
    await using folder = new Folder()
    folder.write('a.yaml', network('red', '10.1.0.0/16'))
    const source = await folder.source({ pollMs: 20 })
    await source.publish({ kind: 'VirtualMachineInterface', object: vmi(1) })
    const problem = () => source.state().rejected.map(({ object, message }) => `${object}: ${message}`)[0] ?? ''

    rmSync(folder.file('a.yaml'))
    rmSync(folder.file('published'), { recursive: true })
    await until(() => /^folder: is empty; everything.*stays in force/.test(problem()), 'empty')
    assert.deepEqual([networksOf(source), source.state().interfaces.size], [['red'], 1])

    rmSync(folder.path, { recursive: true })
    await until(() => /^folder: cannot be listed \(ENOENT\)/.test(problem()), 'removed')
    assert.deepEqual([networksOf(source), source.state().interfaces.size], [['red'], 1])

    mkdirSync(folder.path)
    folder.write('b.yaml', network('blue', '10.1.0.0/16'))
    await until(() => networksOf(source).join() === 'blue', 'back')
    assert.deepEqual(source.state().rejected, [])
    folder.write('b.yaml', network('blue2', '10.1.0.0/16'))
    await until(() => networksOf(source).join() === 'blue2', 'watched again')
  })

  it('at the start is an error: a missing folder is no empty cluster', async () => {
    const source = new DirectorySource({ path: '/nonexistent/objects', cluster: 'k8s', node: 'n1' })
    await assert.rejects(
      source.start(() => {}),
      { code: 'FOLDER_MISSING' },
    )
  })
})

describe('a restart', () => {
  it('refuses a change of a network in use, as the running daemon did', async () => {
    await using folder = new Folder()
    mkdirSync(folder.file('.state'))
    const memory = folder.file('.state/networks.json')
    folder.write('a.yaml', network('red', '10.1.0.0/16'))
    const first = await folder.source({ memory })
    await first.publish({ kind: 'IPAMBlock', object: block('n1') }, { create: true })
    await first[Symbol.asyncDispose]()
    folder.write('a.yaml', network('red', '10.2.0.0/16'))
    const second = await folder.source({ memory })
    assert.equal(second.state().virtualNetworks.get(RED)!.subnets[0]!.cidr, '10.1.0.0/16')
    assert.match(second.state().rejected[0]!.message, /no longer holds 10\.1\.0\.0\/16/)
    await second.withdraw('IPAMBlock', block('n1').name)
    assert.equal(second.state().virtualNetworks.get(RED)!.subnets[0]!.cidr, '10.2.0.0/16')
    // What was remembered counts at the start only.
    await second.publish({ kind: 'IPAMBlock', object: block('n1', '10.2.0.0/26') }, { create: true })
    folder.write('a.yaml', network('red', '10.3.0.0/16'))
    await until(() => second.state().rejected.length > 0, 'refused')
    assert.equal(second.state().virtualNetworks.get(RED)!.subnets[0]!.cidr, '10.2.0.0/16')
    await second[Symbol.asyncDispose]()
    const third = await folder.source({ memory })
    assert.equal(third.state().virtualNetworks.get(RED)!.subnets[0]!.cidr, '10.2.0.0/16')
  })

  it('goes on without its memory when that is corrupt, says so, and makes a new one', async () => {
    await using folder = new Folder()
    mkdirSync(folder.file('.state'))
    const memory = folder.file('.state/networks.json')
    for (const text of ['{"version": 1', '{}', 'null', '{"version": 1, "networks": [{}]}']) {
      writeFileSync(memory, text)
      folder.write('a.yaml', network('red', '10.1.0.0/16'))
      const source = await folder.source({ memory })
      assert.deepEqual(networksOf(source), ['red'])
      assert.match(
        source.state().rejected[0]!.message,
        /^can't be used \(.*networks are taken as the folder defines them$/,
      )
      await source[Symbol.asyncDispose]()
      assert.equal(JSON.parse(readFileSync(memory, 'utf8')).version, 1)
    }
  })
})

describe('publishing', () => {
  it('shows in the state when it resolves, and to others soon', async () => {
    await using folder = new Folder()
    const mine = await folder.source()
    const theirs = await folder.source({ node: 'n2' })
    await mine.publish({ kind: 'VirtualMachineInterface', object: vmi(1) })
    assert.deepEqual(mine.state().interfaces.get(vmi(1).uuid), vmi(1))
    await until(() => theirs.state().interfaces.size === 1, 'seen by the other')
    assert.deepEqual(theirs.state().interfaces.get(vmi(1).uuid), vmi(1))
    await mine.publish({ kind: 'VirtualMachineInterface', object: { ...vmi(1), label: 99 } })
    await until(() => theirs.state().interfaces.get(vmi(1).uuid)?.label === 99, 'changed')
    await mine.withdraw('VirtualMachineInterface', 'pod-1')
    assert.equal(mine.state().interfaces.size, 0)
    await mine.withdraw('VirtualMachineInterface', 'pod-1')
  })

  it('gives a block to exactly one of many who want it', async () => {
    await using folder = new Folder()
    const nodes = Array.from({ length: 6 }, (_, i) => `n${i}`)
    const sources = await Promise.all(nodes.map((node) => folder.source({ node })))
    for (let round = 0; round < 10; round++) {
      const cidr = `10.1.${round}.0/26`
      const outcomes = await Promise.allSettled(
        sources.map((source, i) =>
          source.publish({ kind: 'IPAMBlock', object: block(nodes[i]!, cidr) }, { create: true }),
        ),
      )
      const winners = outcomes.filter(({ status }) => status === 'fulfilled')
      assert.equal(winners.length, 1)
      for (const [i, outcome] of outcomes.entries()) {
        const owner = sources[i]!.state().blocks.get(block('', cidr).name)?.node
        assert.notEqual(owner, undefined, 'whoever asked knows the owner')
        if (outcome.status === 'fulfilled') assert.equal(owner, nodes[i])
        else assert.equal(outcome.reason.code, 'BLOCK_TAKEN')
      }
    }
  })

  it('of a block that is ours already succeeds: we crashed after creating it', async () => {
    await using folder = new Folder()
    const first = await folder.source()
    await first.publish({ kind: 'IPAMBlock', object: block('n1') }, { create: true })
    const again = await folder.source()
    await again.publish({ kind: 'IPAMBlock', object: block('n1') }, { create: true })
    assert.equal(again.state().blocks.size, 1)
  })

  it('of a block refuses one that another manifest overlaps', async () => {
    await using folder = new Folder()
    folder.write(
      'a.yaml',
      JSON.stringify({
        apiVersion: 'vrouter.dev/v1alpha1',
        kind: 'IPAMBlock',
        metadata: { name: 'big' },
        spec: { network: RED, cidr: '10.1.0.0/24', node: 'n2' },
      }),
    )
    const source = await folder.source()
    await assert.rejects(source.publish({ kind: 'IPAMBlock', object: block('n1') }, { create: true }), {
      code: 'BLOCK_TAKEN',
    })
  })

  it('refuses to write what every reader would set aside, naming the field, and writes pods of any name under names that all read', async () => {
    await using folder = new Folder()
    const source = await folder.source()
    const wrong: readonly [more: Partial<VirtualMachineInterface>, field: RegExp][] = [
      [{ name: 'my_web-123' }, /metadata\.name \("my_web-123"\) is not a DNS name/],
      [{ namespace: 'My_ns' }, /metadata\.namespace/],
      [{ mac: '02' }, /spec\.mac/],
      [{ addresses: [] }, /spec\.addresses/],
      [{ label: 3 }, /spec\.label/],
    ]
    for (const [more, field] of wrong) {
      const publishing = source.publish({ kind: 'VirtualMachineInterface', object: { ...vmi(1), ...more } })
      await assert.rejects(publishing, { code: 'OBJECT_UNREADABLE' })
      await assert.rejects(publishing, field)
    }
    assert.deepEqual(readdirSync(folder.file('published')), [])
    for (const [i, pod] of ['my_web', 'Web', 'a'.repeat(240), 'é ü\n', '..'].entries()) {
      const containerId = `c${i}`
      const name = interfaceObjectName(pod, containerId, 'eth0')
      const object = { ...vmi(i), name, containerId, pod: { name: pod, uid: '' } }
      await source.publish({ kind: 'VirtualMachineInterface', object })
      assert.deepEqual(source.state().interfaces.get(object.uuid), object)
    }
    const other = await folder.source({ node: 'n2' })
    assert.deepEqual(other.state().rejected, [])
    assert.deepEqual(other.state().interfaces, source.state().interfaces)
  })

  it('removes interfaces of its own that nobody can read, published before names were looked at, and nobody else’s', async () => {
    await using folder = new Folder()
    mkdirSync(folder.file('published'))
    const wrong = (name: string, node: string) =>
      JSON.stringify({
        apiVersion: 'vrouter.dev/v1alpha1',
        kind: 'VirtualMachineInterface',
        metadata: { name, namespace: 'default' },
        spec: { uuid: vmi(1).uuid, network: RED, node, pod: { name, uid: '' }, containerId: 'c', interface: 'eth0' },
      })
    for (const node of ['n1', 'n2'])
      folder.write(`published/VirtualMachineInterface-my_${node}.yaml`, wrong(`my_${node}`, node))
    folder.write('published/VirtualMachineInterface-notes.yaml', 'half: [')
    folder.write('VirtualMachineInterface-mine.yaml', wrong('My', 'n1'))
    const source = await folder.source()
    assert.deepEqual(readdirSync(folder.file('published')).sort(), [
      'VirtualMachineInterface-my_n2.yaml',
      'VirtualMachineInterface-notes.yaml',
    ])
    assert.ok(source.state().rejected.every(({ object }) => !object.includes('my_n1')))
  })

  it('withdraws nothing that belongs to another node', async () => {
    await using folder = new Folder()
    const mine = await folder.source()
    const theirs = await folder.source({ node: 'n2' })
    await theirs.publish({ kind: 'IPAMBlock', object: block('n2') }, { create: true })
    await until(() => mine.state().blocks.size === 1, 'seen')
    await mine.withdraw('IPAMBlock', block('n2').name)
    assert.ok(readdirSync(folder.file('published')).length === 1)
  })

  it('leaves nothing half-written: whoever reads sees a whole file at any time', async () => {
    await using folder = new Folder()
    const source = await folder.source()
    const name = folder.file('published/VirtualMachineInterface-pod-1.yaml')
    await source.publish({ kind: 'VirtualMachineInterface', object: vmi(1) })
    let isDone = false
    const writes = (async () => {
      for (let i = 0; i < 50; i++)
        await source.publish({ kind: 'VirtualMachineInterface', object: { ...vmi(1), label: 20 + i } })
      isDone = true
    })()
    while (!isDone) {
      assert.equal(JSON.parse(readFileSync(name, 'utf8')).kind, 'VirtualMachineInterface')
      await sleep(0)
    }
    await writes
    assert.equal(source.state().interfaces.get(vmi(1).uuid)!.label, 69)
    assert.deepEqual(readdirSync(folder.file('published')), ['VirtualMachineInterface-pod-1.yaml'])
  })

  it('that fails says why, changes nothing and leaves no rubbish', async () => {
    await using folder = new Folder()
    const source = await folder.source()
    await source.publish({ kind: 'VirtualMachineInterface', object: vmi(1) })
    rmSync(folder.file('published'), { recursive: true })
    writeFileSync(folder.file('published'), 'a file where the folder should be')
    const failed = source.publish({ kind: 'VirtualMachineInterface', object: vmi(2) })
    await assert.rejects(failed, { code: 'WRITE_FAILED', message: /cannot write .*pod-2\.yaml: ENOTDIR/ })
    rmSync(folder.file('published'))
  })
})

describe('a large folder', () => {
  it('of 5000 objects is read quickly, and a change of one quicker', async function () {
    this.timeout(60_000)
    await using folder = new Folder()
    const { textOf } = await import('./manifest-files.ts')
    mkdirSync(folder.file('published'))
    for (let n = 0; n < 5000; n++) {
      const object = { ...vmi(n), addresses: [`10.1.${n >> 8}.${n & 255}`] }
      folder.write(
        `published/VirtualMachineInterface-${object.name}.yaml`,
        textOf({ kind: 'VirtualMachineInterface', object }),
      )
    }
    const cpuMs = (since?: NodeJS.CpuUsage) => {
      const { user, system } = process.cpuUsage(since)
      return (user + system) / 1000
    }
    let start = process.cpuUsage()
    const source = await folder.source()
    const readMs = cpuMs(start)
    assert.equal(source.state().interfaces.size, 5000)
    assert.ok(readMs < 15_000, `read in ${readMs} ms of CPU`)
    // The least of several: what else the process does, such as collecting garbage, is counted too.
    let changeMs = Number.POSITIVE_INFINITY
    for (let label = 77; label < 85; label++) {
      start = process.cpuUsage()
      await source.publish({ kind: 'VirtualMachineInterface', object: { ...vmi(7), label } })
      changeMs = Math.min(changeMs, cpuMs(start))
      assert.equal(source.state().interfaces.get(vmi(7).uuid)!.label, label)
    }
    assert.ok(changeMs < readMs / 3, `one change costs ${changeMs} ms of CPU, reading all ${readMs} ms`)
  })
})
