/**
 * Debian packages as parts of an image: fetched by apt-get into the cache, unpacked by dpkg-deb, and thinned out. No maintainer script runs, and
 * nothing is installed on this machine.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, lstatSync, mkdtempSync, readdirSync, readlinkSync, renameSync, rmSync, statSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import { cacheFolder } from './cache.ts'
import type { TarEntry } from './tar.ts'

export interface DebianPackage {
  readonly name: string
  readonly version: string
  readonly source: string
  readonly architecture: string
  /** The fields of the package, as dpkg keeps them. */
  readonly control: string
  /** Folder with what the package holds. */
  readonly folder: string
}

interface Candidate {
  readonly name: string
  readonly file: string
  readonly size: number
}

/** `wanted`: names; of names joined by `|` the first that this release has. Throws what apt-get says. */
export function fetchPackages(wanted: readonly string[]): DebianPackage[] {
  const candidates = wanted.map(findCandidate)
  const folder = cacheFolder('image', 'debian')
  for (const { name, file, size } of candidates) {
    const path = join(folder, file)
    if (!existsSync(path) || statSync(path).size !== size) run('apt-get', ['download', '-qq', name], folder)
  }
  return candidates.map(({ file }) => unpack(join(folder, file)))
}

function findCandidate(names: string): Candidate {
  const failures: unknown[] = []
  for (const name of names.split('|')) {
    try {
      // 'http://…/zlib1g_….deb' zlib1g_1%3a1.2.13.dfsg-1_amd64.deb 86684 SHA256:…
      const line = run('apt-get', ['download', '--print-uris', '-qq', name]).trim().split('\n').at(-1)
      const [, file, size] = /^'[^']+' (\S+) (\d+)/.exec(line ?? '') ?? []
      if (file !== undefined) return { name, file, size: Number(size) }
    } catch (error) {
      failures.push(error)
    }
  }
  throw new Error(`no Debian package ${names} to be had (apt-get update?)`, { cause: failures.at(-1) })
}

function unpack(file: string): DebianPackage {
  const folder = file.replace(/\.deb$/, '')
  if (!existsSync(folder)) {
    const temporary = mkdtempSync(`${folder}.`)
    try {
      run('dpkg-deb', ['-x', file, temporary])
      renameSync(temporary, folder)
    } finally {
      rmSync(temporary, { recursive: true, force: true })
    }
  }
  const control = run('dpkg-deb', ['-f', file])
  const field = (name: string) => new RegExp(`^${name}: *(\\S+)`, 'm').exec(control)?.[1]
  const name = field('Package')!
  return {
    name,
    version: field('Version')!,
    source: field('Source') ?? name,
    architecture: field('Architecture')!,
    control,
    folder,
  }
}

function run(command: string, args: readonly string[], cwd?: string): string {
  try {
    return execFileSync(command, args, { cwd, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message: string }
    throw new Error(`${command} ${args.join(' ')}: ${stderr?.trim() || message}`, { cause: error })
  }
}

/** What no program of ours opens. Texts of licences stay. */
const LEFT_OUT = [
  /^usr\/share\/(?!doc\/[^/]+\/copyright$)/,
  /\/gconv\//,
  /\/audit\//,
  /^usr\/lib\/debug\//,
  /^etc\/init/,
]

/** Libraries of glibc for other programs than ours: debugging, profiling, NIS. */
const LEFT_OUT_LIBRARIES =
  /\/(libBrokenLocale|libc_malloc_debug|libmemusage|libpcprofile|libnsl|libnss_(compat|hesiod)|libthread_db|libmvec)[.-]/

/** The files of a package, at their places in a file system where /bin, /lib, /lib64 and /sbin are links into /usr. */
export function entriesOf({ folder }: DebianPackage, only?: RegExp): TarEntry[] {
  return walk(folder, '')
    .filter((path) => only?.test(path) ?? !LEFT_OUT.some((pattern) => pattern.test(path)))
    .filter((path) => !LEFT_OUT_LIBRARIES.test(path))
    .map((path): TarEntry => {
      const file = join(folder, path)
      const info = lstatSync(file)
      const common = { path: merged(path), mode: info.mode & 0o7777, mtime: Math.floor(info.mtimeMs / 1000) }
      return info.isSymbolicLink()
        ? { ...common, mode: 0o777, content: { type: 'symlink', target: readlinkSync(file) } }
        : { ...common, content: { type: 'file', from: { file } } }
    })
    .filter(({ path, content }) => content.type !== 'symlink' || !pointsAtItself(path, content.target))
}

function merged(path: string): string {
  return path.replace(/^(bin|sbin|lib|lib64)\//, 'usr/$1/')
}

function pointsAtItself(path: string, target: string): boolean {
  return merged(posix.join(target.startsWith('/') ? '' : dirname(path), target).replace(/^\//, '')) === path
}

/** Paths of all that isn't a folder. */
function walk(root: string, folder: string): string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = posix.join(folder, entry.name)
    return entry.isDirectory() ? walk(root, path) : [path]
  })
}
