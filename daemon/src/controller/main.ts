/**
 * Command line of the controller. What it may do in a cluster, rule by rule: rbac.md. Exit codes: 0 stopped, 1 failed, 2 the command line or
 * the configuration is wrong.
 */
import { parseArgs } from 'node:util'
import { ConfigError, loadConfig } from '../config/load.ts'
import { createLog, errorFields } from '../log.ts'
import { Controller } from './controller.ts'
import { describeOptions, readOptions } from './options.ts'

const usage = `vrouter-controller: what kube-vrouter needs once in a cluster. Any number of replicas may run; one leads.

  vrouter-controller [--config FILE]    runs in the foreground; logs JSON lines on standard output
  vrouter-controller --print-config     prints the settings in force, defaults and environment included
  vrouter-controller --help             this text and every setting

  --config FILE    the daemons' configuration; default: $VROUTER_CONFIG, else /etc/vrouter/vrouter.yaml if that exists

It gives networks their VNIs, shows the built-in networks, keeps networks that are in use, says in status, conditions and Events what is wrong,
removes what nodes and pods that are gone left behind, and lets pods onto nodes whose vRouter daemon is ready. Traffic needs none of it.
`

async function main(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      config: { type: 'string' },
      help: { type: 'boolean', short: 'h' },
      'print-config': { type: 'boolean' },
    },
  })
  if (values.help) {
    process.stdout.write(`${usage}\n${describeOptions()}`)
    return 0
  }
  const config = loadConfig({ file: values.config, env: process.env })
  const options = readOptions(process.env)
  if (values['print-config']) {
    const { cluster, source, defaultNetwork, log } = config
    process.stdout.write(`${JSON.stringify({ cluster, source, defaultNetwork, log, ...options }, undefined, 2)}\n`)
    return 0
  }
  const log = createLog(config.log.level)
  const own = log.child({ component: 'controller' })
  try {
    const stopped = Promise.withResolvers<string>()
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => stopped.resolve(signal))
    await using controller = await Controller.start(config, options, own)
    void controller
    own.info({ identity: options.lease.identity }, 'started')
    const signal = await stopped.promise
    own.info({ signal }, 'stopping')
    return 0
  } catch (error) {
    own.fatal({ err: errorFields(error) }, 'failed')
    return 1
  }
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  const isUsage =
    error instanceof ConfigError || (error as { readonly code?: string }).code?.startsWith('ERR_PARSE_ARGS')
  process.stderr.write(`vrouter-controller: ${(error as Error).message}\n`)
  process.exitCode = isUsage ? 2 : 1
}
