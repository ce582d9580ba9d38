/** What is built of this repo and goes into the image, and the npm packages inside of it. */
import { execFileSync } from 'node:child_process'
import { globSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { makePatch } from '../../daemon/src/install/patch.ts'
import { cacheFolder } from './cache.ts'
import type { TarEntry } from './tar.ts'

export interface NpmPackage {
  readonly name: string
  readonly version: string
  readonly license: string
}

/** Places in the image. */
const DAEMON = 'usr/lib/vrouter/daemon'
const OBJECTS = 'usr/lib/vrouter/bpf'
const CNI = 'usr/lib/vrouter/cni'
const PATCH = `${CNI}/vrouter-cni.patch`
const MULTIARCH = `${process.arch === 'x64' ? 'x86_64' : 'aarch64'}-linux-gnu`
const LOADER = process.arch === 'x64' ? 'ld-linux-x86-64.so.2' : 'ld-linux-aarch64.so.1'

/** What the plugin needs of its host, were it not for these. */
const LIBRARIES = [
  'libatomic.so.1',
  'libc.so.6',
  'libdl.so.2',
  'libgcc_s.so.1',
  'libm.so.6',
  'libpthread.so.0',
  'libstdc++.so.6',
]

/** Node without symbols and debug information, which are a fifth of it. In the cache, by what it was made of. */
export function strippedNode(root: string): string {
  const node = join(root, 'node_modules/node/bin/node')
  const { size, mtimeMs } = statSync(node)
  const output = join(cacheFolder('image'), `node-${process.version}-${size}-${Math.trunc(mtimeMs)}`)
  if (statSync(output, { throwIfNoEntry: false }) === undefined) {
    const temporary = `${output}.${process.pid}.tmp`
    execFileSync('llvm-strip', ['-o', temporary, node])
    renameSync(temporary, output)
  }
  return output
}

/** Daemon, controller, tools, datapath objects, and the CNI binary as a patch to `node`. */
export function productEntries(root: string, node: string, mtime: number): TarEntry[] {
  const file = (path: string, from: string, mode = 0o644): TarEntry => ({
    path,
    mode,
    mtime,
    content: { type: 'file', from: { file: from } },
  })
  const link = (path: string, target: string): TarEntry => ({
    path,
    mode: 0o777,
    mtime,
    content: { type: 'symlink', target },
  })
  const dist = join(root, 'daemon/dist')
  const objects = join(root, 'daemon/datapath/build')
  const commands = readdirSync(join(dist, 'bin')).filter((name) => !name.startsWith('.') && !name.endsWith('.tmp'))
  return [
    ...globSync('*.mjs', { cwd: dist }).map((name) => file(`${DAEMON}/${name}`, join(dist, name))),
    ...commands.map((name) => file(`${DAEMON}/bin/${name}`, join(dist, 'bin', name), 0o755)),
    ...commands.map((name) => link(`usr/bin/${name}`, `../lib/vrouter/daemon/bin/${name}`)),
    ...globSync('*.bpf.o', { cwd: objects }).map((name) => file(`${OBJECTS}/${name}`, join(objects, name))),
    { path: PATCH, mode: 0o644, mtime, content: { type: 'file', from: { bytes: cniPatch(root, node) } } },
    { path: `${CNI}/launcher`, mode: 0o755, mtime, content: { type: 'file', from: { bytes: launcher(root) } } },
    // The installer copies what these links lead to.
    link(`${CNI}/lib/ld.so`, `../../../${MULTIARCH}/${LOADER}`),
    ...LIBRARIES.map((name) => link(`${CNI}/lib/${name}`, `../../../${MULTIARCH}/${name}`)),
    link(`${CNI}/loopback`, '../../cni/loopback'),
  ]
}

/** What the runtime runs, and what starts the plugin with its own libraries: needs nothing of the host. */
function launcher(root: string): Uint8Array {
  const output = join(cacheFolder('image'), `launcher-${process.pid}`)
  try {
    const source = join(root, 'cni-plugin/launcher.c')
    // No build id and no path of this machine: equal sources give equal bytes.
    execFileSync('clang', ['-static', '-Os', '-Wall', '-Werror', '-s', '-Wl,--build-id=none', '-o', output, source])
    return readFileSync(output)
  } finally {
    rmSync(output, { force: true })
  }
}

/** A single executable made of the same node that the image holds, which is what makes the patch small. */
function cniPatch(root: string, node: string): Uint8Array {
  const folder = cacheFolder('image', `build-${process.pid}`)
  try {
    const output = join(folder, 'vrouter-cni')
    const config = join(folder, 'sea.json')
    const sea = {
      main: join(root, 'cni-plugin/dist/vrouter-cni.cjs'),
      mainFormat: 'commonjs',
      executable: node,
      output,
      disableExperimentalSEAWarning: true,
      useCodeCache: true,
      useSnapshot: false,
      execArgvExtension: 'none',
    }
    writeFileSync(config, JSON.stringify(sea))
    // The code cache holds hashes of strings, whose seed would be another one each time.
    execFileSync(process.execPath, ['--random-seed=1', '--build-sea', config], {
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    return makePatch(readFileSync(node), readFileSync(output))
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** npm packages that the bundles hold, by the stamps that hack/build.ts leaves. */
export function bundledPackages(root: string): NpmPackage[] {
  const stamps = globSync(['daemon/dist/.*.stamp', 'cni-plugin/dist/.*.stamp'], { cwd: root })
  const folders = new Set(
    stamps
      .flatMap((stamp) =>
        Object.keys((JSON.parse(readFileSync(join(root, stamp), 'utf8')) as { inputs: object }).inputs),
      )
      .map((input) => /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0])
      .filter((folder) => folder !== undefined),
  )
  const packages = [...folders].map((folder): NpmPackage => {
    const { name, version, license } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8')) as Record<
      string,
      string | undefined
    >
    return { name: name ?? folder, version: version ?? '', license: license ?? 'NOASSERTION' }
  })
  return packages.sort((a, b) => (`${a.name}@${a.version}` < `${b.name}@${b.version}` ? -1 : 1))
}
