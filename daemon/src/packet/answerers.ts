/** Who answers what the thread of pkt0 asks, on the main thread: one for each service, each with a time after which nobody waits any more. */
import type { VifContext, VrfContext } from './context.ts'
import { QUESTION_LIMITS } from './questions.ts'
import type { Injection } from './respond.ts'
import type { Service } from './service.ts'

/** A packet that a service is to answer, and what is known of where it came from. */
export interface Question {
  readonly service: Service
  readonly vif: number
  readonly vrf: number
  readonly frame: Uint8Array
}

/** Where a question came from: absent, when it is gone meanwhile. */
export interface Asker {
  readonly vif?: VifContext
  readonly vrf?: VrfContext
}

/**
 * Answers one question, in its own time; undefined: not at all. Many are asked at once, so what takes the processor goes to a Worker of
 * its own. The signal ends when nobody waits for the answer any more.
 */
export type Answerer = (question: Question, asker: Asker, signal: AbortSignal) => Promise<Injection | undefined>

interface Log {
  error(fields: object, message: string): void
}

export class Answerers {
  readonly #log: Log
  readonly #byService = new Map<Service, Answerer>()
  readonly #patienceMs: number

  constructor(log: Log, patienceMs = QUESTION_LIMITS.patienceMs) {
    this.#log = log
    this.#patienceMs = patienceMs
  }

  get services(): readonly Service[] {
    return [...this.#byService.keys()].sort()
  }

  /** Returns how to end that. */
  add(service: Service, answerer: Answerer): () => void {
    if (this.#byService.has(service)) throw new Error(`somebody answers ${service} already`)
    this.#byService.set(service, answerer)
    return () => void this.#byService.delete(service)
  }

  /** Never rejects, and never takes longer than nobody waits. */
  async answer(question: Question, asker: Asker): Promise<Injection | undefined> {
    const answerer = this.#byService.get(question.service)
    if (answerer === undefined) return undefined
    const late = Promise.withResolvers<undefined>()
    const abort = new AbortController()
    const timer = setTimeout(() => {
      abort.abort()
      late.resolve(undefined)
    }, this.#patienceMs)
    timer.unref()
    try {
      return await Promise.race([answerer(question, asker, abort.signal), late.promise])
    } catch (error) {
      const fields = { service: question.service, vif: question.vif, err: error }
      this.#log.error(fields, 'a question of a pod could not be answered')
      return undefined
    } finally {
      clearTimeout(timer)
    }
  }
}
