/** Where downloads and layers are kept between builds: `$KUBE_VROUTER_CACHE`, else `~/.cache/kube-vrouter`. */
import { mkdirSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

export function cacheFolder(...parts: readonly string[]): string {
  const { KUBE_VROUTER_CACHE, XDG_CACHE_HOME } = process.env
  const root = KUBE_VROUTER_CACHE || join(XDG_CACHE_HOME || join(homedir(), '.cache'), 'kube-vrouter')
  const folder = join(root, ...parts)
  mkdirSync(folder, { recursive: true })
  return folder
}
