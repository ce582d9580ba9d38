/** The command line of `hack/kubelab`: what was typed, as one checked request; whatever is wrong with it is said before anything is done. */
import { checkName } from '../lab/layout.ts'
import { type Part, parts } from './control-plane.ts'
import type { Cni } from './kubelab.ts'
import { defaultName, maximumNodes } from './layout.ts'

export type Request =
  | { readonly verb: 'help' }
  | {
      readonly verb: 'up'
      readonly nodes: number
      readonly cni: Cni
      readonly dualStack: boolean
      readonly kubeProxy: boolean
      readonly dns: boolean
      readonly containerd: 1 | 2
      readonly values: readonly string[]
      readonly set: readonly string[]
    }
  | { readonly verb: 'down' }
  | { readonly verb: 'status' }
  | { readonly verb: 'kubectl' | 'helm'; readonly args: readonly string[] }
  | { readonly verb: 'exec'; readonly where: number | 'outside'; readonly command: readonly string[] }
  | { readonly verb: 'load'; readonly archive: string }
  | { readonly verb: 'daemon'; readonly node: number; readonly action: 'kill' | 'logs' }
  | { readonly verb: 'node'; readonly node: number; readonly action: 'up' | 'down' }
  | { readonly verb: 'part'; readonly part: Part; readonly action: 'stop' | 'start' | 'logs' }
  | { readonly verb: 'dump'; readonly folder: string }

export interface CommandLine {
  readonly lab: string
  readonly request: Request
}

export const usage = `A Kubernetes cluster on this machine: sets of namespaces as nodes, with real containerd, kubelet and API server.

  hack/kubelab up [--nodes N] [FLAGS]      builds what is missing, starts N nodes (2), installs the chart, waits for Ready
      --no-cni                             nodes without a network: they stay NotReady
      --reference-cni                      the reference plugins bridge and host-local instead of kube-vrouter, to compare with
      --dual-stack                         IPv4 and IPv6
      --kube-proxy                         kube-proxy on every node (nftables)
      --dns                                CoreDNS, behind the Service that pods ask for names
      --containerd 1|2                     Debian's containerd 1, or containerd 2 (the default)
      --values FILE, --set KEY=VALUE       for helm install; may be repeated
  hack/kubelab kubectl ARGS…               as the cluster's administrator; what follows is kubectl's own
  hack/kubelab helm ARGS…
  hack/kubelab exec node/I -- CMD…         a command on a node; vif, rt, nh, flow and ctr are on its PATH
  hack/kubelab exec outside -- CMD…        on the host outside of the cluster
  hack/kubelab load IMAGE.tar              imports an image on every node
  hack/kubelab daemon I kill|logs          kube-vrouter's daemon on node I
  hack/kubelab node I down|up              a power loss, and the boot after it
  hack/kubelab part NAME stop|start|logs   ${parts.join(', ')}
  hack/kubelab status
  hack/kubelab dump FOLDER                 logs, objects and tables of everything, to look into a failure
  hack/kubelab down                        removes everything again, also what is left of a lab that ended badly

--name NAME (default: ${defaultName}) right after hack/kubelab, or among a verb's own flags: labs can live side by side.`

/** A mistake on the command line. */
export class UsageError extends Error {
  readonly usage = 'hack/kubelab --help tells the verbs'
}

const valued = ['--name', '--nodes', '--containerd', '--values', '--set'] as const
const switches = ['--no-cni', '--reference-cni', '--dual-stack', '--kube-proxy', '--dns', '--help', '-h'] as const

interface Words {
  readonly words: readonly string[]
  readonly flags: ReadonlyMap<string, readonly string[]>
  readonly command?: readonly string[]
}

function split(argv: readonly string[]): Words {
  const end = argv.indexOf('--')
  const own = end < 0 ? argv : argv.slice(0, end)
  const flags = new Map<string, string[]>()
  const words: string[] = []
  for (let at = 0; at < own.length; at++) {
    const word = own[at]!
    const equals = word.startsWith('--') ? word.indexOf('=') : -1
    const flag = equals < 0 ? word : word.slice(0, equals)
    if (valued.some((name) => name === flag)) {
      const value = equals < 0 ? own[++at] : word.slice(equals + 1)
      if (value === undefined || value === '') throw new UsageError(`${flag} needs a value`)
      flags.set(flag, [...(flags.get(flag) ?? []), value])
    } else if (switches.some((name) => name === word)) flags.set(word, [])
    else if (word.startsWith('-')) throw new UsageError(`unknown option ${word}`)
    else words.push(word)
  }
  return { words, flags, command: end < 0 ? undefined : argv.slice(end + 1) }
}

/** kubectl and helm take all that follows them as it is. */
function passedOn(argv: readonly string[]): CommandLine | undefined {
  const named = argv[0] === '--name' ? argv.slice(2) : argv[0]?.startsWith('--name=') ? argv.slice(1) : argv
  const [verb, ...args] = named
  if (verb !== 'kubectl' && verb !== 'helm') return undefined
  return { lab: labOf(split(argv.slice(0, argv.length - named.length))), request: { verb, args } }
}

