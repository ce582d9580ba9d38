/** How far the ports are on their way into the kernel and to other nodes, and who waits for one of them. */
import type { PortState } from '../dataplane/pass-outcome.ts'
import type { Port } from '../model/facts.ts'
import type { Tables } from '../model/tables.ts'
import type { Programmed } from '../ports/options.ts'
import { openedOf, type Parts } from './parts.ts'
import { textOf } from './problem-text.ts'
import type { Rounds } from './rounds.ts'

/** Milliseconds that an ADD waits for a failure to pass that keeps its port from the kernel; then it is undone, and the runtime tries again. */
const FAULT_PATIENCE_MS = 3_000

/** One that waits for a port to be in the kernel. */
interface Waiter {
  readonly uuid: string
  isWritten(programmed: Programmed): void
  hasFault(): void
}

export class PortProgress {
  readonly #parts: Parts
  readonly #rounds: Pick<Rounds, 'nudge' | 'text'>
  readonly #waiters = new Set<Waiter>()
  /** Those that other nodes were told of. */
  #told: Tables | undefined

  constructor(parts: Parts, rounds: Pick<Rounds, 'nudge' | 'text'>) {
    this.#parts = parts
    this.#rounds = rounds
  }

  /** Other nodes know these, or can't be told at present. */
  told(tables: Tables): void {
    this.#told = tables
    this.answer()
  }

  /** Something may have become of what waits. */
  answer(): void {
    for (const waiter of this.#waiters) {
      const state = this.#stateOf(waiter.uuid)
      const isTold = this.#told?.vifs.some(({ port }) => port === waiter.uuid)
      if (state?.isWritten && isTold) waiter.isWritten({ vif: state.vif, vrf: state.vrf })
      else if (state?.isWritten === false && !state.isExpected) waiter.hasFault()
    }
  }

  /** Why a port isn't in the kernel: what model or dataplane say of it, or how far its rounds have come. */
  obstacle(uuid: string): string | undefined {
    const port = this.#port(uuid)
    const state = this.#stateOf(uuid)
    if (state?.isWritten === false) return textOf(state.fault)
    const problem = this.#parts.tables?.problems.find(({ subject, isWorking }) => {
      if (isWorking || subject === undefined) return false
      return subject.kind === 'port' ? subject.uuid === uuid : subject.kind === 'network' && subject.vn === port?.vn
    })
    if (problem !== undefined) return problem.message
    const { failure } = this.#parts.service
    if (failure !== undefined) return failure
    if (port?.ifindex === undefined) return `there is no device ${port?.tap}`
    if (state !== undefined) return 'it is in the kernel, other nodes have not been told'
    return this.#rounds.text
  }

  /** Resolves when the datapath forwards for that port; rejects when it can't, or with what `signal` was aborted with. */
  programmed(uuid: string, signal: AbortSignal): Promise<Programmed> {
    const now = this.#stateOf(uuid)
    if (now?.isWritten) return Promise.resolve(now)
    return new Promise((resolve, reject) => {
      let patience: NodeJS.Timeout | undefined
      const end = (): void => {
        clearTimeout(patience)
        this.#waiters.delete(waiter)
      }
      const refuse = (): void => {
        patience = undefined
        const state = this.#stateOf(uuid)
        if (state === undefined || state.isWritten || state.isExpected) return
        end()
        reject(new Error(textOf(state.fault)))
      }
      const waiter: Waiter = {
        uuid,
        isWritten: (programmed) => {
          end()
          resolve(programmed)
        },
        // Most failures pass: the dataplane tries again several times meanwhile.
        hasFault: () => {
          patience ??= setTimeout(refuse, FAULT_PATIENCE_MS)
        },
      }
      this.#waiters.add(waiter)
      signal.addEventListener('abort', () => {
        end()
        reject(signal.reason)
      })
      void this.#rounds.nudge()
    })
  }

  #port(uuid: string): Port | undefined {
    return openedOf(this.#parts)
      .ports.all()
      .find((one) => one.uuid === uuid)
  }

  /** How far a port is, with the tap that it has now. */
  #stateOf(uuid: string): PortState | undefined {
    const port = this.#port(uuid)
    return port?.ifindex === undefined ? undefined : openedOf(this.#parts).dataplane.stateOf(uuid, port.ifindex)
  }
}
