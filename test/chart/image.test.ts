/** The image: built twice it is the same, and what it holds runs. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { skipBecause } from '../skip.ts'

const root = resolve(import.meta.dirname, '../..')

interface Sbom {
  readonly spdxVersion: string
  readonly packages: readonly { readonly SPDXID: string; readonly name: string; readonly versionInfo: string }[]
  readonly relationships: readonly { readonly relatedSpdxElement: string }[]
}

describe('the image', function () {
  this.timeout(300_000)
  let folder: string
  const archive = () => join(folder, 'one.tar')
  const unpacked = () => join(folder, 'root')

  function build(output: string, env: Record<string, string> = {}) {
    const words = ['--disable-warning=ExperimentalWarning', join(root, 'hack/imaging/main.ts'), '--output', output]
    const options = { encoding: 'utf8', cwd: tmpdir(), env: { ...process.env, ...env } } as const
    return spawnSync(process.execPath, words, options)
  }

  before(function () {
    folder = mkdtempSync(join(tmpdir(), 'kv-image-'))
    if (spawnSync('dpkg-deb', ['--version']).status !== 0)
      skipBecause(this, 'no dpkg-deb: images are made on Debian and Ubuntu')
    const { status, stderr } = build(archive())
    if (status !== 0 && /apt-get/.test(stderr))
      skipBecause(this, `apt-get has no packages for us: ${stderr.split('\n')[0]}`)
    assert.equal(status, 0, stderr)
    const manifest = JSON.parse(untar('manifest.json')) as [{ Layers: string[] }]
    mkdirSync(unpacked())
    for (const layer of manifest[0].Layers) {
      execFileSync('sh', ['-c', `tar -xOf "$1" "$2" | tar -xz -C "$3"`, 'sh', archive(), layer, unpacked()])
    }
  })

  after(() => rmSync(folder, { recursive: true, force: true }))

  const untar = (path: string) =>
    execFileSync('tar', ['-xOf', archive(), path], { encoding: 'utf8', maxBuffer: 1 << 26 })

  it('is the same when it is built again, elsewhere, at another time', () => {
    const other = join(folder, 'two.tar')
    const env = { SOURCE_DATE_EPOCH: '1700000000', TZ: 'UTC' }
    const elsewhere = { ...env, TZ: 'Asia/Tokyo', LC_ALL: 'C', HOSTNAME: 'other', HOME: process.env['HOME'] ?? '/root' }
    // Somebody may commit, or build the bundles anew, between the two: then they differ rightly.
    for (let attempt = 1; ; attempt++) {
      const before = inputs()
      const outcomes = [build(join(folder, 'first.tar'), env), build(other, elsewhere)]
      for (const { status, stderr } of outcomes) assert.equal(status, 0, stderr)
      if (inputs() !== before && attempt < 4) continue
      assert.equal(outcomes[1]!.stdout, outcomes[0]!.stdout)
      assert.ok(readFileSync(other).equals(readFileSync(join(folder, 'first.tar'))), 'byte by byte')
      return
    }
  })

  /** The commit, and when bundles and objects were made. */
  function inputs(): string {
    const commit = spawnSync('git', ['rev-parse', 'HEAD'], { cwd: root, encoding: 'utf8' }).stdout
    const files = ['daemon/dist', 'daemon/datapath/build', 'cni-plugin/dist'].flatMap((name) =>
      readdirSync(join(root, name)).map((file) => `${file} ${statSync(join(root, name, file)).mtimeMs}`),
    )
    return [commit, ...files].join('\n')
  }

  it('names what it holds, inside and beside', () => {
    const beside = readFileSync(join(folder, 'one.spdx.json'), 'utf8')
    assert.equal(readFileSync(join(unpacked(), 'usr/share/kube-vrouter/sbom.spdx.json'), 'utf8'), beside)
    const { spdxVersion, packages, relationships } = JSON.parse(beside) as Sbom
    assert.equal(spdxVersion, 'SPDX-2.3')
    const names = packages.map(({ name }) => name)
    for (const name of [
      'kube-vrouter',
      'node',
      'libc6',
      'libbpf1',
      'busybox-static',
      'express',
      'prom-client',
      'yaml',
    ]) {
      assert.ok(names.includes(name), name)
    }
    assert.ok(packages.every(({ versionInfo }) => versionInfo !== ''))
    const ids = packages.map(({ SPDXID }) => SPDXID)
    assert.equal(new Set(ids).size, ids.length, 'ids are unique')
    for (const id of ids)
      assert.ok(
        relationships.some(({ relatedSpdxElement }) => relatedSpdxElement === id),
        id,
      )
  })

  it('is small', () => {
    const size = readFileSync(archive()).length / 1e6
    assert.ok(size < 60, `${size.toFixed(1)} MB`)
  })

  it('runs: daemon, controller and tools find node and libraries in it', function () {
    skipBecause(this, process.getuid?.() === 0 ? undefined : 'needs root')
    const run = (...words: string[]) => {
      const env = { PATH: '/usr/sbin:/usr/bin', VROUTER_NODEJS_BINARY: '/usr/bin/node' }
      return spawnSync('/usr/sbin/chroot', [unpacked(), ...words], { encoding: 'utf8', env })
    }
    assert.match(run('/usr/bin/vrouter', '--help').stdout, /vrouter uninstall-node/)
    assert.match(run('/usr/bin/vif', '--help').stdout, /vif --list/)
    assert.match(run('/usr/bin/vrouter-controller', '--help').stdout, /VROUTER_CONTROLLER_/)
    const config = JSON.parse(run('/usr/bin/vrouter', '--print-config').stdout) as { paths: { objects: string } }
    assert.equal(config.paths.objects, '/usr/lib/vrouter/bpf')
    assert.ok(readdirSync(join(unpacked(), config.paths.objects)).includes('tap.bpf.o'))
  })

  it('installs a plugin that needs nothing of the host', function () {
    skipBecause(this, process.getuid?.() === 0 ? undefined : 'needs root')
    const host = join(unpacked(), 'host')
    mkdirSync(join(host, 'proc'), { recursive: true })
    const script = `set -e
      chroot "$1" /usr/bin/vrouter install --bin-dir /host/bin >&2
      mount -t proc proc "$1/host/proc"
      exec chroot "$1/host" /bin/vrouter-cni`
    const { status, stdout, stderr } = spawnSync(
      'unshare',
      ['--mount', '--propagation', 'private', 'sh', '-c', script, 'sh', unpacked()],
      {
        encoding: 'utf8',
        env: {
          PATH: '/usr/sbin:/usr/bin:/sbin:/bin',
          VROUTER_NODEJS_BINARY: '/usr/bin/node',
          CNI_COMMAND: 'VERSION',
        },
      },
    )
    assert.equal(status, 0, stderr)
    assert.ok((JSON.parse(stdout) as { supportedVersions: string[] }).supportedVersions.includes('1.1.0'))
    assert.deepEqual(
      readdirSync(join(host, 'bin')).filter((name) => !name.startsWith('.')),
      ['loopback', 'vrouter-cni'],
    )
  })
})
