/** `hack/lab`: reads the command line and calls the rest of this folder. */
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { demo } from './demo.ts'
import { holderOf, isInside, runInside } from './holder.ts'
import { clear, down, nodeOf, prepare, printStatus, status, up } from './lab.ts'
import { checkName, labPaths, podNetns } from './layout.ts'
import { isDaemonRunning, nodeEnvironment, startDaemon, stopDaemon, waitUntilReady } from './node.ts'
import { addPod, deletePod, findPod } from './pod.ts'
import { apply, remove } from './store.ts'

const usage = `A cluster of vRouter nodes on this machine: network namespaces as nodes, the real daemon, CNI binary and eBPF datapath.

  hack/lab up [--nodes N]                      an underlay and N nodes (2), a daemon in each; waits until they are ready
  hack/lab down                                removes everything again
  hack/lab apply -f FILE…                      puts manifests into the store that the daemons watch ('-' = standard input)
  hack/lab delete -f FILE…                     takes them out
  hack/lab pod add NAME --node I [--namespace NS] [--labels k=v,…] [--ifname eth0]
                                               runs the CNI binary as a container runtime would; prints its result
  hack/lab pod del NAME
  hack/lab exec pod/NAME -- CMD…               runs a command in a pod
  hack/lab exec node/I -- CMD…                 … on a node; the tools (vif, rt, nh, mpls, vrfstats, flow, dropstats) are on its PATH
  hack/lab daemon I start|stop|kill|restart|logs
  hack/lab status [--json]
  hack/lab demo [--keep]                       the whole story in a minute, each claim checked

Every verb takes --name NAME (default: lab), anywhere before a '--': several labs can live side by side.`

class UsageError extends Error {}

interface Options {
  readonly words: string[]
  readonly flags: Map<string, string[]>
  readonly command: string[]
}

const valued = new Set(['--name', '--nodes', '--node', '--namespace', '--labels', '--ifname', '-f'])
const switches = new Set(['--json', '--keep', '--help', '-h'])

function parse(argv: readonly string[]): Options {
  const end = argv.indexOf('--')
  const own = end < 0 ? argv : argv.slice(0, end)
  const flags = new Map<string, string[]>()
  const words: string[] = []
  let filesOpen = false
  for (let at = 0; at < own.length; at++) {
    const word = own[at]!
    const [name, inline] =
      word.startsWith('--') && word.includes('=')
        ? [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]
        : [word, undefined]
    if (valued.has(name)) {
      const value = inline ?? own[++at]
      if (value === undefined) throw new UsageError(`${name} needs a value`)
      flags.set(name, [...(flags.get(name) ?? []), value])
      filesOpen = name === '-f'
    } else if (switches.has(name)) {
      flags.set(name, ['true'])
      filesOpen = false
    } else if (word.startsWith('-') && word !== '-') {
      throw new UsageError(`unknown option ${word}`)
    } else if (filesOpen) {
      flags.get('-f')!.push(word)
    } else words.push(word)
  }
  return { words, flags, command: end < 0 ? [] : argv.slice(end + 1) }
}

function one(options: Options, flag: string): string | undefined {
  const values = options.flags.get(flag)
  if (values !== undefined && values.length > 1) throw new UsageError(`${flag} is given more than once`)
  return values?.[0]
}

function files(options: Options): string[] {
  const given = options.flags.get('-f') ?? []
  if (given.length === 0) throw new UsageError('name at least one file: -f FILE')
  return given
}

function expectWords(options: Options, count: number): void {
  if (options.words.length > count) throw new UsageError(`unexpected ${JSON.stringify(options.words[count])}`)
  if (options.words.length < count) throw new UsageError('something is missing')
}

async function daemonVerb(lab: string, number: string | undefined, action: string | undefined): Promise<void> {
  if (number === undefined || action === undefined)
    throw new UsageError('hack/lab daemon I start|stop|kill|restart|logs')
  const node = nodeOf(lab, number)
  switch (action) {
    case 'start':
      startDaemon(node)
      console.log(`ready after ${Math.round(await waitUntilReady(node))} ms`)
      return
    case 'stop':
    case 'kill':
      if (!(await stopDaemon(node, action === 'stop' ? 'SIGTERM' : 'SIGKILL')))
        console.log(`the daemon of ${node.name} was not running`)
      return
    case 'restart':
      if (isDaemonRunning(node)) await stopDaemon(node, 'SIGTERM')
      startDaemon(node)
      console.log(`ready after ${Math.round(await waitUntilReady(node))} ms`)
      return
    case 'logs':
      process.stdout.write(existsSync(node.log) ? readFileSync(node.log, 'utf8') : '')
      return
    default:
      throw new UsageError(`daemon: unknown action ${JSON.stringify(action)}: start, stop, kill, restart or logs`)
  }
}

