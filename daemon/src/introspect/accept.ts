/**
 * Whether a client is a browser: it names text/html and doesn't like XML better. Clients that take anything get XML.
 */
export function prefersHtml(accept: string | undefined): boolean {
  const ranges = (accept ?? '').split(',').map(parseRange)
  const best = (types: readonly string[]) =>
    Math.max(0, ...ranges.filter(({ type }) => types.includes(type)).map(({ quality }) => quality))
  const html = best(['text/html', 'application/xhtml+xml'])
  const xml = best(['text/xml', 'application/xml'])
  if (html === 0 || html < xml) return false
  if (html > xml) return true
  return ranges.findIndex(({ type }) => type === 'text/html') < ranges.findIndex(({ type }) => type.endsWith('/xml'))
}

function parseRange(text: string): { readonly type: string; readonly quality: number } {
  const [type = '', ...parameters] = text.split(';').map((part) => part.trim().toLowerCase())
  const quality = parameters.find((parameter) => parameter.startsWith('q='))
  const value = quality === undefined ? 1 : Number.parseFloat(quality.slice(2))
  return { type, quality: Number.isNaN(value) ? 0 : value }
}
