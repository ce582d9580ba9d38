/** The documents of a manifest file: JSON, or YAML with several documents. Pure. */
import { parseAllDocuments } from 'yaml'

export interface ParsedText {
  /** In the file's order; lists are opened up. */
  readonly documents: readonly unknown[]
  /** One message for each document that isn't YAML, with its line. */
  readonly errors: readonly string[]
}

export function parseText(text: string): ParsedText {
  const json = parseJson(text)
  if (json !== undefined) return { documents: openLists([json]), errors: [] }
  const documents: unknown[] = []
  const errors: string[] = []
  const parsed = parseAllDocuments(text, { prettyErrors: true })
  if (!Array.isArray(parsed)) return { documents, errors }
  for (const document of parsed) {
    const [error] = document.errors
    if (error !== undefined) {
      errors.push(`is not YAML: ${error.message.split('\n')[0]!.replace(/:$/, '')}`)
      continue
    }
    try {
      const value: unknown = document.toJS({ maxAliasCount: 100 })
      if (value !== null && value !== undefined) documents.push(value)
    } catch (cause) {
      errors.push(`is not YAML: ${(cause as Error).message}`)
    }
  }
  return { documents: openLists(documents), errors }
}

/** What the daemons publish is JSON, which is YAML too, and a hundred times faster to read as what it is. */
function parseJson(text: string): unknown {
  if (!text.trimStart().startsWith('{')) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function openLists(documents: readonly unknown[]): unknown[] {
  return documents.flatMap((document) => {
    const list = document as { readonly kind?: unknown; readonly items?: unknown }
    return list?.kind === 'List' && Array.isArray(list.items) ? list.items : [document]
  })
}