function exec(lab: string, options: Options): number {
  const [kind, name] = (options.words[1] ?? '').split('/')
  if (options.command.length === 0) throw new UsageError('hack/lab exec pod/NAME -- CMD…')
  let netns: string
  let env: Record<string, string> = {}
  if (kind === 'pod' && name !== undefined) {
    findPod(lab, name)
    netns = podNetns(name)
  } else if (kind === 'node' && name !== undefined) {
    const node = nodeOf(lab, name)
    netns = node.netns
    env = nodeEnvironment(node)
  } else throw new UsageError(`exec: ${JSON.stringify(options.words[1] ?? '')} is neither pod/NAME nor node/I`)
  const result = spawnSync('nsenter', [`--net=${netns}`, '--', ...options.command], {
    stdio: 'inherit',
    env: { ...process.env, ...env },
  })
  if (result.error !== undefined) throw result.error
  return result.status ?? 1
}

async function main(argv: readonly string[]): Promise<number> {
  const options = parse(argv)
  const [verb, ...rest] = options.words
  if (verb === undefined || options.flags.has('--help') || options.flags.has('-h')) {
    console.log(usage)
    return verb === undefined && !options.flags.has('--help') && !options.flags.has('-h') ? 2 : 0
  }
  if (process.getuid?.() !== 0)
    throw new Error('hack/lab needs root: it makes network namespaces and loads eBPF programs')
  const lab = checkName('lab name', one(options, '--name') ?? (verb === 'demo' ? 'demo' : 'lab'))

  switch (verb) {
    case 'up': {
      expectWords(options, 1)
      const nodes = Number(one(options, '--nodes') ?? 2)
      if (!Number.isInteger(nodes) || nodes < 1 || nodes > 16) throw new UsageError('--nodes: a number from 1 to 16')
      if (!isInside(lab)) {
        prepare(lab)
        return runInside(lab)
      }
      await up(lab, nodes)
      console.log(printStatus(await status(lab)))
      return 0
    }
    case 'down':
      expectWords(options, 1)
      if (isInside(lab)) {
        await down(lab)
        return 0
      }
      if (!existsSync(labPaths(lab).root)) throw new Error(`no lab ${lab}: nothing to take down`)
      if (holderOf(lab) !== undefined) runInside(lab)
      await clear(lab)
      return 0
    case 'demo': {
      expectWords(options, 1)
      if (isInside(lab)) return await demo(lab, options.flags.has('--keep'))
      prepare(lab)
      const outcome = runInside(lab)
      if (!options.flags.has('--keep')) await clear(lab)
      return outcome
    }
    default:
  }

  if (!isInside(lab)) return runInside(lab)
  switch (verb) {
    case 'apply':
      for (const id of apply(lab, files(options))) console.log(`${id} applied`)
      return 0
    case 'delete':
      for (const id of remove(lab, files(options))) console.log(`${id} deleted`)
      return 0
    case 'pod': {
      const [action, name] = rest
      expectWords(options, 3)
      if (action === 'add') {
        const node = one(options, '--node')
        if (node === undefined) throw new UsageError('pod add: which node? --node I')
        nodeOf(lab, node)
        const pod = addPod(lab, {
          name: name!,
          node: Number(node),
          namespace: one(options, '--namespace'),
          labels: one(options, '--labels'),
          ifname: one(options, '--ifname'),
        })
        console.log(JSON.stringify(pod.result, undefined, 2))
        return 0
      }
      if (action === 'del' || action === 'delete') {
        deletePod(lab, name!)
        return 0
      }
      throw new UsageError(`pod: unknown action ${JSON.stringify(action)}: add or del`)
    }
    case 'exec':
      expectWords(options, 2)
      return exec(lab, options)
    case 'daemon':
      expectWords(options, 3)
      await daemonVerb(lab, rest[0], rest[1])
      return 0
    case 'status': {
      expectWords(options, 1)
      const answer = await status(lab)
      console.log(options.flags.has('--json') ? JSON.stringify(answer, undefined, 2) : printStatus(answer))
      return 0
    }
    default:
      throw new UsageError(`unknown verb ${JSON.stringify(verb)}`)
  }
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  if (error instanceof UsageError) console.error(`hack/lab: ${error.message}\n\n${usage}`)
  else console.error(`hack/lab: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = error instanceof UsageError ? 2 : 1
}
