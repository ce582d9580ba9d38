/**
 * What was lost of the pings of a `ping` that has said so much: what was sent before the last one that was answered, and has no answer. `count`: so many were
 * sent, answered or not.
 */
export function pingsIn(said: string, count = 0): { readonly last: number; readonly lost: readonly number[] } {
  const answered = new Set([...said.matchAll(/icmp_seq=(\d+) ttl=/g)].map(([, sequence]) => Number(sequence)))
  const last = Math.max(count, ...answered)
  const lost = Array.from({ length: last }, (_, i) => i + 1).filter((sequence) => !answered.has(sequence))
  return { last, lost }
}
