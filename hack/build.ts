/**
 * Builds what is shipped (npm run build does `make -C daemon/datapath` first):
 *
 *   cni-plugin/dist/vrouter-cni   the CNI binary, a Node single executable
 *   daemon/dist/vrouter.mjs       the daemon, with one more bundle beside it for each of its workers
 *   daemon/dist/tools.mjs         vif, rt, nh, mpls, vrfstats, flow, service, dropstats, vrouter: which one, its first argument says
 *   daemon/dist/controller.mjs    the controller of a cluster
 *   daemon/dist/bin/*             launchers, one for the daemon, the controller and each tool
 *
 * `node hack/build.ts [--force] [cni-plugin | daemon | controller | tools]…` builds some of them.
 * What is up to date is skipped: each output has a stamp of the files it was made of. Everything is written beside its place and renamed, so what runs
 * meanwhile isn't disturbed.
 */

import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, dirname, join, relative, resolve } from 'node:path'
import { type BuildOptions, build, version as esbuildVersion, type Plugin } from 'esbuild'

const root = resolve(import.meta.dirname, '..')
const force = process.argv.includes('--force')

/** Tools that tools.mjs holds; `vrouter` is the daemon's launcher, which hands its tool verbs over. */
const TOOLS = ['vif', 'rt', 'nh', 'mpls', 'vrfstats', 'flow', 'service', 'dropstats'] as const

interface Stamp {
  /** What the output was made with: this script, the versions of the tools. */
  readonly recipe: string
  /** Size and modification time of each input. */
  readonly inputs: Readonly<Record<string, string>>
}

const recipe = createHash('sha256')
  .update(readFileSync(import.meta.filename))
  .update(`${process.version} ${esbuildVersion}`)
  .digest('hex')

function stateOf(file: string): string {
  try {
    const { size, mtimeMs } = statSync(join(root, file))
    return `${size} ${mtimeMs}`
  } catch {
    return 'missing'
  }
}

function stampFile(output: string): string {
  return join(dirname(output), `.${basename(output)}.stamp`)
}

function isUpToDate(output: string): boolean {
  if (force || !existsSync(output)) return false
  try {
    const stamp = JSON.parse(readFileSync(stampFile(output), 'utf8')) as Stamp
    return stamp.recipe === recipe && Object.entries(stamp.inputs).every(([file, state]) => stateOf(file) === state)
  } catch {
    return false
  }
}

function writeStamp(output: string, files: readonly string[]): void {
  const inputs = Object.fromEntries(files.map((file) => [file, stateOf(file)]))
  replace(stampFile(output), JSON.stringify({ recipe, inputs } satisfies Stamp))
}

function replace(file: string, text: string, mode = 0o644): void {
  const temporary = `${file}.${process.pid}.tmp`
  writeFileSync(temporary, text, { mode })
  renameSync(temporary, file)
}

/** A bundle of `entry` with all that it imports. Returns the inputs. */
async function bundle(entry: string, output: string, options: BuildOptions): Promise<string[]> {
  mkdirSync(dirname(output), { recursive: true })
  const temporary = `${output}.${process.pid}.tmp`
  const { metafile } = await build({
    absWorkingDir: root,
    entryPoints: [entry],
    outfile: temporary,
    bundle: true,
    platform: 'node',
    target: 'node26',
    metafile: true,
    legalComments: 'none',
    logLevel: 'warning',
    ...options,
  })
  renameSync(temporary, output)
  return Object.keys(metafile!.inputs)
}

// ---- the CNI binary ---------------------------------------------------------------------------------------------------------

/** One CommonJS file inside a copy of node. NODE_OPTIONS of the runtime's environment must not reach it. */
async function buildCniPlugin(): Promise<void> {
  const entry = 'cni-plugin/src/main.ts'
  const output = join(root, 'cni-plugin/dist/vrouter-cni')
  if (!existsSync(join(root, entry)) || isUpToDate(output)) return
  const script = join(root, 'cni-plugin/dist/vrouter-cni.cjs')
  const inputs = await bundle(entry, script, { format: 'cjs', minify: true, keepNames: false })
  const temporary = `${output}.${process.pid}.tmp`
  const config = `${temporary}.json`
  const sea = {
    main: script,
    mainFormat: 'commonjs',
    output: temporary,
    disableExperimentalSEAWarning: true,
    // spares the compiling: 1.5 ms of each call
    useCodeCache: true,
    useSnapshot: false,
    execArgvExtension: 'none',
  }
  writeFileSync(config, JSON.stringify(sea))
  try {
    execFileSync(process.execPath, ['--build-sea', config], { stdio: ['ignore', 'ignore', 'inherit'] })
    chmodSync(temporary, 0o755)
    renameSync(temporary, output)
  } finally {
    rmSync(config, { force: true })
    rmSync(temporary, { force: true })
  }
  writeStamp(output, inputs)
  report(output)
}

// ---- the daemon and the tools -------------------------------------------------------------------------------------------------

