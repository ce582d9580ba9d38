/**
 * HTML out of template literals: what is put in is escaped, unless it is Html itself.
 */

export interface Html {
  readonly markup: string
}

export type Part = Html | string | number | bigint | undefined | readonly Part[]

export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  let markup = strings[0]!
  parts.forEach((part, index) => {
    markup += toMarkup(part) + strings[index + 1]!
  })
  return { markup }
}

function toMarkup(part: Part): string {
  if (part === undefined) return ''
  if (typeof part === 'object') return 'markup' in part ? part.markup : part.map(toMarkup).join('')
  return escapeHtml(String(part))
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
}

export function escapeHtml(text: string): string {
  return text.replaceAll(/[&<>"']/g, (character) => ESCAPES[character]!)
}

/** For text that is markup already: styles and scripts of ours. */
export function trusted(markup: string): Html {
  return { markup }
}

/** 12,873 */
export function grouped(count: number | bigint): string {
  return count.toLocaleString('en-US')
}

/** 12.6 KiB */
export function byteCount(bytes: number | bigint): string {
  let value = Number(bytes)
  for (const unit of ['B', 'KiB', 'MiB', 'GiB', 'TiB']) {
    if (value < 1024 || unit === 'TiB') return `${unit === 'B' ? value : value.toFixed(1)} ${unit}`
    value /= 1024
  }
  return ''
}

/** 1 h 2 min */
export function duration(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000))
  const parts: readonly (readonly [number, string])[] = [
    [Math.floor(seconds / 86400), 'd'],
    [Math.floor(seconds / 3600) % 24, 'h'],
    [Math.floor(seconds / 60) % 60, 'min'],
    [seconds % 60, 's'],
  ]
  const first = parts.findIndex(([value]) => value > 0)
  if (first < 0) return '0 s'
  return parts
    .slice(first, first + 2)
    .filter(([value]) => value > 0)
    .map(([value, unit]) => `${value} ${unit}`)
    .join(' ')
}

/** `default-domain:k8s-default:red` as `red`, or `k8s-default / red` outside the default project. */
export function shortName(fqName: string): string {
  const parts = fqName.split(':')
  return parts.length < 3
    ? fqName
    : parts
        .slice(2)
        .filter((part, index, all) => index === 0 || part !== all[0])
        .join(' / ')
}

/** A hue for a name (FNV-1a, in steps that the eye can tell apart): the same on every page and every node. */
export function hueOf(name: string): number {
  let hash = 0x811c9dc5
  for (const byte of Buffer.from(name)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0
  return (hash % 24) * 15
}
