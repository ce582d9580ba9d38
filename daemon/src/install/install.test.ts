import { strict as assert } from 'node:assert'
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silent } from '../log.ts'
import { install, uninstall } from './install.ts'
import { applyPatch, makePatch } from './patch.ts'

describe('installing the CNI binary', () => {
  let root: string
  let folder: string
  let image: string
  const base = () => join(root, 'node')
  const run = () => install({ folder, image, base: base(), log: silent })
  const plugin = () => readFileSync(join(folder, '.vrouter-cni/vrouter-cni'), 'utf8')

  /** What the image holds of a version. */
  function release(version: string): void {
    const node = Buffer.alloc(1000, 'node')
    writeFileSync(base(), node)
    writeFileSync(join(image, 'vrouter-cni.patch'), makePatch(node, Buffer.concat([node, Buffer.from(version)])))
    writeFileSync(join(image, 'launcher'), `launcher ${version}`)
    writeFileSync(join(image, 'lib/ld.so'), 'the loader')
    writeFileSync(join(root, 'libc'), 'the library')
    rmSync(join(image, 'lib/libc.so.6'), { force: true })
    symlinkSync(join(root, 'libc'), join(image, 'lib/libc.so.6'))
  }

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'kv-install-'))
    folder = join(root, 'opt/cni/bin')
    image = join(root, 'image')
    mkdirSync(join(image, 'lib'), { recursive: true })
    release('1')
  })

  afterEach(() => rmSync(root, { recursive: true, force: true }))

  it('makes the folder, the launcher, and what that starts', () => {
    assert.equal(run(), true)
    assert.equal(readFileSync(join(folder, 'vrouter-cni'), 'utf8'), 'launcher 1')
    assert.equal(statSync(join(folder, 'vrouter-cni')).mode & 0o777, 0o755)
    assert.match(plugin(), /node1$/)
    assert.deepEqual(readdirSync(join(folder, '.vrouter-cni')).sort(), ['ld.so', 'libc.so.6', 'vrouter-cni'])
    assert.ok(lstatSync(join(folder, '.vrouter-cni/libc.so.6')).isFile(), 'a library, and no link into the image')
    assert.equal(readdirSync(folder).length, 3)
  })

  it('leaves alone what is there and the same', () => {
    run()
    const before = statSync(join(folder, 'vrouter-cni')).ino
    assert.equal(run(), false)
    assert.equal(statSync(join(folder, 'vrouter-cni')).ino, before)
  })

  it('is fine with what is there and the same even without the node that the patch is for', () => {
    run()
    writeFileSync(base(), 'another node')
    assert.equal(run(), false)
    rmSync(join(folder, '.vrouter-cni/vrouter-cni'))
    assert.throws(run, { code: 'CNI_PLUGIN_UNUSABLE', message: /another node binary/ })
  })

  it('upgrades by new files; the version before stays for those who are starting it, older ones go', () => {
    run()
    const [first] = readdirSync(folder).filter((name) => name.startsWith('.vrouter-cni-'))
    const before = statSync(join(folder, 'vrouter-cni')).ino
    release('2')
    assert.equal(run(), true)
    assert.match(plugin(), /node2$/)
    assert.notEqual(statSync(join(folder, 'vrouter-cni')).ino, before)
    assert.ok(readdirSync(folder).includes(first!))
    release('3')
    run()
    assert.ok(!readdirSync(folder).includes(first!))
    assert.equal(readdirSync(folder).filter((name) => name.startsWith('.vrouter-cni-')).length, 2)
  })

  it('repairs what is damaged, or not executable', () => {
    run()
    writeFileSync(join(folder, '.vrouter-cni/ld.so'), 'damaged!!!')
    chmodSync(join(folder, 'vrouter-cni'), 0o600)
    assert.equal(run(), true)
    assert.equal(readFileSync(join(folder, '.vrouter-cni/ld.so'), 'utf8'), 'the loader')
    assert.equal(statSync(join(folder, 'vrouter-cni')).mode & 0o777, 0o755)
  })

  it('takes the place of a plugin that was installed as one file', () => {
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'vrouter-cni'), 'the plugin itself')
    run()
    assert.equal(readFileSync(join(folder, 'vrouter-cni'), 'utf8'), 'launcher 1')
  })

  it('removes what a killed installer left, and nothing of others', () => {
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, '.vrouter-vrouter-cni.17.tmp'), 'half')
    writeFileSync(join(folder, 'bridge'), 'of others')
    run()
    assert.ok(!readdirSync(folder).includes('.vrouter-vrouter-cni.17.tmp'))
    assert.equal(readFileSync(join(folder, 'bridge'), 'utf8'), 'of others')
  })

  it('says which file could not be written, and what to do', () => {
    writeFileSync(join(root, 'opt'), 'a file where a folder is wanted')
    assert.throws(run, (error: Error & { code?: string; remedy?: string }) => {
      assert.equal(error.code, 'CNI_FOLDER_NOT_WRITABLE')
      assert.match(error.message, /opt\/cni\/bin\/vrouter-cni/)
      assert.match(error.remedy ?? '', /cni\.binPath/)
      return true
    })
  })

  it('says that the image is incomplete', () => {
    rmSync(join(image, 'launcher'))
    assert.throws(run, { code: 'CNI_PLUGIN_UNUSABLE', message: /launcher/ })
  })

  it('brings a loopback plugin where there is none, and keeps its own up to date', () => {
    writeFileSync(join(image, 'loopback'), 'loopback 1')
    run()
    assert.equal(readFileSync(join(folder, 'loopback'), 'utf8'), 'loopback 1')
    assert.equal(run(), false)
    writeFileSync(join(image, 'loopback'), 'loopback 2')
    assert.equal(run(), true)
    assert.equal(readFileSync(join(folder, 'loopback'), 'utf8'), 'loopback 2')
  })

  it('is undone; what others brought stays, a loopback plugin too', () => {
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, 'loopback'), 'of others')
    writeFileSync(join(image, 'loopback'), 'ours')
    run()
    uninstall(folder)
    assert.deepEqual(readdirSync(folder), ['loopback'])
    assert.equal(readFileSync(join(folder, 'loopback'), 'utf8'), 'of others')
    rmSync(join(folder, 'loopback'))
    run()
    uninstall(folder)
    assert.deepEqual(readdirSync(folder), [])
    uninstall(join(root, 'absent'))
  })
})

