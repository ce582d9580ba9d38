import { strict as assert } from 'node:assert'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silent } from '../log.ts'
import { installLoopback, installPlugin, removePlugin } from './install.ts'
import { applyPatch, makePatch } from './patch.ts'

describe('installing the CNI binary', () => {
  let root: string
  let folder: string
  let plugin: string
  const file = () => join(folder, 'vrouter-cni')
  const install = (more: { plugin?: string; base?: string } = {}) =>
    installPlugin({ folder, plugin, log: silent, ...more })

  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'kv-install-'))
    folder = join(root, 'opt/cni/bin')
    plugin = join(root, 'plugin')
    writeFileSync(plugin, 'the plugin, version 1')
  })

  afterEach(() => rmSync(root, { recursive: true, force: true }))

  it('makes the folder, and an executable file in it', () => {
    assert.equal(install(), 'installed')
    assert.equal(readFileSync(file(), 'utf8'), 'the plugin, version 1')
    assert.equal(statSync(file()).mode & 0o777, 0o755)
    assert.deepEqual(readdirSync(folder), ['vrouter-cni'])
  })

  it('leaves alone what is there and the same', () => {
    install()
    const before = statSync(file())
    assert.equal(install(), 'identical')
    assert.equal(statSync(file()).ino, before.ino)
  })

  it('replaces an older one by a new file, so that who runs the old one keeps it', () => {
    install()
    const before = statSync(file())
    writeFileSync(plugin, 'the plugin, version 2')
    assert.equal(install(), 'installed')
    assert.notEqual(statSync(file()).ino, before.ino)
    assert.equal(readFileSync(file(), 'utf8'), 'the plugin, version 2')
  })

  it('makes the same bytes executable again', () => {
    install()
    chmodSync(file(), 0o600)
    assert.equal(install(), 'identical')
    assert.equal(statSync(file()).mode & 0o777, 0o755)
  })

  it('removes what a killed installer left, and nothing of others', () => {
    mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, '.vrouter-cni.17.tmp'), 'half')
    writeFileSync(join(folder, 'bridge'), 'of others')
    install()
    assert.deepEqual(readdirSync(folder).sort(), ['bridge', 'vrouter-cni'])
  })

  it('says which file could not be written, and what to do', () => {
    writeFileSync(join(root, 'opt'), 'a file where a folder is wanted')
    assert.throws(install, (error: Error & { code?: string; remedy?: string }) => {
      assert.equal(error.code, 'CNI_FOLDER_NOT_WRITABLE')
      assert.match(error.message, /opt\/cni\/bin\/vrouter-cni/)
      assert.match(error.remedy ?? '', /cni\.binPath/)
      return true
    })
  })

  it('says that the image is incomplete', () => {
    assert.throws(() => install({ plugin: join(root, 'absent') }), { code: 'CNI_PLUGIN_UNUSABLE' })
  })

  it('makes the binary of the node beside it and a patch', () => {
    const base = join(root, 'node')
    const patch = join(root, 'vrouter-cni.patch')
    writeFileSync(base, Buffer.alloc(1000, 'node'))
    const wanted = Buffer.concat([Buffer.alloc(1000, 'node'), Buffer.from('a script')])
    writeFileSync(patch, makePatch(readFileSync(base), wanted))
    assert.equal(install({ plugin: patch, base }), 'installed')
    assert.deepEqual(readFileSync(file()), wanted)
    writeFileSync(base, 'another node')
    assert.equal(install({ plugin: patch, base }), 'identical', 'nothing needs to be made')
    rmSync(file())
    assert.throws(() => install({ plugin: patch, base }), {
      code: 'CNI_PLUGIN_UNUSABLE',
      message: /another node binary/,
    })
  })

  it('brings a loopback plugin where there is none, and takes it away again', () => {
    install()
    const loopback = () => installLoopback({ folder, plugin, log: silent })
    assert.equal(loopback(), 'installed')
    assert.equal(readFileSync(join(folder, 'loopback'), 'utf8'), 'the plugin, version 1')
    assert.equal(loopback(), 'identical')
    writeFileSync(plugin, 'the plugin, version 2')
    assert.equal(loopback(), 'installed', 'our own is kept up to date')
    assert.equal(readFileSync(join(folder, 'loopback'), 'utf8'), 'the plugin, version 2')
    removePlugin(folder)
    assert.deepEqual(readdirSync(folder), [])
  })

  it('leaves a loopback plugin of others alone', () => {
    install()
    writeFileSync(join(folder, 'loopback'), 'of others')
    assert.equal(installLoopback({ folder, plugin, log: silent }), 'identical')
    removePlugin(folder)
    assert.equal(readFileSync(join(folder, 'loopback'), 'utf8'), 'of others')
  })

  it('is undone, other plugins staying', () => {
    install()
    writeFileSync(join(folder, 'bridge'), 'of others')
    removePlugin(folder)
    assert.deepEqual(readdirSync(folder), ['bridge'])
    removePlugin(folder)
    removePlugin(join(root, 'absent'))
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