function labOf({ flags }: Words): string {
  return checkName('lab name', single(flags, '--name') ?? defaultName)
}

function single(flags: Words['flags'], flag: string): string | undefined {
  const values = flags.get(flag)
  if (values !== undefined && values.length > 1) throw new UsageError(`${flag} is given more than once`)
  return values?.[0]
}

const verbs = ['up', 'down', 'status', 'exec', 'load', 'daemon', 'node', 'part', 'dump'] as const
type Verb = (typeof verbs)[number]

/** @throws UsageError */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  const passed = passedOn(argv)
  if (passed !== undefined) return passed
  const given = split(argv)
  if (given.flags.has('--help') || given.flags.has('-h')) return { lab: defaultName, request: { verb: 'help' } }
  const [first, ...rest] = given.words
  if (first === undefined) throw new UsageError('what shall be done?')
  const verb = verbs.find((name) => name === first)
  if (verb === undefined)
    throw new UsageError(`unknown verb ${JSON.stringify(first)}; there are ${[...verbs, 'kubectl', 'helm'].join(', ')}`)
  for (const flag of given.flags.keys())
    if (flag !== '--name' && verb !== 'up') throw new UsageError(`${verb} has no ${flag}`)
  if (given.command !== undefined && verb !== 'exec') throw new UsageError(`${verb} takes no command behind a '--'`)
  return { lab: labOf(given), request: requestOf(verb, rest, given) }
}

function requestOf(verb: Verb, rest: readonly string[], given: Words): Request {
  const words = (...names: string[]): string[] => {
    if (rest.length > names.length) {
      const hint = verb === 'exec' ? "; put the command behind a '--'" : ''
      throw new UsageError(`${verb}: unexpected ${JSON.stringify(rest[names.length])}${hint}`)
    }
    if (rest.length < names.length) throw new UsageError(`${verb}: ${names[rest.length]} is missing`)
    return [...rest]
  }
  switch (verb) {
    case 'up':
      words()
      return upOf(given.flags)
    case 'down':
    case 'status':
      words()
      return { verb }
    case 'exec': {
      const [where] = words('node/I or outside')
      const node = /^node\/(\d+)$/.exec(where!)?.[1]
      if (node === undefined && where !== 'outside')
        throw new UsageError(
          `exec: ${JSON.stringify(where)} is neither node/I nor outside; pods have hack/kubelab kubectl exec`,
        )
      if (given.command === undefined || given.command.length === 0)
        throw new UsageError("exec: the command is missing, behind a '--'")
      return { verb, where: node === undefined ? 'outside' : numberOf(node), command: given.command }
    }
    case 'load':
      return { verb, archive: words('the image archive')[0]! }
    case 'dump':
      return { verb, folder: words('the folder')[0]! }
    case 'daemon': {
      const [node, action] = words('the number of the node', 'the action')
      return { verb, node: numberOf(node!), action: oneOf(verb, action!, ['kill', 'logs']) }
    }
    case 'node': {
      const [node, action] = words('the number of the node', 'the action')
      return { verb, node: numberOf(node!), action: oneOf(verb, action!, ['up', 'down']) }
    }
    case 'part': {
      const [part, action] = words('the name of the part', 'the action')
      return { verb, part: oneOf(verb, part!, parts), action: oneOf(verb, action!, ['stop', 'start', 'logs']) }
    }
  }
}

function upOf(flags: Words['flags']): Request {
  const nodes = single(flags, '--nodes') ?? '2'
  if (!/^\d{1,2}$/.test(nodes) || Number(nodes) < 1 || Number(nodes) > maximumNodes)
    throw new UsageError(`--nodes ${JSON.stringify(nodes)}: a number from 1 to ${maximumNodes}`)
  if (flags.has('--no-cni') && flags.has('--reference-cni')) throw new UsageError('either --no-cni or --reference-cni')
  const cni = flags.has('--no-cni') ? 'none' : flags.has('--reference-cni') ? 'reference' : 'kube-vrouter'
  const values = flags.get('--values') ?? []
  const set = flags.get('--set') ?? []
  if (cni !== 'kube-vrouter' && values.length + set.length > 0)
    throw new UsageError('--values and --set are for the chart, which is not installed here')
  return {
    verb: 'up',
    nodes: Number(nodes),
    cni,
    dualStack: flags.has('--dual-stack'),
    kubeProxy: flags.has('--kube-proxy'),
    dns: flags.has('--dns'),
    containerd: oneOf('--containerd', single(flags, '--containerd') ?? '2', ['1', '2']) === '1' ? 1 : 2,
    values,
    set,
  }
}

function numberOf(text: string): number {
  if (!/^[1-9]\d?$/.test(text)) throw new UsageError(`node ${JSON.stringify(text)}: give its number`)
  return Number(text)
}

function oneOf<const T extends string>(what: string, given: string, known: readonly T[]): T {
  const found = known.find((name) => name === given)
  if (found === undefined) throw new UsageError(`${what} ${JSON.stringify(given)}: one of ${known.join(', ')}`)
  return found
}