/** `new URL('./worker.ts', import.meta.url)` names the entry of a worker: a bundle of its own, beside the one that starts it. */
const LOCAL_URL = /new URL\((['"])(\.{1,2}\/[^'"]+)\1,\s*import\.meta\.url\)/g

/** netlink/monitor-worker.ts -> netlink-monitor-worker.mjs */
function workerOutput(entry: string): string {
  return `${basename(dirname(entry))}-${basename(entry, '.ts')}.mjs`
}

/** Points such URLs at the bundles and collects the entries; URLs of other files stay with the files, seen from the bundle's folder. */
function localUrls(folder: string, workers: Set<string>): Plugin {
  return {
    name: 'local-urls',
    setup({ onLoad }) {
      onLoad({ filter: /\.ts$/ }, ({ path }) => {
        const source = readFileSync(path, 'utf8')
        const contents = source.replaceAll(LOCAL_URL, (_, _quote, name: string) => {
          const target = resolve(dirname(path), name)
          if (!name.endsWith('.ts')) return `new URL('./${relative(folder, target)}', import.meta.url)`
          const entry = relative(root, target)
          workers.add(entry)
          return `new URL('./${workerOutput(entry)}', import.meta.url)`
        })
        return { contents, loader: 'ts' }
      })
    },
  }
}

/**
 * node:http by a side door. An import of it as an ES module reads every export once, and one of them loads undici, which nobody uses here:
 * 11 MB of memory.
 */
const lazyHttp: Plugin = {
  name: 'lazy-http',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(node:)?http$/ }, () => ({ path: 'node:http', namespace: 'lazy-http' }))
    onLoad({ filter: /.*/, namespace: 'lazy-http' }, () => ({
      contents: "module.exports = process.getBuiltinModule('node:http')",
      loader: 'js',
    }))
  },
}

/** What CommonJS dependencies (express, pino) expect around them. */
const REQUIRE_BANNER =
  "import { createRequire as createRequireOfBundle } from 'node:module'; const require = createRequireOfBundle(import.meta.url);"

async function buildModule(entry: string, output: string): Promise<void> {
  if (!existsSync(join(root, entry)) || isUpToDate(output)) return
  const folder = dirname(output)
  const workers = new Set<string>()
  const options: BuildOptions = {
    format: 'esm',
    // The text of the program stays in memory: the shorter, and all in one-byte characters, the better.
    minify: true,
    charset: 'ascii',
    keepNames: true,
    banner: { js: REQUIRE_BANNER },
    plugins: [localUrls(folder, workers), lazyHttp],
  }
  const inputs = new Set(await bundle(entry, output, options))
  // A worker may start another one: the set grows while it is walked.
  for (const worker of workers) {
    for (const input of await bundle(worker, join(folder, workerOutput(worker)), options)) inputs.add(input)
  }
  writeStamp(output, [...inputs])
  report(output)
}

// ---- launchers ----------------------------------------------------------------------------------------------------------------

/** Finds bundle and node from its own place, whatever links lead to it. VROUTER_NODEJS_BINARY names another node (in an image). */
function launcher(script: string): string {
  return `#!/bin/sh
here=$(dirname "$(readlink -f "$0")")
node=\${VROUTER_NODEJS_BINARY:-$here/../../../node_modules/node/bin/node}
${script}
`
}

const RUN = 'exec "$node" --disable-warning=ExperimentalWarning'

/**
 * The daemon idles most of its life, and is resident on every node: one malloc arena, a small nursery and V8's thrifty mode save 40 MB of
 * 145. That mode comes into force when the daemon is in service (main.ts): while it reads a large cluster, what it has is needed, and to look for what isn't
 * again and again takes longer than the work. A heap that may grow by a third between two collections costs a few MB, and saves half of them.
 */
const RUN_DAEMON = `export MALLOC_ARENA_MAX=1\n${RUN} --max-semi-space-size=2 --heap-growing-percent=30`

function buildLaunchers(): void {
  const folder = join(root, 'daemon/dist/bin')
  mkdirSync(folder, { recursive: true })
  const files: [name: string, script: string][] = TOOLS.map((tool) => [
    tool,
    `${RUN} "$here/../tools.mjs" ${tool} "$@"`,
  ])
  // As a tool \`vrouter\` shows and sets the datapath (--info, --help and the like); everything else is the daemon.
  files.push([
    'vrouter',
    `case "\${1:-}" in\n--info | --get | --set | --json) ${RUN} "$here/../tools.mjs" vrouter "$@" ;;\nesac\n${RUN_DAEMON} "$here/../vrouter.mjs" "$@"`,
  ])
  files.push(['vrouter-controller', `${RUN} "$here/../controller.mjs" "$@"`])
  for (const [name, script] of files) {
    const file = join(folder, name)
    const text = launcher(script)
    if (existsSync(file) && readFileSync(file, 'utf8') === text) continue
    replace(file, text, 0o755)
    report(file)
  }
}

function report(output: string): void {
  console.log(`built ${relative(root, output)}`)
}

/** What may be named on the command line; without a name everything is built. */
const targets: Readonly<Record<string, () => Promise<void>>> = {
  'cni-plugin': buildCniPlugin,
  daemon: () => buildModule('daemon/src/main.ts', join(root, 'daemon/dist/vrouter.mjs')),
  controller: () => buildModule('daemon/src/controller/main.ts', join(root, 'daemon/dist/controller.mjs')),
  tools: async () => {
    await buildModule('daemon/src/utilities/main.ts', join(root, 'daemon/dist/tools.mjs'))
    buildLaunchers()
  },
}

const wanted = process.argv.slice(2).filter((argument) => !argument.startsWith('-'))
const unknown = wanted.filter((name) => !(name in targets))
if (unknown.length > 0) {
  console.error(`hack/build.ts: no target ${unknown.join(', ')}; there are ${Object.keys(targets).join(', ')}`)
  process.exit(2)
}
for (const name of wanted.length > 0 ? wanted : Object.keys(targets)) {
  try {
    await targets[name]!()
  } catch (error) {
    // esbuild has said where; the other targets don't depend on this one.
    console.error(`hack/build.ts: cannot build ${name}: ${(error as Error).message.split('\n')[0]}`)
    process.exitCode = 1
  }
}
