/**
 * The holder: a lab's first process. It is number 1 of the pid namespace in which all of the lab lives, nodes and their pods too, and its
 * network namespace is the fabric. So ending it ends every process of the lab, whatever state that is in, and the kernel takes the network
 * and the mounts away by itself.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isRunning, type ProcessId, readProcess, startDetached, startTimeOf } from '../lab/process.ts'
import { until } from './command.ts'
import { labPaths, labsDirectory, nameFlag } from './layout.ts'

/** `--propagation private`: no mount of the lab is ever seen outside. A tmpfs for the disks where the file system can't hold an overlay's files. */
const script = (disks: string, ready: string) => `set -e
mount -t proc proc /proc
ip link set lo up
mkdir -p ${disks}
case $(stat -f -c %T ${disks}) in overlay*) mount -t tmpfs -o mode=755 kubelab-disks ${disks} ;; esac
echo up >${ready}
set +e
# Number 1 of the namespace: orphans become its children, and waiting takes them away.
while :; do sleep 3600 & wait $!; done
`

export function holderOf(name: string): ProcessId | undefined {
  const id = readProcess(labPaths(name).holder)
  return isRunning(id) ? id : undefined
}

/** The holder of a lab that is up. */
export function needHolder(name: string): ProcessId {
  const holder = holderOf(name)
  if (holder !== undefined) return holder
  if (existsSync(labPaths(name).root))
    throw new Error(`lab ${name} ended badly: hack/kubelab down${nameFlag(name)} clears it away`)
  const others = existsSync(labsDirectory) ? readdirSync(labsDirectory) : []
  const hint = others.length > 0 ? ` (there is ${others.join(', ')}: --name)` : ''
  throw new Error(`no lab ${name} is up${hint}: hack/kubelab up${nameFlag(name)}`)
}

/** Makes the lab's folder. @throws where there is a lab of that name already, also a dead one */
export function claimFolder(name: string): void {
  const { root } = labPaths(name)
  mkdirSync(labsDirectory, { recursive: true })
  try {
    mkdirSync(root)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    throw new Error(
      holderOf(name) === undefined
        ? `${root} is left from a lab that ended badly: hack/kubelab down${nameFlag(name)} clears it away`
        : `lab ${name} is up already: hack/kubelab down${nameFlag(name)}, or give another --name`,
    )
  }
}

function scriptFile(name: string): string {
  return join(labPaths(name).root, 'holder.sh')
}

/** Processes that are, or become, the lab's holder: by their command line, for where no file tells. */
export function startersOf(name: string): number[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .map(Number)
    .filter((pid) => {
      try {
        const [program = '', ...args] = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
        return ['unshare', 'bash'].includes(program) && args.includes(scriptFile(name))
      } catch {
        return false
      }
    })
}

export async function startHolder(name: string, signal?: AbortSignal): Promise<void> {
  const paths = labPaths(name)
  const ready = join(paths.root, 'holder.ready')
  const file = scriptFile(name)
  writeFileSync(file, script(paths.disks, ready))
  await startNamespaces(['--mount', '--net', '--pid'], ['bash', file], paths.holderLog, paths.holder)
  await until('the first process of the lab', () => existsSync(ready) || mustRun(paths.holder, paths.holderLog), {
    timeoutMs: 10_000,
    everyMs: 5,
    signal,
  })
}

function mustRun(pidFile: string, log: string): false {
  if (isRunning(readProcess(pidFile))) return false
  throw new Error(`ended at once: ${readFileSync(log, 'utf8').trim() || 'no reason given'}`)
}

/**
 * Starts `command` as number 1 of new namespaces, and keeps its identity (as this process sees it) in `file`. `enter` is put before it, to be
 * done inside another namespace.
 */
export async function startNamespaces(
  kinds: readonly string[],
  command: readonly string[],
  log: string,
  file: string,
  enter: readonly string[] = [],
): Promise<void> {
  const words = [...enter, 'unshare', ...kinds, '--fork', '--kill-child', '--propagation', 'private', ...command]
  const starter = startDetached(words, log, `${file}.starter`)
  await until(`${command.join(' ')}`, () => {
    const first = firstOfNamespace(starter.pid)
    if (first !== undefined) {
      writeFileSync(file, JSON.stringify(first))
      return true
    }
    return mustRun(`${file}.starter`, log)
  })
}

/** Below `starter`: the first process that another pid namespace was made for, as number 1. */
function firstOfNamespace(starter: number): ProcessId | undefined {
  const depth = (pid: number) => /^NSpid:\s+(.+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]?.split(/\s+/)
  for (let pid: number | undefined = starter; pid !== undefined; pid = childrenOf(pid)[0]) {
    const ids = depth(pid)
    const isUnshared = readlinkSync(`/proc/${pid}/exe`).endsWith('/unshare')
    if (pid !== starter && ids?.at(-1) === '1' && !isUnshared) {
      const startTime = startTimeOf(pid)
      return startTime === undefined ? undefined : { pid, startTime }
    }
  }
  return undefined
}

export function childrenOf(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`)
    .flatMap((task) => readFileSync(`/proc/${pid}/task/${task}/children`, 'utf8').split(' '))
    .filter((text) => text !== '')
    .map(Number)
}

/** Puts a command into namespaces of process `pid`; the working folder is / unless one is given. */
export function enter(pid: number, kinds: readonly ('mount' | 'net' | 'pid' | 'uts' | 'ipc')[]): string[] {
  return ['nsenter', `--target=${pid}`, ...kinds.map((kind) => `--${kind}`)]
}

/** Puts a command into the lab: its mounts, its processes, the fabric as its network. */
export function enterLab(name: string): string[] {
  return enter(needHolder(name).pid, ['mount', 'net', 'pid'])
}
