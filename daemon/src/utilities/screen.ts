/**
 * Live screens: something is drawn every half second until q or Ctrl-C, or for a given number of refreshes. The terminal is given
 * back as it was.
 */
import { setTimeout as sleep } from 'node:timers/promises'

export const REFRESH_MS = 500

export interface Screen {
  /** Clears the terminal; nothing when the output isn't one, so that files and pipes hold plain text. */
  clear(): void
  /** Keys pressed since the last call. */
  keys(): readonly string[]
  readonly rows: number
}

const CTRL_C = '\u0003'
const CLEAR = '\u001b[H\u001b[2J\u001b[3J'

export function clearTerminal(): void {
  if (process.stdout.isTTY) process.stdout.write(CLEAR)
}

/** Calls `draw` at once and every REFRESH_MS: `count` times, or until q or Ctrl-C is pressed. */
export async function refresh(
  count: number | undefined,
  draw: (screen: Screen) => void | Promise<void>,
): Promise<void> {
  const { stdin, stdout } = process
  const stop = new AbortController()
  let pressed: string[] = []
  const onKeys = (data: Buffer) => {
    const keys = [...data.toString('latin1')]
    if (keys.some((key) => key === 'q' || key === CTRL_C)) stop.abort()
    pressed.push(...keys)
  }
  const onSignal = () => stop.abort()
  const wasRaw = stdin.isTTY && stdin.isRaw
  if (stdin.isTTY) {
    stdin.setRawMode(true)
    stdin.on('data', onKeys)
  }
  process.once('SIGINT', onSignal)
  process.once('SIGTERM', onSignal)
  const screen: Screen = {
    clear: clearTerminal,
    keys: () => {
      const keys = pressed
      pressed = []
      return keys
    },
    get rows() {
      return stdout.rows ?? 24
    },
  }
  try {
    for (let drawn = 0; count === undefined || drawn < count; drawn++) {
      if (drawn > 0) await sleep(REFRESH_MS, undefined, { signal: stop.signal }).catch(() => undefined)
      if (stop.signal.aborted) return
      await draw(screen)
    }
  } finally {
    process.off('SIGINT', onSignal)
    process.off('SIGTERM', onSignal)
    if (stdin.isTTY) {
      stdin.off('data', onKeys)
      stdin.setRawMode(wasRaw)
      stdin.pause()
    }
  }
}
