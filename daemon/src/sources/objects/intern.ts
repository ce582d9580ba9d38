/** Texts that thousands of objects share are kept once. */
const interned = new Map<string, string>()

export function intern(text: string): string {
  const known = interned.get(text)
  if (known !== undefined) return known
  // Names come and go with nodes and networks; a bound keeps a long life from collecting them all.
  if (interned.size > 50_000) interned.clear()
  interned.set(text, text)
  return text
}