describe('a patch', () => {
  const random = (length: number, seed: number) => {
    const bytes = Buffer.alloc(length)
    let state = seed
    for (let index = 0; index < length; index++) {
      state = (state * 1103515245 + 12345) & 0x7fffffff
      bytes[index] = state >> 16
    }
    return bytes
  }

  it('gives what it was made for, whatever the sizes', () => {
    for (const [size, other] of [
      [0, 0],
      [0, 100],
      [100, 0],
      [64, 65],
      [1000, 5000],
      [5000, 1000],
    ] as const) {
      const base = random(size, 1)
      const result = Buffer.concat([base.subarray(0, Math.floor(other / 2)), random(other, 2)]).subarray(0, other)
      assert.deepEqual(applyPatch(base, makePatch(base, result)), result, `${size} -> ${other}`)
    }
  })

  it('holds little more than the difference', () => {
    const base = random(100_000, 1)
    const result = Buffer.from(base)
    result.fill(0, 50_000, 50_100)
    assert.ok(makePatch(base, result).length < 700)
  })

  it('refuses another base, and notices damage', () => {
    const base = random(1000, 1)
    const patch = makePatch(base, random(1000, 2))
    assert.throws(() => applyPatch(random(1000, 3), patch), /another node binary/)
    patch[patch.length - 1]! ^= 1
    assert.throws(() => applyPatch(base, patch), /damaged/)
    assert.throws(() => applyPatch(base, Buffer.from('no patch at all')), /no patch/)
  })
})
