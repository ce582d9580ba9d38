/** The command line of `hack/lab`: what was typed, as one checked request; whatever is wrong with it is said before anything is done. */
import { checkName } from './layout.ts'

export type Request =
  | { readonly verb: 'help' }
  | { readonly verb: 'up'; readonly nodes: number }
  | { readonly verb: 'down' }
  | { readonly verb: 'apply' | 'delete'; readonly files: readonly string[] }
  | {
      readonly verb: 'pod add'
      readonly pod: string
      readonly node: string
      readonly namespace?: string
      readonly labels?: string
      readonly ifname?: string
      readonly annotations: Readonly<Record<string, string>>
      readonly hostPorts: readonly HostPortWanted[]
    }
  | { readonly verb: 'pod del'; readonly pod: string }
  | { readonly verb: 'exec'; readonly target: Target; readonly command: readonly string[] }
  | { readonly verb: 'daemon'; readonly node: string; readonly action: DaemonAction }
  | { readonly verb: 'status'; readonly json: boolean }
  | { readonly verb: 'demo'; readonly keep: boolean }

/** A port of the node that is to lead to the pod. */
export interface HostPortWanted {
  readonly hostPort: number
  readonly containerPort: number
  readonly protocol: string
  readonly hostIp: string
}

export type Target = { readonly kind: 'pod' | 'node' | 'fabric'; readonly name: string }

const daemonActions = ['start', 'stop', 'kill', 'restart', 'logs'] as const
export type DaemonAction = (typeof daemonActions)[number]

export interface CommandLine {
  readonly lab: string
  readonly request: Request
}

interface VerbHelp {
  readonly usage: string
  readonly says: readonly string[]
  /** Flags that it takes beside --name and --help. */
  readonly flags: readonly string[]
}

const verbs: Readonly<Record<Exclude<Request['verb'], 'help'>, VerbHelp>> = {
  up: {
    usage: 'up [--nodes N]',
    says: ['an underlay and N nodes (2), a daemon in each; waits until they are ready'],
    flags: ['--nodes'],
  },
  down: { usage: 'down', says: ['removes everything again, also what is left of a lab that ended badly'], flags: [] },
  apply: {
    usage: 'apply -f FILE…',
    says: ["puts manifests into the store that the daemons watch ('-' = standard input)"],
    flags: ['-f'],
  },
  delete: { usage: 'delete -f FILE…', says: ['takes them out'], flags: ['-f'] },
  'pod add': {
    usage:
      'pod add NAME --node I [--namespace NS] [--labels k=v,…] [--annotation k=v]… [--ifname eth0]\n           [--host-port NODE:POD[/udp][@ADDRESS]]…',
    says: ['', 'runs the CNI binary as a container runtime would; prints its result'],
    flags: ['--node', '--namespace', '--labels', '--annotation', '--ifname', '--host-port'],
  },
  'pod del': { usage: 'pod del NAME', says: [], flags: [] },
  exec: {
    usage: 'exec pod/NAME|node/I|fabric -- CMD…',
    says: [
      'runs a command there; on a node the tools (vif, rt, nh, mpls, vrfstats, flow,',
      'service, dropstats, vrouter) are on its PATH and read that node',
    ],
    flags: [],
  },
  daemon: { usage: `daemon I ${daemonActions.join('|')}`, says: [], flags: [] },
  status: { usage: 'status [--json]', says: ['nodes, pods with their addresses, objects'], flags: ['--json'] },
  demo: { usage: 'demo [--keep]', says: ['the whole story in a minute, each claim checked'], flags: ['--keep'] },
}

export const usage = [
  'A cluster of vRouter nodes on this machine: network namespaces as nodes, the real daemon, CNI binary and eBPF datapath.',
  '',
  ...Object.values(verbs).flatMap(describe),
  '',
  "Every verb takes --name NAME (default: lab; demo: demo), anywhere before a '--': several labs can live side by side.",
].join('\n')

