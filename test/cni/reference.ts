/** Where the programs of others are that our plugin is compared with: fetched and built into the cache by hack/setup. */

import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'kube-vrouter')

/** Folder of the reference plugins. */
export const plugins = process.env['CNI_REFERENCE_PLUGINS'] ?? join(cache, 'cni-plugins/usr/lib/cni')

/** Folders with iptables, which portmap runs. */
export const pluginPath = `${join(cache, 'cni-plugins/bin')}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`

export const cnitool = process.env['CNITOOL'] ?? join(cache, 'bin/cnitool')

export function missingPlugins(...names: string[]): string | undefined {
  const absent = names.filter((name) => !existsSync(join(plugins, name)))
  return absent.length > 0
    ? `needs the reference plugins ${absent.join(', ')} in ${plugins}: run hack/setup`
    : undefined
}

export function missingCnitool(): string | undefined {
  return existsSync(cnitool) ? undefined : `needs cnitool: ${cnitool}, or its path in CNITOOL`
}

export function missingIptables(): string | undefined {
  try {
    execFileSync('iptables', ['--version'], { env: { PATH: pluginPath }, stdio: 'ignore' })
    return undefined
  } catch {
    return 'needs iptables: run hack/setup'
  }
}
