/** What keeps us from following a kind, once it isn't a passing trouble. */
import type { ApiError } from '../../kubernetes/errors.ts'
import type { Rejection } from '../../model/objects.ts'

interface Problem {
  readonly error: ApiError
  readonly since: number
}

/** A failure counts only after so long: most pass at once, milliseconds. */
const PATIENCE_MS = 10_000

export class Problems implements Disposable {
  readonly #onChange: () => void
  readonly #problems = new Map<string, Problem>()
  #recheck: NodeJS.Timeout | undefined

  constructor(onChange: () => void) {
    this.#onChange = onChange
  }

  /** `error` undefined: `name` can be followed (again). */
  note(name: string, error: ApiError | undefined): void {
    if (error === undefined) {
      if (this.#problems.delete(name)) this.#onChange()
      return
    }
    const since = this.#problems.get(name)?.since ?? performance.now()
    this.#problems.set(name, { error, since })
    this.#onChange()
    this.#recheck ??= setTimeout(() => {
      this.#recheck = undefined
      this.#onChange()
    }, PATIENCE_MS + 100).unref()
  }

  /** Nothing of a server that is away: that is told once, for all kinds. */
  lasting(): Rejection[] {
    const now = performance.now()
    return [...this.#problems].flatMap(([object, { error, since }]) => {
      switch (error.code) {
        case 'API_UNREACHABLE':
          return []
        case 'API_NOT_FOUND':
          return [
            { object, message: 'is not installed: install the CRDs of the chart (waiting for it)', isStale: true },
          ]
        case 'API_FORBIDDEN':
          return [{ object, message: `may not be read: ${error.message}`, isStale: true }]
        default:
          if (now - since < PATIENCE_MS) return []
          return [
            {
              object,
              message: `cannot be followed (${error.code}); what was last known stays in force`,
              isStale: true,
            },
          ]
      }
    })
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#recheck)
  }
}
