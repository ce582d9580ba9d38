/**
 * Writing into the folder: every file appears as a whole or not at all (temporary file, fsync, rename or link), and one that was
 * created survives a power cut once the call has returned (fsync of the folder).
 */
import { randomBytes } from 'node:crypto'
import { link, open, readdir, rename, rm, stat, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { writeError } from './errors.ts'

/**
 * Replaces `folder/name`. Throws SourceError DISK_FULL or WRITE_FAILED, and then nothing has changed. A power cut may bring the old
 * file back, whole: its daemon publishes again.
 */
export async function replaceFile(folder: string, name: string, text: string): Promise<void> {
  await withTemporary(folder, name, text, (temporary, file) => rename(temporary, file))
}

/**
 * Creates `folder/name`; false when it is there already. link(2) is atomic: of several creators exactly one succeeds. Errors as of
 * `replaceFile`.
 */
export async function createFile(folder: string, name: string, text: string): Promise<boolean> {
  let isCreated = true
  await withTemporary(folder, name, text, async (temporary, file) => {
    try {
      await link(temporary, file)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
      isCreated = false
    }
    await unlink(temporary)
    await syncFolder(folder)
  })
  return isCreated
}

/** Removes `folder/name`; that it isn't there is fine. */
export async function removeFile(folder: string, name: string): Promise<void> {
  const file = join(folder, name)
  try {
    await unlink(file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw writeError('remove', file, error)
  }
}

async function withTemporary(
  folder: string,
  name: string,
  text: string,
  put: (temporary: string, file: string) => Promise<void>,
): Promise<void> {
  const file = join(folder, name)
  const temporary = join(folder, `.${randomBytes(8).toString('hex')}.tmp`)
  try {
    const handle = await open(temporary, 'wx', 0o644)
    try {
      await handle.writeFile(text)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await put(temporary, file)
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined)
    throw writeError('write', file, error)
  }
}

async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Removes temporary files that crashed daemons left, older than an hour: younger ones may be another daemon's. */
export async function removeLeftovers(folder: string, now = Date.now()): Promise<void> {
  for (const name of await readdir(folder)) {
    if (!/^\.[0-9a-f]{16}\.tmp$/.test(name)) continue
    const file = join(folder, name)
    const info = await stat(file).catch(() => undefined)
    if (info !== undefined && now - info.mtimeMs > 3_600_000) await rm(file, { force: true })
  }
}
