/**
 * Keeps the conflist on the node as the configuration wants it and as the plugins behind ours allow it. They are looked at again now and then: others
 * install them, perhaps later than us.
 */
import { join } from 'node:path'
import type { Log } from '../log.ts'
import { askPlugin, type ChainedPlugin, chainOf, stampOf } from './chained-plugins.ts'
import { type ConflistOptions, writeConflist } from './conflist.ts'

export interface KeeperOptions extends Omit<ConflistOptions, 'chained' | 'versions'> {
  /** cni.chained. */
  readonly chained: readonly ChainedPlugin[]
  /** Folder of the runtime's plugins. */
  readonly binaries: string
  readonly log: Log
  /** Word for the operator about this node. */
  readonly tell: (report: {
    readonly type: 'Normal' | 'Warning'
    readonly reason: string
    readonly message: string
  }) => void
  readonly lookMs?: number
  readonly answerMs?: number
}

const LOOK_MS = 30_000

export class ConflistKeeper implements Disposable {
  readonly #options: KeeperOptions
  #stamps = ''
  /** What was told, by plugin. */
  #problems: ReadonlyMap<ChainedPlugin, string> = new Map()
  #timer: NodeJS.Timeout | undefined

  private constructor(options: KeeperOptions) {
    this.#options = options
  }

  /** Resolves when the file is there. Throws what the file system says. */
  static async start(options: KeeperOptions): Promise<ConflistKeeper> {
    const keeper = new ConflistKeeper(options)
    await keeper.#write()
    if (options.folder !== '' && options.chained.length > 0) keeper.#lookLater()
    return keeper
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  #lookLater(): void {
    const { log, lookMs = LOOK_MS } = this.#options
    this.#timer = setTimeout(async () => {
      try {
        if (this.#stampsNow() !== this.#stamps) await this.#write()
      } catch (error) {
        log.warn({ err: error }, 'the conflist can not be brought up to date')
      }
      if (this.#timer !== undefined) this.#lookLater()
    }, lookMs).unref()
  }

  #stampsNow(): string {
    const { chained, binaries } = this.#options
    return chained.map((plugin) => `${plugin} ${stampOf(join(binaries, plugin)) ?? 'missing'}`).join('; ')
  }

  async #write(): Promise<void> {
    const { chained, binaries, log, tell, answerMs, ...conflist } = this.#options
    // A change while they are asked is seen by the next look.
    const stamps = this.#stampsNow()
    const answers = await Promise.all(chained.map((plugin) => askPlugin(binaries, plugin, answerMs)))
    const { plugins, versions, problems } = chainOf(answers)
    for (const { state, reason } of answers)
      if (state === 'mute') log.warn({}, `${reason}: the conflist claims ${versions.join(', ')} alone`)
    if (writeConflist({ ...conflist, chained: plugins, versions }))
      log.info({ plugins, versions }, 'wrote the conflist')
    this.#stamps = stamps
    const now = new Map(problems.map(({ plugin, message }) => [plugin, message]))
    for (const [plugin, message] of now) {
      if (this.#problems.get(plugin) === message) continue
      log.warn({ plugin }, message)
      tell({ type: 'Warning', reason: 'ChainedPluginUnusable', message })
    }
    for (const plugin of this.#problems.keys()) {
      if (now.has(plugin)) continue
      tell({
        type: 'Normal',
        reason: 'ChainedPluginUsable',
        message: `plugin ${plugin} of cni.chained can be used now`,
      })
    }
    this.#problems = now
  }
}
