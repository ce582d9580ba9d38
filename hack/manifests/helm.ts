/** The helm binary, where there is one: on the PATH, or where hack/kubernetes/build puts it. */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join, resolve } from 'node:path'

export const CHART = resolve(import.meta.dirname, '../../charts/kube-vrouter')

/** What charts are rendered for where no cluster tells its version. */
const KUBERNETES = '1.34.0'

export function findHelm(): string | undefined {
  if (spawnSync('helm', ['version', '--short'], { stdio: 'ignore' }).status === 0) return 'helm'
  const cached = join(process.env['KUBE_VROUTER_CACHE'] || join(homedir(), '.cache/kube-vrouter'), 'bin/helm')
  return existsSync(cached) ? cached : undefined
}

export interface RenderOptions {
  /** As helm's --set. */
  readonly set?: readonly string[]
  /** Objects that helm makes at certain moments only. */
  readonly hooks?: boolean
  readonly namespace?: string
}

/** The chart's objects as YAML. Throws what helm says. */
export function render(
  helm: string,
  { set = [], hooks = true, namespace = 'kube-vrouter' }: RenderOptions = {},
): string {
  const words = ['template', 'kube-vrouter', CHART, '--namespace', namespace, '--kube-version', KUBERNETES]
  if (!hooks) words.push('--no-hooks')
  return helmText(helm, [...words, ...set.flatMap((value) => ['--set', value])])
}

export function helmText(helm: string, words: readonly string[]): string {
  try {
    return execFileSync(helm, words, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'], maxBuffer: 1 << 26 })
  } catch (error) {
    const { stderr, message } = error as { stderr?: string; message: string }
    throw new Error(stderr?.trim() || message, { cause: error })
  }
}
