/** Starts agent.ts in a lab's network and asks it. */
import { type ChildProcess, spawn } from 'node:child_process'
import { join } from 'node:path'
import type { Kubelab } from '../../kubelab/kubelab.ts'
import type { Methods } from './agent.ts'

type Result<M extends keyof Methods> = Awaited<ReturnType<Methods[M]>>

export class Agent implements Disposable {
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>()
  #next = 1

  private constructor(child: ChildProcess) {
    this.#child = child
    child.on('message', ({ id, result, error }: { id: number; result?: unknown; error?: string }) => {
      if (error === undefined) this.#waiting.get(id)?.resolve(result)
      else this.#waiting.get(id)?.reject(new Error(error))
      this.#waiting.delete(id)
    })
    child.on('exit', (code) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`the agent ended with ${code}`))
      this.#waiting.clear()
    })
  }

  static async start(lab: Kubelab): Promise<Agent> {
    const { prefix, env } = lab.administrator
    const [program, ...args] = [...prefix, process.execPath, join(import.meta.dirname, 'agent.ts'), lab.name]
    const child = spawn(program!, args, {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    })
    const agent = new Agent(child)
    const isReady = Promise.withResolvers<unknown>()
    agent.#waiting.set(0, isReady)
    await isReady.promise
    return agent
  }

  ask<M extends keyof Methods>(method: M, ...parameters: Parameters<Methods[M]>): Promise<Result<M>> {
    const id = this.#next++
    const answer = Promise.withResolvers<unknown>()
    this.#waiting.set(id, answer)
    this.#child.send({ id, method, parameters })
    return answer.promise as Promise<Result<M>>
  }

  [Symbol.dispose](): void {
    if (this.#child.connected) this.#child.disconnect()
  }
}
