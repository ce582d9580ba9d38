/**
 * The daemon's command line: reads the configuration, starts a Vrouter, and stops it on SIGTERM or SIGINT. Exit codes: 0 stopped or done, 1
 * failed, 2 the command line or the configuration is wrong.
 */
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { trimMalloc } from '@kube-vrouter/linux/ffi'
import { setSysctlRoot } from '@kube-vrouter/linux/sysctl'
import { ConfigError, describeConfig, loadConfig } from './config/load.ts'
import { DEFAULT_FOLDER, IMAGE_FOLDER, install } from './install/install.ts'
import { uninstallNode } from './install/take-out.ts'
import { type DaemonSet, uninstallFromCluster } from './install/uninstall-cluster.ts'
import { uninstallFromNode } from './install/uninstall-node.ts'
import { ApiClient } from './kubernetes/client.ts'
import { createLog, errorFields } from './log.ts'
import { removeConflist } from './port-api/conflist.ts'
import { preflight, printPreflight } from './preflight.ts'
import { findNic } from './vhost0/find-nic.ts'
import { Vrouter } from './vrouter/vrouter.ts'

/** By then the first rounds after the start are over. */
const SETTLED_MS = 1500
/** Bytes. */
const LARGE_HEAP = 64 * 1024 * 1024

const usage = `vrouter: the per-node daemon of kube-vrouter

  vrouter run [--config FILE]      runs the daemon in the foreground; logs JSON lines on standard output
  vrouter preflight [--json]       says what this machine lacks, and the remedy
  vrouter install                  copies the CNI binary to --bin-dir, unless it is there; SKIP_CNI_BINARIES=true: does nothing
  vrouter uninstall-node           takes everything off this node: conflist, programs, devices, state, and the binary in --bin-dir
  vrouter uninstall-cluster        the same for all nodes of a cluster, by the DaemonSet in --daemonset; what the chart runs before it goes
  vrouter --uninstall              gives the network card its addresses back and removes programs, maps and devices
  vrouter --print-config           prints the configuration in force, defaults and environment included
  vrouter --info                   limits and settings of the running datapath
  vrouter --help                   this text and every configuration key

  --config FILE    default: $VROUTER_CONFIG, else /etc/vrouter/vrouter.yaml if that exists
  --bin-dir DIR    where the container runtime looks for CNI plugins; default: ${DEFAULT_FOLDER}
  --daemonset FILE manifest (JSON) of the pods that run uninstall-node
  --timeout S      seconds for all nodes together; default: 300
`

const COMMANDS = ['run', 'preflight', 'install', 'uninstall-node', 'uninstall-cluster'] as const

function isCommand(word: string): word is (typeof COMMANDS)[number] {
  return (COMMANDS as readonly string[]).includes(word)
}

async function main(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      config: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
      json: { type: 'boolean' },
      uninstall: { type: 'boolean' },
      'print-config': { type: 'boolean' },
      'bin-dir': { type: 'string', default: DEFAULT_FOLDER },
      daemonset: { type: 'string' },
      timeout: { type: 'string', default: '300' },
    },
  })
  if (values.help) {
    process.stdout.write(`${usage}\n${describeConfig()}`)
    return 0
  }
  const [command, ...rest] = positionals
  if (rest.length > 0 || (command !== undefined && !isCommand(command))) {
    const unexpected = command !== undefined && isCommand(command) ? rest[0] : command
    process.stderr.write(`vrouter: unexpected ${JSON.stringify(unexpected)}\n\n${usage}`)
    return 2
  }
  const isOption = values.uninstall || values['print-config']
  if (command === undefined && !isOption) {
    process.stderr.write(`vrouter: nothing to do; the daemon is started by \`vrouter run\`\n\n${usage}`)
    return 2
  }
  if (command === 'preflight') {
    const report = await preflight()
    process.stdout.write(values.json ? `${JSON.stringify(report, undefined, 2)}\n` : printPreflight(report))
    return report.ok ? 0 : 1
  }
  const config = loadConfig({ file: values.config, env: process.env })
  if (values['print-config']) {
    process.stdout.write(`${JSON.stringify(config, undefined, 2)}\n`)
    return 0
  }
  setSysctlRoot(config.paths.sysctl)
  const log = createLog(config.log.level)
  try {
    if (command === 'install') {
      if (process.env['SKIP_CNI_BINARIES'] === 'true') return 0
      install({ folder: values['bin-dir'], image: IMAGE_FOLDER, log })
      return 0
    }
    if (command === 'uninstall-node') {
      await uninstallFromNode({ config, pluginFolder: values['bin-dir'], log })
      return 0
    }
    if (command === 'uninstall-cluster') {
      const daemonSet = JSON.parse(readFileSync(values.daemonset ?? '', 'utf8')) as DaemonSet
      using client = new ApiClient(config.source)
      const namespace = daemonSet.metadata.namespace ?? 'default'
      await uninstallFromCluster({ client, namespace, daemonSet, timeoutMs: Number(values.timeout) * 1000, log })
      return 0
    }
    const nic = findNic(config)
    if (values.uninstall) {
      await uninstallNode(config, nic, log)
      // A runtime that still finds the plugin would go on sending pods here.
      removeConflist(config.paths.cniConf)
      return 0
    }
    const stopped = Promise.withResolvers<string>()
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stopped.resolve(signal))
    await using vrouter = await Vrouter.start({ config, nic, log, onFatal: stopped.reject })
    void vrouter
    setTimeout(beThrifty, SETTLED_MS).unref()
    const signal = await stopped.promise
    log.info({ component: 'vrouter', signal }, 'stopping; the network stays as it is')
    return 0
  } catch (error) {
    log.fatal({ component: 'vrouter', err: errorFields(error) }, Error.isError(error) ? error.message : String(error))
    return 1
  }
}

/**
 * V8's thrifty mode, but for collecting everything whenever the heap has grown by a few percent: that costs a round more than its work.
 *
 * What the start leaves behind would stay resident for long: an idle daemon gives neither V8 nor libc a reason to let go of it. A large heap is that of a large cluster, which
 * is never idle: V8 collects it soon by itself, and all at once would hold up the event loop for a tenth of a second.
 */
function beThrifty(): void {
  setFlagsFromString('--optimize-for-size')
  setFlagsFromString('--heap-growing-percent=15')
  if (process.memoryUsage().heapUsed < LARGE_HEAP) {
    setFlagsFromString('--expose-gc')
    const collect: unknown = runInNewContext('gc')
    if (typeof collect === 'function') collect()
  }
  trimMalloc()
}

process.on('uncaughtException', (error) => {
  createLog('info').fatal(
    { component: 'vrouter', err: errorFields(error) },
    'the daemon has to end; the network stays as it is',
  )
  process.exit(1)
})

process.on('unhandledRejection', (reason) => {
  createLog('info').error(
    { component: 'vrouter', err: errorFields(reason) },
    'a failure that nobody handled; the daemon goes on',
  )
})

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  const isUsage =
    error instanceof ConfigError || (error as { code?: string }).code?.startsWith('ERR_PARSE_ARGS') === true
  process.stderr.write(`vrouter: ${(error as Error).message}\n`)
  process.exitCode = isUsage ? 2 : 1
}
process.exit()
