/**
 * The dependency rule: which part of the repo may import which, and which packages. Data flows one way, source → model → dataplane; the model is
 * pure, linux knows nothing of networks, and only vrouter/ and the main.ts files put things together. Every file has a rule, and no two
 * files need each other: a circle has no beginning to read it from.
 *
 *   node hack/layers.ts     exits with 1 and names file, import and rule for each breach
 */
import { globSync, readFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'

/** What files of a part may import, besides files of the part itself and Node's own modules. */
interface Rule {
  readonly part: string
  /** Parts, by name. */
  readonly parts: readonly string[]
  /** npm packages; absent: any. */
  readonly packages?: readonly string[]
}

/** Files of a part: the longest prefix wins. */
const PARTS: Readonly<Record<string, string>> = {
  'linux/src/': 'linux',
  'linux/src/address.ts': 'address',
  'daemon/src/model/': 'model',
  'daemon/src/maps/': 'maps',
  'daemon/src/maps/constants.ts': 'numbers',
  'daemon/src/kubernetes/': 'kubernetes',
  'daemon/src/sources/': 'sources',
  'daemon/src/controller/': 'controller',
  'daemon/src/dataplane/': 'dataplane',
  'daemon/src/vhost0/': 'vhost0',
  'daemon/src/packet/': 'packet',
  'daemon/src/load-balancer/': 'load-balancer',
  'daemon/src/introspect/': 'introspect',
  'daemon/src/health/': 'health',
  'daemon/src/port-api/': 'port-api',
  'daemon/src/port-api/messages.ts': 'port-api messages',
  'daemon/src/ports/': 'ports',
  'daemon/src/install/': 'install',
  'daemon/src/config/': 'config',
  'daemon/src/schema/': 'schema',
  'daemon/src/schema/suggestion.ts': 'suggestion',
  'daemon/src/ground/': 'ground',
  'daemon/src/ground/coded-error.ts': 'coded error',
  'daemon/src/errors.ts': 'errors',
  'daemon/src/log.ts': 'log',
  'daemon/src/preflight.ts': 'preflight',
  'daemon/src/vrouter/': 'vrouter',
  'daemon/src/vrouter/publisher.ts': 'publisher',
  'daemon/src/vrouter/service-state.ts': 'service-state',
  'daemon/src/vrouter/node-reports.ts': 'node-reports',
  'daemon/src/utilities/': 'utilities',
  'cni-plugin/src/': 'cni-plugin',
}

/** Outside of every part and free to import all of them; nothing imports these. */
const COMPOSES = /(^|\/)main\.ts$/

/** What any test may use: how long tests wait, and doubles of what is outside. */
const FOR_TESTS = /^test\/(patience\.ts$|doubles\/)/

/** What every part of the daemon may build on. */
const GROUND = ['ground', 'coded error', 'errors', 'log', 'schema', 'suggestion', 'config', 'linux', 'address']

const MODEL_AND_MAPS = ['model', 'maps', 'numbers', 'port-api messages', ...GROUND]

const RULES: readonly Rule[] = [
  { part: 'linux', parts: ['address'], packages: [] },
  // Reading and writing of addresses: one for all.
  { part: 'address', parts: [], packages: [] },
  { part: 'model', parts: ['suggestion', 'numbers', 'address'], packages: [] },
  { part: 'maps', parts: ['numbers', 'linux', 'address', 'coded error'], packages: [] },
  // The datapath's, from its C: no part says them once more.
  { part: 'numbers', parts: [], packages: [] },
  { part: 'port-api messages', parts: [], packages: [] },
  { part: 'coded error', parts: [], packages: [] },
  { part: 'ground', parts: ['coded error', 'errors', 'log', 'linux'], packages: [] },
  { part: 'errors', parts: ['coded error'], packages: [] },
  { part: 'log', parts: ['errors', 'config'] },
  { part: 'suggestion', parts: [], packages: [] },
  { part: 'schema', parts: ['errors', 'model', 'suggestion'] },
  { part: 'config', parts: ['errors', 'schema', 'suggestion', 'numbers'] },
  { part: 'kubernetes', parts: ['ground', 'coded error', 'errors', 'log', 'schema', 'config'] },
  { part: 'sources', parts: [...MODEL_AND_MAPS, 'kubernetes'] },
  { part: 'controller', parts: ['model', 'kubernetes', 'sources', 'ground', 'errors', 'log', 'schema', 'config'] },
  { part: 'dataplane', parts: MODEL_AND_MAPS },
  { part: 'vhost0', parts: GROUND, packages: [] },
  { part: 'packet', parts: MODEL_AND_MAPS },
  { part: 'load-balancer', parts: MODEL_AND_MAPS, packages: [] },
  { part: 'introspect', parts: MODEL_AND_MAPS },
  { part: 'health', parts: MODEL_AND_MAPS, packages: ['prom-client'] },
  { part: 'port-api', parts: MODEL_AND_MAPS },
  { part: 'ports', parts: MODEL_AND_MAPS },
  { part: 'install', parts: [...MODEL_AND_MAPS, 'dataplane', 'vhost0', 'port-api', 'kubernetes'] },
  { part: 'preflight', parts: ['errors', 'linux'], packages: [] },
  { part: 'publisher', parts: ['model', 'ground'], packages: [] },
  { part: 'service-state', parts: ['ports'], packages: [] },
  { part: 'node-reports', parts: ['model', 'ports', 'health'], packages: [] },
  {
    part: 'vrouter',
    parts: [
      ...MODEL_AND_MAPS,
      ...['sources', 'ports', 'dataplane', 'vhost0', 'packet', 'load-balancer', 'introspect', 'health', 'port-api'],
      ...['publisher', 'service-state', 'node-reports'],
    ],
    packages: [],
  },
  { part: 'utilities', parts: ['maps', 'numbers', 'linux', 'address', 'coded error'], packages: [] },
  { part: 'cni-plugin', parts: ['linux', 'address', 'port-api messages'], packages: [] },
]

export interface Breach {
  readonly file: string
  readonly specifier: string
  readonly rule: string
}

/** `from '…'`, `import '…'`, `import('…')`, of code and of types alike. */
const IMPORT = /(?:\bfrom\s*|\bimport\s*\(?\s*)(['"])([^'"\n]+)\1/g

export function specifiersOf(source: string): string[] {
  const withoutComments = source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '')
  return [...withoutComments.matchAll(IMPORT)].map((match) => match[2]!)
}

/** Breaches of one file. `file` is relative to the root of the repo. */
export function breachesOf(file: string, source: string): Breach[] {
  const part = partOf(file)
  const rule = RULES.find((candidate) => candidate.part === part)
  const breach = (specifier: string, text: string): Breach => ({ file, specifier, rule: text })
  return specifiersOf(source).flatMap((specifier) => {
    if (specifier.startsWith('node:')) return []
    const target = targetOf(file, specifier)
    if (target !== undefined) {
      if (COMPOSES.test(target) && !isTest(file) && target !== file && /^(daemon|cni-plugin)\//.test(target)) {
        return [breach(specifier, 'nothing imports a main.ts')]
      }
      if (isTest(file) && FOR_TESTS.test(target)) return []
      const targetPart = partOf(target)
      if (!rule || targetPart === part || (targetPart !== undefined && rule.parts.includes(targetPart))) return []
      if (targetPart === undefined && target.endsWith('package.json')) return []
      return [breach(specifier, `${part} may import ${listed(rule.parts)}, not ${targetPart ?? target}`)]
    }
    const name = packageOf(specifier)
    if (!rule?.packages || rule.packages.includes(name) || isTest(file)) return []
    return [breach(specifier, `${part} may use ${listed(rule.packages, 'package')}, not ${name}`)]
  })
}

/** The part of a file; undefined for what composes, and for what lies outside the parts. */
function partOf(file: string): string | undefined {
  if (COMPOSES.test(file)) return undefined
  const prefixes = Object.keys(PARTS).filter((prefix) => file.startsWith(prefix))
  const longest = prefixes.sort((a, b) => b.length - a.length)[0]
  return longest === undefined ? undefined : PARTS[longest]
}

/** Whether the rule says anything of a file: it belongs to a part that has one, or composes. Tests go by the part that they lie in. */
export function hasRule(file: string): boolean {
  const part = partOf(file)
  return (
    COMPOSES.test(file) || RULES.some((rule) => rule.part === part) || /^daemon\/src\/[a-z-]+\.test\.ts$/.test(file)
  )
}

/** File of the repo that `specifier` means; undefined: an npm package. */
function targetOf(file: string, specifier: string): string | undefined {
  if (specifier.startsWith('.')) return join(dirname(file), specifier)
  const workspace = /^@kube-vrouter\/([a-z-]+)\/(.+)$/.exec(specifier)
  return workspace ? `${workspace[1]}/src/${workspace[2]}.ts` : undefined
}

function packageOf(specifier: string): string {
  const [scope = '', name] = specifier.split('/')
  return scope.startsWith('@') ? `${scope}/${name}` : scope
}

function isTest(file: string): boolean {
  return file.endsWith('.test.ts')
}

function listed(names: readonly string[], kind = ''): string {
  if (names.length > 0) return names.join(', ')
  return kind === '' ? 'nothing else of the repo' : `no ${kind}s`
}

/** Sources by the file's path. */
export type Tree = ReadonlyMap<string, string>

/** Files that import each other, directly or over others; each circle once, its files in the order of their paths. */
export function circlesOf(tree: Tree): string[][] {
  const imports = new Map(
    [...tree].map(([file, source]) => [
      file,
      specifiersOf(source)
        .map((specifier) => targetOf(file, specifier))
        .filter((target) => target !== undefined && tree.has(target)) as string[],
    ]),
  )
  const reachable = (from: string): Set<string> => {
    const seen = new Set<string>()
    const open = [...imports.get(from)!]
    for (let file = open.pop(); file !== undefined; file = open.pop()) {
      if (seen.has(file)) continue
      seen.add(file)
      open.push(...imports.get(file)!)
    }
    return seen
  }
  const reached = new Map([...tree.keys()].map((file) => [file, reachable(file)]))
  const known = new Set<string>()
  return [...tree.keys()].sort().flatMap((file) => {
    if (known.has(file) || !reached.get(file)!.has(file)) return []
    const circle = [...reached.get(file)!].filter((other) => reached.get(other)!.has(file)).sort()
    for (const other of circle) known.add(other)
    return [circle]
  })
}

export function treeOf(root: string): Tree {
  const files = globSync('{linux,daemon,cni-plugin}/src/**/*.ts', {
    cwd: root,
    exclude: (path) => path.includes('node_modules'),
  })
  return new Map(files.sort().map((file) => [file, readFileSync(join(root, file), 'utf8')]))
}

if (import.meta.main) {
  const root = join(import.meta.dirname, '..')
  const tree = treeOf(root)
  const here = (file: string) => relative(process.cwd(), join(root, file))
  const findings = [
    ...[...tree].flatMap(([file, source]) =>
      breachesOf(file, source).map(({ specifier, rule }) => `${here(file)}: imports '${specifier}': ${rule}`),
    ),
    ...[...tree.keys()].filter((file) => !hasRule(file)).map((file) => `${here(file)}: no part holds it`),
    ...circlesOf(tree).map((files) => `a circle: ${files.map(here).join(', ')} need each other`),
  ]
  for (const finding of findings) console.error(finding)
  process.exitCode = findings.length === 0 ? 0 : 1
}
