/** The few printf conversions that the tools' layouts are made of. */

/** `%<width>d`, `%<width>s` */
export function right(value: number | bigint | string, width: number): string {
  return String(value).padStart(width)
}

/** `%-<width>d`, `%-<width>s` */
export function left(value: number | bigint | string, width: number): string {
  return String(value).padEnd(width)
}

/** MAC as ether_ntoa(3) prints it, without zero padding: `2:6f:6e:91:5:3`. The tools use it for routes; vif pads. */
export function etherNtoa(mac: string): string {
  return mac
    .split(':')
    .map((octet) => Number.parseInt(octet, 16).toString(16))
    .join(':')
}

/** Bytes as `%02x ` each: a blank follows the last one too. */
export function hexBytes(bytes: Iterable<number>): string {
  let text = ''
  for (const byte of bytes) text += `${byte.toString(16).padStart(2, '0')} `
  return text
}

/** One symbol for each flag that is set, in the table's order, without separators. */
export function flagSymbols(flags: number, table: readonly (readonly [bit: number, symbol: string])[]): string {
  return table
    .filter(([bit]) => (flags & bit) !== 0)
    .map(([, symbol]) => symbol)
    .join('')
}

/** `YYYY-MM-DD HH:MM:SS` of local time; with `zone`, followed by ` +hhmm`. */
export function localTime(date: Date, zone = true): string {
  const two = (value: number) => String(value).padStart(2, '0')
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
  if (!zone) return `${day} ${time}`
  const offset = -date.getTimezoneOffset()
  const size = Math.abs(offset)
  return `${day} ${time} ${offset < 0 ? '-' : '+'}${two(Math.floor(size / 60))}${two(size % 60)}`
}
