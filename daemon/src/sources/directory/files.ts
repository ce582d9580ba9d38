/**
 * What one file says, and what it said before it was damaged. While a file can't be read or holds a mistake, everything that was
 * read from it before and isn't there any more stays in force: a document that can't be understood may be any of it. Pure.
 */
import { isEqual, isSameList } from '../../model/equal.ts'
import type { Rejection } from '../../model/objects.ts'
import type { LoadedFile } from '../objects/collected.ts'
import { decode, type Item, idOf } from '../objects/decode.ts'
import { parseText } from './documents.ts'

/** Of a file in order: shared, for there are thousands. */
const NONE: readonly Rejection[] = []

const KEPT = 'everything that was read from it stays in force'

/** Reads the text of a file. Items that say the same as in `before` are the same objects, and so is a file in order that does. */
export function loadText(path: string, text: string, cluster: string, before?: LoadedFile): LoadedFile {
  if (text.trim() === '' && before !== undefined && before.items.length > 0) {
    return failedFile(path, 'is empty', before)
  }
  const { documents, errors } = parseText(text)
  const known = new Map(before?.items.map((item) => [idOf(item), item]))
  const items = new Map<string, Item>()
  const rejections: Rejection[] = []
  for (const document of documents) {
    const decoded = decode(document, cluster)
    if (!decoded.ok) {
      for (const { field, value, message } of decoded.issues) {
        rejections.push({ object: decoded.id, file: path, field: field === '' ? undefined : field, value, message })
      }
      continue
    }
    const { item } = decoded
    const id = idOf(item)
    if (items.has(id)) {
      const message = 'occurs twice in this file; the first one counts: remove the other'
      rejections.push({ object: id, file: path, message })
      continue
    }
    const same = known.get(id)
    items.set(id, same !== undefined && isEqual(same, item) ? same : item)
  }
  for (const message of errors) rejections.push({ object: 'document', file: path, message })
  if (rejections.length === 0) {
    const all = [...items.values()]
    return before?.rejections === NONE && isSameList(before.items, all)
      ? before
      : { path, items: all, rejections: NONE }
  }
  const missing = [...known].filter(([id]) => !items.has(id))
  if (missing.length > 0) {
    for (const [id, item] of missing) items.set(id, item)
    const message = `stays as it was last read, until this file is in order: ${missing.map(([id]) => id).join(', ')}`
    rejections.push({ object: 'file', file: path, message })
  }
  return { path, items: [...items.values()], rejections }
}

/** A file that can't be read at all. */
export function failedFile(path: string, reason: string, before?: LoadedFile): LoadedFile {
  const items = before?.items ?? []
  const message = items.length === 0 ? reason : `${reason} (${KEPT})`
  return { path, items, rejections: [{ object: 'file', file: path, message }] }
}
