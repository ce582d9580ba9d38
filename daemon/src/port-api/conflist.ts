/**
 * The network configuration that the container runtime reads: written once the daemon can serve ADD, so a node isn't Ready before, and left
 * there over restarts, so that it doesn't flap. Replaced as a whole, in its own folder: runtimes watch the folder and act on rename.
 */

import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CHAIN_VERSIONS, type ChainedPlugin } from './chained-plugins.ts'

export const CONFLIST_NAME = '10-vrouter.conflist'

/** ADD waits that long for a daemon that restarts, as it does in an upgrade: pods start later then, but none fails. */
const DAEMON_WAIT_SECONDS = 30

export interface ConflistOptions {
  /** paths.cniConf; empty: nothing is written. */
  readonly folder: string
  readonly socket: string
  /** paths.state. */
  readonly state: string
  /** cni.logFile; empty or absent: the binary writes no log. */
  readonly logFile?: string
  /** Plugins of others behind ours, all of which lie on the node. */
  readonly chained?: readonly ChainedPlugin[]
  /** What all members speak, oldest first; default: what ours does. */
  readonly versions?: readonly string[]
}

/** Runtimes that know `cniVersion` alone know no later one. */
const LAST_OF_OLD = '1.0.0'

/** What the plugins of others need to work behind ours. */
const CHAINED: Readonly<Record<ChainedPlugin, object>> = {
  portmap: { type: 'portmap', capabilities: { portMappings: true } },
  bandwidth: { type: 'bandwidth', capabilities: { bandwidth: true } },
  tuning: { type: 'tuning' },
}

/** What our plugin takes from the runtime. Ports of the node are portmap's business where that is chained: one of both translates. */
const capabilitiesOf = (chained: readonly ChainedPlugin[]) => ({
  'io.kubernetes.cri.pod-annotations': true,
  mac: true,
  ips: true,
  ...(!chained.includes('portmap') && { portMappings: true }),
  bandwidth: true,
})

/**
 * Old runtimes (libcni before 1.2) know `cniVersion` alone, newer ones choose the best of `cniVersions`. With 1.1.0 come STATUS and GC.
 */
export function conflistText(options: ConflistOptions): string {
  const { socket, state, logFile = '', chained = [], versions = CHAIN_VERSIONS } = options
  const conflist = {
    cniVersion: versions.includes(LAST_OF_OLD) ? LAST_OF_OLD : versions.at(-1),
    cniVersions: versions,
    name: 'kube-vrouter',
    plugins: [
      {
        type: 'vrouter-cni',
        socket,
        stateDir: state,
        daemonWaitSeconds: DAEMON_WAIT_SECONDS,
        ...(logFile !== '' && { logFile }),
        capabilities: capabilitiesOf(chained),
      },
      ...chained.map((plugin) => CHAINED[plugin]),
    ],
  }
  return `${JSON.stringify(conflist, undefined, 2)}\n`
}

/** Writes the file unless it is there already as it should be. Tells whether it wrote. Throws what the file system says. */
export function writeConflist(options: ConflistOptions): boolean {
  const { folder } = options
  if (folder === '') return false
  const file = join(folder, CONFLIST_NAME)
  const text = conflistText(options)
  if (readIfThere(file) === text) return false
  mkdirSync(folder, { recursive: true, mode: 0o755 })
  // Runtimes take .conf, .conflist and .json: the temporary name must be none of them.
  const temporary = join(folder, `.${CONFLIST_NAME}.tmp`)
  try {
    writeFileSync(temporary, text, { mode: 0o644, flush: true })
    renameSync(temporary, file)
  } catch (error) {
    rmSync(temporary, { force: true })
    throw error
  }
  return true
}

/** For an uninstall only: without the file the node becomes NotReady. */
export function removeConflist(folder: string): void {
  if (folder !== '') rmSync(join(folder, CONFLIST_NAME), { force: true })
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return undefined
  }
}