function describe({ usage, says }: VerbHelp): string[] {
  const column = 47
  const [first = '', ...rest] = says
  return [`  hack/lab ${usage}`.padEnd(column) + first, ...rest.map((line) => ' '.repeat(column) + line)].map((line) =>
    line.trimEnd(),
  )
}

/** A mistake on the command line; `usage` is what helps against it. */
export class UsageError extends Error {
  readonly usage: string
  constructor(message: string, verb?: keyof typeof verbs) {
    super(message)
    this.usage = verb === undefined ? 'hack/lab --help tells the verbs' : `usage: hack/lab ${verbs[verb].usage}`
  }
}

const valuedFlags = new Set([
  '--name',
  '--nodes',
  '--node',
  '--namespace',
  '--labels',
  '--annotation',
  '--ifname',
  '--host-port',
  '-f',
])
const switches = new Set(['--json', '--keep', '--help', '-h'])

interface Words {
  readonly words: string[]
  readonly flags: Map<string, string[]>
  /** What follows the first `--`; undefined without one. */
  readonly command?: readonly string[]
}

function split(argv: readonly string[]): Words {
  const end = argv.indexOf('--')
  const own = end < 0 ? argv : argv.slice(0, end)
  const flags = new Map<string, string[]>()
  const words: string[] = []
  let openFiles: string[] | undefined
  for (let at = 0; at < own.length; at++) {
    const word = own[at]!
    const equals = word.startsWith('--') ? word.indexOf('=') : -1
    const flag = equals < 0 ? word : word.slice(0, equals)
    if (valuedFlags.has(flag)) {
      const value = equals < 0 ? own[++at] : word.slice(equals + 1)
      if (value === undefined) throw new UsageError(`${flag} needs a value`)
      const values = flags.get(flag) ?? []
      values.push(value)
      flags.set(flag, values)
      openFiles = flag === '-f' ? values : undefined
    } else if (switches.has(word)) {
      flags.set(word, [])
      openFiles = undefined
    } else if (word.startsWith('-') && word !== '-') throw new UsageError(`unknown option ${word}`)
    else (openFiles ?? words).push(word)
  }
  return { words, flags, command: end < 0 ? undefined : argv.slice(end + 1) }
}

/** @throws UsageError */
export function parseCommandLine(argv: readonly string[]): CommandLine {
  const given = split(argv)
  if (given.flags.has('--help') || given.flags.has('-h')) return { lab: 'lab', request: { verb: 'help' } }
  const { verb, rest } = verbOf(given.words)
  for (const flag of given.flags.keys())
    if (flag !== '--name' && !verbs[verb].flags.includes(flag)) throw new UsageError(`${verb} has no ${flag}`, verb)
  if (given.command !== undefined && verb !== 'exec')
    throw new UsageError(`${verb} takes no command behind a '--'`, verb)
  const lab = checkName('lab name', single(given, verb, '--name') ?? (verb === 'demo' ? 'demo' : 'lab'))
  return { lab, request: requestOf(verb, rest, given) }
}

type Verb = keyof typeof verbs

function verbOf(words: readonly string[]): { verb: Verb; rest: readonly string[] } {
  const [first, second] = words
  if (first === undefined) throw new UsageError('what shall be done?')
  if (first === 'pod') {
    if (second === 'add') return { verb: 'pod add', rest: words.slice(2) }
    if (second === 'del' || second === 'delete') return { verb: 'pod del', rest: words.slice(2) }
    throw new UsageError(second === undefined ? 'pod: add or del?' : `pod ${second}: unknown, there are add and del`)
  }
  if (!Object.hasOwn(verbs, first) || first.includes(' ')) {
    const names = [...new Set(Object.keys(verbs).map((name) => name.split(' ')[0]!))]
    throw new UsageError(`unknown verb ${JSON.stringify(first)}; there are ${names.join(', ')}`)
  }
  return { verb: first as Verb, rest: words.slice(1) }
}

