/**
 * A tar archive, written so that equal contents give equal bytes: entries in the order given, owner 0:0, no names of users, times as told.
 * ustar headers (POSIX.1-2017, pax), with a pax record before an entry whose path or link doesn't fit.
 */
import { createReadStream, statSync } from 'node:fs'

export interface TarEntry {
  /** Relative to the root of the archive, without `./` and without a slash at the end. */
  readonly path: string
  /** Permission bits. */
  readonly mode: number
  /** Seconds since 1970. */
  readonly mtime: number
  readonly content:
    | { readonly type: 'directory' }
    | { readonly type: 'symlink'; readonly target: string }
    | { readonly type: 'file'; readonly from: { readonly file: string } | { readonly bytes: Uint8Array } }
}

const BLOCK = 512

/** The bytes of the archive. Files are read as they are needed. */
export async function* tar(entries: Iterable<TarEntry>): AsyncGenerator<Uint8Array> {
  for (const entry of entries) {
    yield* header(entry)
    if (entry.content.type !== 'file') continue
    const { from } = entry.content
    if ('bytes' in from) yield from.bytes
    else yield* createReadStream(from.file, { highWaterMark: 1 << 20 })
    yield padding(sizeOf(entry))
  }
  yield new Uint8Array(2 * BLOCK)
}

/** Every folder above `entries`, each before what lies in it; all sorted by path. Of two entries with one path the later stays. */
export function withFolders(entries: Iterable<TarEntry>, mtime: number): TarEntry[] {
  const byPath = new Map<string, TarEntry>()
  for (const entry of entries) {
    const parts = entry.path.split('/')
    for (let length = 1; length < parts.length; length++) {
      const path = parts.slice(0, length).join('/')
      if (!byPath.has(path)) byPath.set(path, { path, mode: 0o755, mtime, content: { type: 'directory' } })
    }
    byPath.set(entry.path, entry)
  }
  return [...byPath.values()].sort((a, b) => (a.path < b.path ? -1 : 1))
}

function sizeOf({ content }: TarEntry): number {
  if (content.type !== 'file') return 0
  return 'bytes' in content.from ? content.from.bytes.length : statSync(content.from.file).size
}

function padding(size: number): Uint8Array {
  return new Uint8Array((BLOCK - (size % BLOCK)) % BLOCK)
}

function* header(entry: TarEntry): Generator<Uint8Array> {
  const { content } = entry
  const path = content.type === 'directory' ? `${entry.path}/` : entry.path
  const target = content.type === 'symlink' ? content.target : ''
  const records = Object.entries({ path, linkpath: target }).filter(([, value]) => Buffer.byteLength(value) > 100)
  if (records.length > 0) {
    const text = Buffer.from(records.map(([key, value]) => paxRecord(key, value)).join(''))
    yield block({ path: 'pax', mode: 0o644, mtime: entry.mtime, size: text.length, type: 'x', target: '' })
    yield text
    yield padding(text.length)
  }
  const type = { file: '0', symlink: '2', directory: '5' }[content.type]
  yield block({ path, mode: entry.mode, mtime: entry.mtime, size: sizeOf(entry), type, target })
}

/** `length key=value\n`, where the length counts itself. */
function paxRecord(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`
  let length = Buffer.byteLength(rest)
  while (length !== Buffer.byteLength(`${length}${rest}`)) length = Buffer.byteLength(`${length}${rest}`)
  return `${length}${rest}`
}

interface Header {
  readonly path: string
  readonly mode: number
  readonly mtime: number
  readonly size: number
  readonly type: string
  readonly target: string
}

function block({ path, mode, mtime, size, type, target }: Header): Uint8Array {
  const bytes = Buffer.alloc(BLOCK)
  const octal = (value: number, offset: number, length: number) =>
    bytes.write(`${value.toString(8).padStart(length - 1, '0')}\0`, offset, 'ascii')
  bytes.write(truncated(path), 0, 'utf8')
  octal(mode, 100, 8)
  octal(0, 108, 8)
  octal(0, 116, 8)
  octal(size, 124, 12)
  octal(mtime, 136, 12)
  bytes.write(' '.repeat(8), 148, 'ascii')
  bytes.write(type, 156, 'ascii')
  bytes.write(truncated(target), 157, 'utf8')
  bytes.write('ustar\x0000', 257, 'latin1')
  const sum = bytes.reduce((total, byte) => total + byte, 0)
  bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'ascii')
  return bytes
}

function truncated(text: string): string {
  return Buffer.from(text).subarray(0, 100).toString('utf8')
}
