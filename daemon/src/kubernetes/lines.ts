/** Cuts a stream of bytes into lines. A line that is cut off at the end of the stream is never given out. */
const NEWLINE = 10
const LONGEST_LINE = 64 * 1024 * 1024

export class Lines {
  readonly #onLine: (line: string) => void
  #parts: Buffer[] = []
  #length = 0

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine
  }

  /** Throws RangeError when a line is longer than 64 MB. */
  add(chunk: Buffer): void {
    let start = 0
    for (let end = chunk.indexOf(NEWLINE); end >= 0; end = chunk.indexOf(NEWLINE, start)) {
      this.#parts.push(chunk.subarray(start, end))
      start = end + 1
      const line = this.#parts.length === 1 ? this.#parts[0]! : Buffer.concat(this.#parts)
      this.#parts = []
      this.#length = 0
      if (line.length > 0) this.#onLine(line.toString('utf8'))
    }
    if (start === chunk.length) return
    this.#parts.push(chunk.subarray(start))
    this.#length += chunk.length - start
    if (this.#length > LONGEST_LINE) throw new RangeError(`a line is longer than ${LONGEST_LINE} bytes`)
  }

  /** Whether the last line lacks its end. */
  get isCut(): boolean {
    return this.#length > 0
  }
}