function requestOf(verb: Verb, rest: readonly string[], given: Words): Request {
  const words = (...names: string[]): string[] => {
    if (rest.length > names.length) {
      const hint = verb === 'exec' ? "; put the command behind a '--'" : ''
      throw new UsageError(`unexpected ${JSON.stringify(rest[names.length])}${hint}`, verb)
    }
    if (rest.length < names.length) throw new UsageError(`${names[rest.length]} is missing`, verb)
    return [...rest]
  }
  const flag = (name: string): string | undefined => single(given, verb, name)
  switch (verb) {
    case 'up': {
      words()
      const nodes = flag('--nodes') ?? '2'
      if (!/^([1-9]|1[0-6])$/.test(nodes))
        throw new UsageError(`--nodes ${JSON.stringify(nodes)}: a number from 1 to 16`, verb)
      return { verb, nodes: Number(nodes) }
    }
    case 'down':
      words()
      return { verb }
    case 'apply':
    case 'delete': {
      words()
      const files = given.flags.get('-f') ?? []
      if (files.length === 0) throw new UsageError('which file? -f FILE', verb)
      return { verb, files }
    }
    case 'pod add': {
      const [pod] = words('the name of the pod')
      const node = flag('--node')
      if (node === undefined) throw new UsageError('on which node? --node I', verb)
      return {
        verb,
        pod: checkName('pod name', pod!),
        node,
        namespace: flag('--namespace'),
        labels: flag('--labels'),
        ifname: flag('--ifname'),
        annotations: annotationsOf(given.flags.get('--annotation') ?? []),
        hostPorts: (given.flags.get('--host-port') ?? []).map(hostPortOf),
      }
    }
    case 'pod del':
      return { verb, pod: checkName('pod name', words('the name of the pod')[0]!) }
    case 'exec': {
      const [target] = words('pod/NAME, node/I or fabric')
      const [, kind, name] = /^(?:(pod|node)\/)?(.+)$/.exec(target!) ?? []
      if (name === undefined || (kind === undefined && name !== 'fabric'))
        throw new UsageError(`${JSON.stringify(target)} is neither pod/NAME nor node/I nor fabric`, verb)
      if (given.command === undefined || given.command.length === 0)
        throw new UsageError("the command is missing, behind a '--'", verb)
      return { verb, target: { kind: (kind ?? 'fabric') as Target['kind'], name }, command: given.command }
    }
    case 'daemon': {
      const [node, action] = words('the number of the node', 'the action')
      const known = daemonActions.find((name) => name === action)
      if (known === undefined)
        throw new UsageError(`daemon: unknown action ${JSON.stringify(action)}: ${daemonActions.join(', ')}`, verb)
      return { verb, node: node!, action: known }
    }
    case 'status':
      words()
      return { verb, json: given.flags.has('--json') }
    case 'demo':
      words()
      return { verb, keep: given.flags.has('--keep') }
  }
}

function annotationsOf(pairs: readonly string[]): Record<string, string> {
  const entries = pairs.map((pair): [string, string] => {
    const equals = pair.indexOf('=')
    if (equals < 1) throw new UsageError(`--annotation ${JSON.stringify(pair)}: KEY=VALUE`, 'pod add')
    return [pair.slice(0, equals), pair.slice(equals + 1)]
  })
  return Object.fromEntries(entries)
}

function hostPortOf(text: string): HostPortWanted {
  const [, hostPort, containerPort, protocol = 'tcp', hostIp = ''] =
    /^(\d+):(\d+)(?:\/(tcp|udp|sctp))?(?:@(.+))?$/.exec(text) ?? []
  if (hostPort === undefined)
    throw new UsageError(`--host-port ${JSON.stringify(text)}: NODE:POD[/udp][@ADDRESS]`, 'pod add')
  return { hostPort: Number(hostPort), containerPort: Number(containerPort), protocol, hostIp }
}

function single(given: Words, verb: Verb, flag: string): string | undefined {
  const values = given.flags.get(flag)
  if (values !== undefined && values.length > 1) throw new UsageError(`${flag} is given more than once`, verb)
  return values?.[0]
}
