/**
 * What one file says, and what it said before it was damaged: an object that was good stays in force while its file can't be read
 * or holds a mistake. Pure.
 */
import { isEqual } from '../../model/equal.ts'
import type { Rejection } from '../../model/objects.ts'
import { parseText } from './documents.ts'
import { decode, type Item } from './objects.ts'

export interface LoadedFile {
  /** Relative to the source's folder. */
  readonly path: string
  readonly items: readonly Item[]
  readonly rejections: readonly Rejection[]
}

const KEPT = 'the last good version stays in force'

/** Reads the text of a file. Items that say the same as in `before` are the same objects. */
export function loadText(path: string, text: string, cluster: string, before?: LoadedFile): LoadedFile {
  if (text.trim() === '' && before !== undefined && before.items.length > 0) {
    return failedFile(path, 'is empty', before)
  }
  const { documents, errors } = parseText(text)
  const known = new Map(before?.items.map((item) => [item.id, item]))
  const items = new Map<string, Item>()
  const rejections: Rejection[] = []
  for (const document of documents) {
    const decoded = decode(document, cluster)
    if (!decoded.ok) {
      const kept = known.get(decoded.id)
      if (kept !== undefined && !items.has(kept.id)) items.set(kept.id, kept)
      for (const { field, value, message } of decoded.issues) {
        rejections.push({
          object: decoded.id,
          file: path,
          field: field === '' ? undefined : field,
          value,
          message: kept === undefined ? message : `${message} (${KEPT})`,
        })
      }
      continue
    }
    const { item } = decoded
    if (items.has(item.id)) {
      rejections.push({
        object: item.id,
        file: path,
        message: 'occurs twice in this file; the first one counts: remove the other',
      })
      continue
    }
    const same = known.get(item.id)
    items.set(item.id, same !== undefined && isEqual(same, item) ? same : item)
  }
  for (const message of errors) {
    rejections.push({ object: 'document', file: path, message: known.size === 0 ? message : `${message} (${KEPT})` })
  }
  // A document that isn't YAML may be any of those that were there.
  if (errors.length > 0) for (const [id, item] of known) if (!items.has(id)) items.set(id, item)
  return { path, items: [...items.values()], rejections }
}

/** A file that can't be read at all. */
export function failedFile(path: string, reason: string, before?: LoadedFile): LoadedFile {
  const items = before?.items ?? []
  const message = items.length === 0 ? reason : `${reason} (${KEPT})`
  return { path, items, rejections: [{ object: 'file', file: path, message }] }
}
