/**
 * What the thread of pkt0 has asked others and waits for no longer than this: a bounded number in all, a share for each vif, and so many a second
 * from one of them. A pod that asks more than its share costs others nothing; what is refused has a reason.
 */

export interface QuestionLimits {
  readonly atOnce: number
  readonly perVif: number
  /** Of one vif. */
  readonly perSecond: number
  /** After this an answer comes too late. */
  readonly patienceMs: number
}

export const QUESTION_LIMITS: QuestionLimits = { atOnce: 256, perVif: 16, perSecond: 100, patienceMs: 5000 }

export const QUESTION_REFUSALS = ['questions_full', 'questions_of_vif', 'questions_rate'] as const
export type QuestionRefusal = (typeof QUESTION_REFUSALS)[number]

interface Asker {
  open: number
  tokens: number
  refilledAt: number
}

export class Questions {
  readonly #limits: QuestionLimits
  /** By id, the oldest first. */
  readonly #open = new Map<number, { readonly vif: number; readonly at: number }>()
  readonly #askers = new Map<number, Asker>()
  #last = 0

  constructor(limits: QuestionLimits = QUESTION_LIMITS) {
    this.#limits = limits
  }

  /** The id of a new question of that vif, or why there is none. `now` in milliseconds, never going back. */
  open(vif: number, now: number): number | QuestionRefusal {
    const { atOnce, perVif, perSecond } = this.#limits
    const asker = this.#askers.get(vif) ?? { open: 0, tokens: perSecond, refilledAt: now }
    asker.tokens = Math.min(perSecond, asker.tokens + ((now - asker.refilledAt) * perSecond) / 1000)
    asker.refilledAt = now
    this.#askers.set(vif, asker)
    if (asker.open >= perVif) return 'questions_of_vif'
    if (this.#open.size >= atOnce) return 'questions_full'
    if (asker.tokens < 1) return 'questions_rate'
    asker.tokens--
    asker.open++
    this.#last++
    this.#open.set(this.#last, { vif, at: now })
    return this.#last
  }

  /** It is answered. False: it was given up before. */
  close(id: number): boolean {
    const question = this.#open.get(id)
    if (question === undefined) return false
    this.#open.delete(id)
    const asker = this.#askers.get(question.vif)!
    asker.open--
    return true
  }

  /** Gives up those that have waited too long; how many. */
  expire(now: number): number {
    let expired = 0
    for (const [id, { at }] of this.#open) {
      if (now - at < this.#limits.patienceMs) break
      this.close(id)
      expired++
    }
    return expired
  }

  /** A vif that is gone has no share any more. */
  forget(vif: number): void {
    if (this.#askers.get(vif)?.open === 0) this.#askers.delete(vif)
  }
}
