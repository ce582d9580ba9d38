/**
 * Replacing a file as a whole, without waiting for the disk: whatever becomes of this process, the file holds the old text or the new one.
 *
 * ext4 writes a file out at once when it is renamed over another one, or truncated and closed: milliseconds. So the new file and the old one
 * change names instead, and the old one is removed.
 */

import { closeSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { isErrno } from './errors.ts'
import { exchangeFiles } from './ffi.ts'

/** `temporary`: a name beside it that nobody else uses. Throws what the file system says; the old file is then as it was. */
export function replaceFile(path: string, temporary: string, text: string, mode: number): void {
  // What a killed process left, which must not be truncated either.
  rmSync(temporary, { force: true })
  try {
    writeNew(temporary, text, mode)
    exchange(temporary, path)
  } finally {
    rmSync(temporary, { force: true })
  }
}

function writeNew(path: string, text: string, mode: number): void {
  const fd = openSync(path, 'wx', mode)
  try {
    const bytes = Buffer.from(text)
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at)
  } finally {
    closeSync(fd)
  }
}

/** `from` takes the place of `to`, whether that is there or not. */
function exchange(from: string, to: string): void {
  try {
    exchangeFiles(from, to)
  } catch (error) {
    if (!isErrno(error, 'ENOENT', 'EINVAL', 'ENOSYS')) throw error
    renameSync(from, to)
  }
}
