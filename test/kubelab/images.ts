/** The images that every node of a lab has: pause, and `box`, which tests run (busybox with its applets, nettool). Made by hand, kept in the cache. */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import { type Entry, type ImageConfig, imageArchive } from './archive.ts'
import { run } from './command.ts'
import { tools } from './layout.ts'
import { pauseImage } from './node-config.ts'

export const boxImage = 'kubelab.test/box:1'

/** What holds a pod's namespaces: reaps orphans, ends when it is told to. */
const pauseSource = `#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>
static void end(int signal) { (void)signal; _exit(0); }
static void reap(int signal) { (void)signal; while (waitpid(-1, 0, WNOHANG) > 0) ; }
int main(void) {
  signal(SIGINT, end);
  signal(SIGTERM, end);
  signal(SIGCHLD, reap);
  for (;;) pause();
}
`

const architecture = { x64: 'amd64', arm64: 'arm64' }[process.arch as string] ?? process.arch

const folder = (path: string, mode = 0o755): Entry => ({ kind: 'folder', path, mode })
const text = (path: string, content: string): Entry => ({
  kind: 'file',
  path,
  mode: 0o644,
  content: Buffer.from(content),
})
export const program = (path: string, source: string): Entry & { readonly content: Buffer } => ({
  kind: 'file',
  path,
  mode: 0o755,
  content: readFileSync(source),
})

/** @returns the archives, made anew where what they consist of changed */
export async function buildImages(signal?: AbortSignal): Promise<string[]> {
  mkdirSync(tools.images, { recursive: true })
  return [await pause(signal), box()]
}

async function pause(signal?: AbortSignal): Promise<string> {
  const archive = archiveOf('pause', pauseSource)
  if (existsSync(archive)) return archive
  const folder = mkdtempSync(join(tools.images, 'pause-'))
  try {
    const binary = join(folder, 'pause')
    await run(['clang', '-static', '-Os', '-s', '-x', 'c', '-o', binary, '-'], { input: pauseSource, signal })
    return keep(archive, imageArchive(pauseImage, architecture, { Entrypoint: ['/pause'] }, [program('pause', binary)]))
  } finally {
    rmSync(folder, { recursive: true })
  }
}

function box(): string {
  const busybox = program('bin/busybox', join(tools.debian, 'usr/bin/busybox'))
  const nettool = program('bin/nettool', join(tools.bin, 'nettool'))
  const archive = archiveOf('box', busybox.content, nettool.content, readFileSync(import.meta.filename))
  if (existsSync(archive)) return archive
  const applets = execFileSync(join(tools.debian, 'usr/bin/busybox'), ['--list'], { encoding: 'utf8' })
    .split('\n')
    .filter((name) => !['', 'busybox', 'wget'].includes(name))
  const entries: Entry[] = [
    ...['bin', 'etc', 'proc', 'sys', 'dev', 'run', 'root', 'var'].map((path) => folder(path)),
    folder('tmp', 0o1777),
    text('etc/passwd', 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n'),
    text('etc/group', 'root:x:0:\nnogroup:x:65534:\n'),
    busybox,
    ...applets.map((name): Entry => ({ kind: 'link', path: `bin/${name}`, target: 'busybox' })),
    nettool,
    { kind: 'link', path: 'bin/wget', target: 'nettool' },
  ]
  return keep(archive, imageArchive(boxImage, architecture, { Env: ['PATH=/bin'], Cmd: ['/bin/sh'] }, entries))
}

/** An image of a few files, made anew where one of them is another one. @param recipe what else it is made of */
export function keptImage(
  name: string,
  image: string,
  config: ImageConfig,
  files: readonly (Entry & { readonly content: Buffer })[],
  recipe: Buffer,
): string {
  mkdirSync(tools.images, { recursive: true })
  const archive = archiveOf(name, ...files.map(({ content }) => content), recipe)
  return existsSync(archive) ? archive : keep(archive, imageArchive(image, architecture, config, files))
}

/** Named by what it is made of, so that another version of this repo never takes it for its own. */
function archiveOf(name: string, ...parts: (string | Buffer)[]): string {
  const hash = createHash('sha256')
  for (const part of parts) hash.update(part)
  return join(tools.images, `${name}-${hash.digest('hex').slice(0, 16)}.tar`)
}

/** Takes away what the archive supersedes: not the young ones, which another tree may be using. */
function keep(file: string, content: Buffer): string {
  const prefix = basename(file).replace(/-[0-9a-f]+\.tar$/, '-')
  for (const old of readdirSync(tools.images).filter((entry) => entry.startsWith(prefix))) {
    const path = join(tools.images, old)
    if (Date.now() - statSync(path).mtimeMs > 24 * 3600_000) rmSync(path, { force: true })
  }
  writeFileSync(`${file}.${process.pid}`, content)
  renameSync(`${file}.${process.pid}`, file)
  return file
}
