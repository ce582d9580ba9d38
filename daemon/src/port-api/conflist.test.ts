import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { conflistText, removeConflist, writeConflist } from './conflist.ts'

describe('conflist', () => {
  let root: string
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'kv-conf-'))
  })
  afterEach(() => rmSync(root, { recursive: true }))
  const options = (folder: string) => ({ folder, socket: '/run/vrouter/cni.sock', state: '/var/lib/vrouter' })

  it('names the plugin, its socket and all versions, old runtimes first', () => {
    const folder = join(root, 'net.d')
    assert.equal(writeConflist(options(folder)), true)
    const conflist = JSON.parse(readFileSync(join(folder, '10-vrouter.conflist'), 'utf8'))
    assert.equal(conflist.cniVersion, '1.0.0')
    assert.ok(conflist.cniVersions.includes('1.1.0'))
    assert.equal(conflist.plugins[0].type, 'vrouter-cni')
    assert.equal(conflist.plugins[0].socket, '/run/vrouter/cni.sock')
    assert.deepEqual(readdirSync(folder), ['10-vrouter.conflist'])
  })

  it('takes what the runtime has for a pod, and has plugins of others behind ours where the configuration names them', () => {
    const plain = JSON.parse(conflistText(options('')))
    assert.equal(plain.plugins.length, 1)
    assert.equal('logFile' in plain.plugins[0], false)
    for (const capability of ['mac', 'ips', 'portMappings', 'bandwidth', 'io.kubernetes.cri.pod-annotations'])
      assert.equal(plain.plugins[0].capabilities[capability], true)
    const chained = conflistText({ ...options(''), logFile: '/var/log/cni.log', chained: ['tuning', 'portmap'] })
    const { plugins } = JSON.parse(chained)
    assert.deepEqual(plugins.slice(1), [{ type: 'tuning' }, { type: 'portmap', capabilities: { portMappings: true } }])
    // One of both translates.
    assert.equal(plugins[0].capabilities.portMappings, undefined)
    assert.equal(plugins[0].logFile, '/var/log/cni.log')
  })

  it('leaves the file alone that is right already, and repairs another one', () => {
    writeConflist(options(root))
    const file = join(root, '10-vrouter.conflist')
    const { ino } = statSync(file)
    assert.equal(writeConflist(options(root)), false)
    assert.equal(statSync(file).ino, ino)
    writeFileSync(file, '{')
    assert.equal(writeConflist(options(root)), true)
    JSON.parse(readFileSync(file, 'utf8'))
  })

  it('writes nothing where no folder is configured, and removes it on request', () => {
    assert.equal(writeConflist(options('')), false)
    writeConflist(options(root))
    removeConflist(root)
    removeConflist(root)
    removeConflist('')
    assert.deepEqual(readdirSync(root), [])
  })
})
