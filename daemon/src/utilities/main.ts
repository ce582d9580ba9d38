#!/usr/bin/env node
/**
 * The command line tools vif, rt, nh, mpls, vrfstats, flow, service, dropstats and vrouter: one program under many names, told apart by the
 * name it is called by (a link), or by its first argument. They read the pinned maps, so they work while the daemon is dead.
 *
 * Exit status: 0 answered; 1 bad usage (vif: 0), or nothing to answer with.
 */
import { basename } from 'node:path'
import type { PinnedMaps } from '../maps/open.ts'
import { parseCommandLine, parseId } from './command-line.ts'
import { noSuchToolError, UtilityError } from './errors.ts'
import { errorJson, type Request, type Tool, toJson } from './tool.ts'

/** Each is loaded only when it is called. */
const TOOLS: Readonly<Record<string, () => Promise<{ readonly tool: Tool }>>> = {
  vif: () => import('./vif.ts'),
  rt: () => import('./rt.ts'),
  nh: () => import('./nh.ts'),
  mpls: () => import('./mpls.ts'),
  vrfstats: () => import('./vrfstats.ts'),
  flow: () => import('./flow.ts'),
  service: () => import('./service.ts'),
  dropstats: () => import('./dropstats.ts'),
  vrouter: () => import('./vrouter.ts'),
}

/** Where the daemon pins its maps when nothing else is configured (paths.pins of the configuration). */
const DEFAULT_PINS = '/sys/fs/bpf/vrouter/v1'

/** Runs the tool that `argv` (as process.argv) names; the exit status is the result. */
export async function main(argv: readonly string[], env: NodeJS.ProcessEnv): Promise<number> {
  const calledAs = basename(argv[1] ?? '').replace(/\.(ts|js|mjs)$/, '')
  const [name = '', args] = Object.hasOwn(TOOLS, calledAs) ? [calledAs, argv.slice(2)] : [argv[2], argv.slice(3)]
  const isJson = args.includes('--json')
  using undo = new DisposableStack()
  let tool: Tool | undefined
  try {
    if (!Object.hasOwn(TOOLS, name)) throw noSuchToolError(name, Object.keys(TOOLS))
    tool = (await TOOLS[name]!()).tool
    const commandLine = parseCommandLine(name, tool.options, args)
    if (commandLine.options.has('help')) {
      process.stdout.write(tool.usage)
      return 0
    }
    const { openMaps } = await import('../maps/open.ts')
    const pins = commandLine.options.get('pins') ?? env['VROUTER_PINS'] ?? env['VROUTER_PATHS_PINS'] ?? DEFAULT_PINS
    const count = commandLine.options.get('count')
    const opened = new Map<string, PinnedMaps>()
    const request: Request = {
      ...commandLine,
      isJson,
      count: count === undefined ? undefined : parseId(name, '--count', count),
      maps: (access = 'read') => {
        const maps = opened.get(access) ?? undo.use(openMaps(pins, { readOnly: access === 'read' }))
        opened.set(access, maps)
        return maps
      },
      print: (text) => process.stdout.write(text),
      printJson: (value) => process.stdout.write(toJson(value)),
    }
    await tool.run(request)
    return 0
  } catch (error) {
    return report(error, tool, isJson)
  }
}

function report(error: unknown, tool: Tool | undefined, isJson: boolean): number {
  if (!(error instanceof Error) || !hasRemedy(error)) throw error
  const isUsage = error.code === 'VR_USAGE'
  if (isJson) process.stdout.write(toJson(errorJson(error)))
  else if (error.code === 'VR_RESPONSE') process.stdout.write(`${error.message}\n`)
  else if (isUsage && tool) process.stderr.write(`${error.message}\n${tool.usage}`)
  else process.stderr.write(`${error.message}\n${error.remedy}\n`)
  return isUsage && tool ? tool.usageStatus : 1
}

/** UtilityErrors and the maps' MapErrors: both say what to do. Anything else is a defect and keeps its stack. */
function hasRemedy(error: Error): error is Error & Pick<UtilityError, 'code' | 'remedy'> {
  return error instanceof UtilityError || error.name === 'MapError'
}

if (import.meta.main) {
  // `flow -l | head` closes the pipe early: that is no error.
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    process.exit(error.code === 'EPIPE' ? 0 : 1)
  })
  process.exitCode = await main(process.argv, process.env)
}
