/** `hack/kubelab`: takes a request of the command line to the rest of this folder. */
import { existsSync, readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { Interrupts } from '../lab/interrupts.ts'
import { type CommandLine, parseCommandLine, type Request, UsageError, usage } from './command-line.ts'
import { isPartRunning, partLog, parts } from './control-plane.ts'
import { enterOutside } from './fabric.ts'
import { holderOf } from './holder.ts'
import { down, Kubelab } from './kubelab.ts'
import { labPaths, nameFlag, outside, underlay } from './layout.ts'
import { isUp, onNode } from './node.ts'
import { buildImage } from './prepare.ts'

async function main({ lab, request }: CommandLine): Promise<number> {
  if (request.verb === 'help') {
    console.log(usage)
    return 0
  }
  if (process.getuid?.() !== 0) throw new Error('hack/kubelab needs root: it makes namespaces, cgroups and mounts')
  switch (request.verb) {
    case 'up':
      return await up(lab, request)
    case 'down': {
      const was = holderOf(lab) !== undefined
      if (!(await down(lab))) throw new Error(`no lab ${lab}: nothing to take down`)
      if (!was) console.log(`lab ${lab} had ended already; what was left of it is cleared away`)
      return 0
    }
    default:
      return await serve(Kubelab.open(lab), request)
  }
}

type Up = Extract<Request, { readonly verb: 'up' }>

/** Interrupted, it leaves nothing; failed, it leaves what there is to look at. */
async function up(name: string, request: Up): Promise<number> {
  using interrupts = new Interrupts()
  const abort = new AbortController()
  const watch = setInterval(() => {
    if (interrupts.signal !== undefined) abort.abort(new Error('interrupted'))
  }, 20)
  const begun = performance.now()
  const seconds = () => ((performance.now() - begun) / 1000).toFixed(1)
  const say = (line: string) => console.log(`${seconds().padStart(6)} s  ${line}`)
  // A lab of that name that was there before is not ours to take down.
  const wasThere = existsSync(labPaths(name).root)
  try {
    if (request.cni === 'kube-vrouter') {
      await buildImage(abort.signal)
      say('image built')
    }
    const lab = await Kubelab.create({ ...request, name, say, signal: abort.signal })
    console.log(await status(lab))
    return 0
  } catch (error) {
    if (interrupts.signal === undefined) {
      if (!wasThere)
        console.error(
          `hack/kubelab: the lab is left to look at: hack/kubelab${nameFlag(name)} dump FOLDER writes logs and objects, hack/kubelab down${nameFlag(name)} removes it`,
        )
      throw error
    }
    if (!wasThere) {
      console.error(`\nhack/kubelab: interrupted; taking lab ${name} down again`)
      await down(name)
    }
    return interrupts.exitCode
  } finally {
    clearInterval(watch)
  }
}

type Service = Exclude<Request, { readonly verb: 'help' | 'up' | 'down' }>

async function serve(lab: Kubelab, request: Service): Promise<number> {
  switch (request.verb) {
    case 'kubectl':
    case 'helm': {
      const { prefix, env } = lab.administrator
      return become([...prefix, request.verb, ...request.args], env)
    }
    case 'exec': {
      const { where, command } = request
      if (where === 'outside') return become([...enterOutside(lab.name), ...command], {})
      return become(onNode(lab.node(where), command, lab.containerd), {})
    }
    case 'load':
      await lab.load(resolve(request.archive))
      return 0
    case 'daemon':
      if (request.action === 'kill') await lab.killDaemon(request.node)
      else process.stdout.write(await lab.daemonLogs(request.node))
      return 0
    case 'node':
      if (request.action === 'up') await lab.nodeUp(request.node)
      else if (!(await lab.nodeDown(request.node))) console.log(`node ${request.node} was not up`)
      return 0
    case 'part':
      if (request.action === 'start') await lab.startPart(request.part)
      else if (request.action === 'logs') process.stdout.write(readFileSync(partLog(lab.name, request.part), 'utf8'))
      else if (!(await lab.stopPart(request.part))) console.log(`${request.part} was not running`)
      return 0
    case 'dump':
      await lab.dump(resolve(request.folder))
      return 0
    case 'status':
      console.log(await status(lab))
      return 0
  }
}

/** Goes on as another program: same process, so that signals, exit code, standard input and terminal are the program's own. */
function become(command: readonly string[], env: Readonly<Record<string, string>>): never {
  // Node ignores SIGPIPE, which a program would inherit.
  const words = ['env', '--default-signal=PIPE', ...command]
  process.execve!('/usr/bin/env', words, { ...process.env, ...env } as NodeJS.Dict<string>)
  throw new Error('/usr/bin/env: cannot be executed')
}

async function status(lab: Kubelab): Promise<string> {
  const lines = [
    `lab ${lab.name}: API server https://${underlay.api4}:${underlay.apiPort} in the fabric; outside host ${outside.address4}, ${outside.address6}; network: ${lab.cni}`,
  ]
  const stopped = parts.filter((part) => !isPartRunning(lab.name, part))
  if (stopped.length > 0) lines.push(`  stopped: ${stopped.join(', ')}`)
  for (const node of lab.nodes)
    lines.push(
      `  node ${node.number}  ${node.address4}  ${node.address6}  ${isUp(node) ? 'on' : 'off'}  disk ${node.disk}`,
    )
  const nodes = await lab.tryKubectl(['get', 'nodes'], { timeoutMs: 10_000 })
  lines.push((nodes.stdout + nodes.stderr).trimEnd().replace(/^/gm, '  '))
  return lines.join('\n')
}

try {
  process.exitCode = await main(parseCommandLine(process.argv.slice(2)))
} catch (error) {
  console.error(`hack/kubelab: ${error instanceof Error ? error.message : String(error)}`)
  if (error instanceof UsageError) console.error(error.usage)
  process.exitCode = error instanceof UsageError ? 2 : 1
}
