/**
 * Replacing a file as a whole, without waiting for the disk: whatever becomes of this process, the file holds the old text or the new one.
 *
 * ext4 writes a file out at once when it is renamed over another one, or truncated and closed: milliseconds. So the new file and the old one
 * change names instead, and the old one is removed.
 */

import { closeSync, openSync, renameSync, unlinkSync, writeSync } from 'node:fs'
import { isErrno } from './errors.ts'
import { exchangeFiles } from './ffi.ts'

/** `temporary`: a name beside it that nobody else uses. Throws what the file system says; the old file is then as it was. */
export function replaceFile(path: string, temporary: string, text: string, mode: number): void {
  writeNew(temporary, text, mode)
  try {
    exchangeFiles(temporary, path)
  } catch (error) {
    if (isErrno(error, 'ENOENT', 'EINVAL', 'ENOSYS')) {
      renameSync(temporary, path)
      return
    }
    unlinkSync(temporary)
    throw error
  }
  unlinkSync(temporary)
}

function writeNew(path: string, text: string, mode: number): void {
  const fd = openNew(path, mode)
  try {
    const bytes = Buffer.from(text)
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at)
  } catch (error) {
    unlinkSync(path)
    throw error
  } finally {
    closeSync(fd)
  }
}

/** What a killed process left goes: to truncate it would be as slow. */
function openNew(path: string, mode: number): number {
  try {
    return openSync(path, 'wx', mode)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    unlinkSync(path)
    return openSync(path, 'wx', mode)
  }
}
