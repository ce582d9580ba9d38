/** Replacing a file as a whole: whatever becomes of this process, the file holds the old text or the new one. */

import { closeSync, fchmodSync, fsyncSync, openSync, renameSync, rmSync, unlinkSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import { isErrno } from './errors.ts'
import { exchangeFiles } from './ffi.ts'

/**
 * Without waiting for the disk. ext4 writes a file out at once when it is renamed over another one, or truncated and closed: milliseconds. So the new file
 * and the old one change names instead, and the old one is removed.
 *
 * `temporary`: a name beside it that nobody else uses. Throws what the file system says; the old file is then as it was.
 */
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

/** The new file is on the disk when this returns: not even a power loss brings the old one back, or half of the new one. Arguments as above. */
export function replaceFileDurably(path: string, temporary: string, content: string | Uint8Array, mode: number): void {
  try {
    const fd = openSync(temporary, 'wx', mode)
    try {
      writeAll(fd, content)
      fchmodSync(fd, mode) // whatever the umask
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
    renameSync(temporary, path)
    syncFolder(dirname(path))
  } finally {
    removeLeftover(temporary)
  }
}

/** Brings a folder's names to the disk. */
export function syncFolder(folder: string): void {
  const fd = openSync(folder, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

function removeLeftover(path: string): void {
  try {
    rmSync(path, { force: true })
  } catch {
    // The folder itself is no folder, or gone: nothing is left over then.
  }
}

/** All of it, however often the kernel takes a part. */
export function writeAll(fd: number, content: string | Uint8Array): void {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at)
}

function writeNew(path: string, text: string, mode: number): void {
  const fd = openNew(path, mode)
  try {
    writeAll(fd, text)
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
