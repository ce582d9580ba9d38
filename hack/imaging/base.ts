/** The lowest layer: the libraries that node, libbpf and our programs need, a busybox to look around with, and the few files that glibc expects. */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type DebianPackage, entriesOf, fetchPackages } from './debian.ts'
import type { TarEntry } from './tar.ts'

const PACKAGES = [
  'libc6',
  'libgcc-s1',
  'libstdc++6',
  'libatomic1',
  'libbpf1',
  'libelf1t64|libelf1',
  'zlib1g',
  'libzstd1',
  'busybox-static',
]

/** containerd sets up `lo` of every pod by this plugin; of its package that one file is used, on hosts that have none. */
const PLUGINS_PACKAGE = 'containernetworking-plugins'
const LOOPBACK = /^usr\/lib\/cni\/loopback$|\/copyright$/

/** Of the package that names the distribution, that name alone: scanners go by it. */
const DISTRIBUTION_PACKAGE = 'base-files'
const DISTRIBUTION_FILES = /^(usr\/lib\/os-release|etc\/os-release|etc\/debian_version)$/

/** busybox has applets that would have no use or do harm in a container. */
const NO_APPLETS = new Set(['busybox', 'init', 'linuxrc', 'halt', 'poweroff', 'reboot'])

const TEXTS: Readonly<Record<string, string>> = {
  'etc/passwd': 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n',
  'etc/group': 'root:x:0:\nnogroup:x:65534:\n',
  'etc/nsswitch.conf': 'passwd: files\ngroup: files\nhosts: files dns\n',
}

const LINKS: Readonly<Record<string, string>> = {
  bin: 'usr/bin',
  sbin: 'usr/sbin',
  lib: 'usr/lib',
  lib64: 'usr/lib64',
  'var/run': '../run',
}

/** Folders that something is mounted on, or written to. */
const FOLDERS: Readonly<Record<string, number>> = {
  dev: 0o755,
  proc: 0o755,
  sys: 0o755,
  run: 0o755,
  root: 0o700,
  tmp: 0o1777,
  'usr/sbin': 0o755,
  'var/lib': 0o755,
}

export interface Base {
  readonly packages: readonly DebianPackage[]
  /** As os-release says: `debian`. */
  readonly distribution: string
  readonly entries: readonly TarEntry[]
}

export function debianBase(): Base {
  const [distribution, plugins, ...packages] = fetchPackages([DISTRIBUTION_PACKAGE, PLUGINS_PACKAGE, ...PACKAGES]) as [
    DebianPackage,
    DebianPackage,
    ...DebianPackage[],
  ]
  const busybox = packages.find(({ name }) => name === 'busybox-static')!
  const text = (path: string, content: string): TarEntry => ({
    path,
    mode: 0o644,
    mtime: 0,
    content: { type: 'file', from: { bytes: Buffer.from(content) } },
  })
  const link = (path: string, target: string): TarEntry => ({
    path,
    mode: 0o777,
    mtime: 0,
    content: { type: 'symlink', target },
  })
  const all = [distribution, plugins, ...packages]
  return {
    packages: all,
    distribution: distributionOf(distribution),
    entries: [
      ...Object.entries(FOLDERS).map(
        ([path, mode]): TarEntry => ({ path, mode, mtime: 0, content: { type: 'directory' } }),
      ),
      ...Object.entries(LINKS).map(([path, target]) => link(path, target)),
      ...entriesOf(distribution, DISTRIBUTION_FILES),
      ...entriesOf(plugins, LOOPBACK),
      ...packages.flatMap((one) => entriesOf(one)),
      ...appletsOf(busybox).map((name) => link(`usr/bin/${name}`, 'busybox')),
      ...Object.entries(TEXTS).map(([path, content]) => text(path, content)),
      // Where scanners look for packages that no dpkg installed.
      ...all.map((one) => text(`var/lib/dpkg/status.d/${one.name}`, one.control)),
    ],
  }
}

function appletsOf({ folder }: DebianPackage): string[] {
  const program = ['usr/bin/busybox', 'bin/busybox'].map((path) => join(folder, path)).find((path) => existsSync(path))
  return execFileSync(program!, ['--list'], { encoding: 'utf8' })
    .split('\n')
    .filter((name) => name !== '' && !NO_APPLETS.has(name))
}

function distributionOf({ folder }: DebianPackage): string {
  return /^ID=(\w+)/m.exec(readFileSync(join(folder, 'usr/lib/os-release'), 'utf8'))?.[1] ?? 'debian'
}
