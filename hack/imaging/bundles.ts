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
const PATCH = 'usr/lib/vrouter/cni/vrouter-cni.patch'

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
  const dist = join(root, 'daemon/dist')
  const objects = join(root, 'daemon/datapath/build')
  const commands = readdirSync(join(dist, 'bin')).filter((name) => !name.startsWith('.') && !name.endsWith('.tmp'))
  return [
    ...globSync('*.mjs', { cwd: dist }).map((name) => file(`${DAEMON}/${name}`, join(dist, name))),
    ...commands.map((name) => file(`${DAEMON}/bin/${name}`, join(dist, 'bin', name), 0o755)),
    ...commands.map(
      (name): TarEntry => ({
        path: `usr/bin/${name}`,
        mode: 0o777,
        mtime,
        content: { type: 'symlink', target: `../lib/vrouter/daemon/bin/${name}` },
      }),
    ),
    ...globSync('*.bpf.o', { cwd: objects }).map((name) => file(`${OBJECTS}/${name}`, join(objects, name))),
    { path: PATCH, mode: 0o644, mtime, content: { type: 'file', from: { bytes: cniPatch(root, node) } } },
  ]
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
