/**
 * The plugins of others behind ours: whether they lie on this node, and which versions of the specification they speak. A runtime chooses one version
 * for all members of a chain, so a chain may claim only what all of them speak; asked in another one, a plugin fails, and the node with it.
 */
import { execFile } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'

export type ChainedPlugin = 'portmap' | 'bandwidth' | 'tuning'

/** Versions that our conflist may claim; ours speaks them all. Old runtimes come first. */
export const CHAIN_VERSIONS = ['0.3.1', '0.4.0', '1.0.0', '1.1.0'] as const

/** What every plugin of the last years speaks: for one that can't be asked. */
const SAFE_VERSIONS: readonly string[] = ['0.3.1', '0.4.0']
const ANSWER_MS = 5000

export interface Answer {
  readonly plugin: ChainedPlugin
  /** `mute`: it is there and can't be asked, or its folder can't be looked into from here. */
  readonly state: 'speaks' | 'missing' | 'mute'
  readonly versions: readonly string[]
  /** Why, where it doesn't speak. */
  readonly reason?: string
}

export async function askPlugin(folder: string, plugin: ChainedPlugin, answerMs = ANSWER_MS): Promise<Answer> {
  const mute = (reason: string): Answer => ({ plugin, state: 'mute', versions: SAFE_VERSIONS, reason })
  if (!existsSync(folder)) return mute(`${folder} can't be seen from here`)
  const file = join(folder, plugin)
  if (stampOf(file) === undefined) return { plugin, state: 'missing', versions: [], reason: `${file} isn't there` }
  const { promise, resolve } = Promise.withResolvers<Answer>()
  const env = { CNI_COMMAND: 'VERSION', PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin' }
  const child = execFile(file, { env, timeout: answerMs, killSignal: 'SIGKILL' }, (error, stdout) => {
    if (error !== null) resolve(mute(`${file} doesn't answer: ${error.message.split('\n')[0]}`))
    else resolve(answerOf(stdout, plugin) ?? mute(`${file} gives no versions`))
  })
  // Who asks for nothing else may end before it reads.
  child.stdin?.on('error', () => undefined)
  child.stdin?.end('{"cniVersion":"1.0.0"}\n')
  return promise
}

function answerOf(stdout: string, plugin: ChainedPlugin): Answer | undefined {
  try {
    const { supportedVersions } = JSON.parse(stdout) as { readonly supportedVersions?: unknown }
    if (!Array.isArray(supportedVersions)) return undefined
    const versions = supportedVersions.filter((version): version is string => typeof version === 'string')
    return { plugin, state: 'speaks', versions }
  } catch {
    return undefined
  }
}

/** Changes when the file does; undefined: there is none. */
export function stampOf(file: string): string | undefined {
  const stat = statSync(file, { throwIfNoEntry: false })
  return stat?.isFile() ? `${stat.ino} ${stat.size} ${stat.mtimeMs}` : undefined
}

export interface Chain {
  /** Those that can take part, in order. */
  readonly plugins: readonly ChainedPlugin[]
  /** What all members speak, oldest first. */
  readonly versions: readonly string[]
  /** What is wrong, in words for the operator, by plugin. */
  readonly problems: readonly { readonly plugin: ChainedPlugin; readonly message: string }[]
}

/** A plugin that isn't there is left out, and told of: with it no pod would start. */
export function chainOf(answers: readonly Answer[]): Chain {
  const plugins: ChainedPlugin[] = []
  const problems: { plugin: ChainedPlugin; message: string }[] = []
  let versions: readonly string[] = CHAIN_VERSIONS
  for (const { plugin, state, versions: spoken, reason } of answers) {
    const common = versions.filter((version) => spoken.includes(version))
    if (common.length > 0) {
      plugins.push(plugin)
      versions = common
      continue
    }
    const why = state === 'speaks' ? `it speaks ${spoken.join(', ')}, the others ${versions.join(', ')}` : reason
    const message = `plugin ${plugin} of cni.chained can't be used (${why}): pods start without it until it can`
    problems.push({ plugin, message })
  }
  return { plugins, versions, problems }
}
