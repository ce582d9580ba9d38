/** `hack/lab`: takes a request of the command line to the rest of this folder. */
import { existsSync, readFileSync } from 'node:fs'
import {
  type CommandLine,
  type DaemonAction,
  parseCommandLine,
  type Request,
  UsageError,
  usage,
} from './command-line.ts'
import { demo } from './demo.ts'
import { fabricNetns } from './fabric.ts'
import { becomeInside, holderOf, isInside, needHolder, runInside, startHolder } from './holder.ts'
import { Interrupts } from './interrupts.ts'
import { clear, down, nodeOf, printStatus, status, up } from './lab.ts'
import { labPaths, nameFlag, podNetns } from './layout.ts'
import { isDaemonRunning, nodeEnvironment, startDaemon, stopDaemon, waitUntilReady } from './node.ts'
import { addPod, deletePod, findPod } from './pod.ts'
import { apply, remove } from './store.ts'

const words = process.argv.slice(2)

async function main({ lab, request }: CommandLine): Promise<number> {
  if (request.verb === 'help') {
    console.log(usage)
    return 0
  }
  if (process.getuid?.() !== 0)
    throw new Error('hack/lab needs root: it makes network namespaces and loads eBPF programs')
  switch (request.verb) {
    case 'up':
      return isInside(lab) ? await finishUp(lab, request.nodes) : await build(lab, 'keep')
    case 'demo':
      return isInside(lab) ? await demo(lab, request.keep) : await build(lab, request.keep ? 'keep' : 'clear')
    case 'down':
      if (isInside(lab)) await down(lab)
      else if (existsSync(labPaths(lab).root)) await takeDown(lab)
      else throw new Error(`no lab ${lab}: nothing to take down`)
      return 0
    case 'pod add':
    case 'pod del':
    case 'daemon':
      if (!isInside(lab)) becomeInside(lab, undefined, [process.execPath, process.argv[1]!, ...words])
      await serve(lab, request)
      return 0
    case 'apply':
    case 'delete':
    case 'exec':
    case 'status':
      needHolder(lab)
      await serve(lab, request)
      return 0
  }
}

/** Outside the lab's mount namespace: makes that, does the rest inside. Interrupted, it leaves nothing. */
async function build(lab: string, afterwards: 'keep' | 'clear'): Promise<number> {
  using interrupts = new Interrupts()
  startHolder(lab)
  const outcome = await runInside(lab, words, interrupts)
  interrupts.noteEndOf(outcome)
  if (interrupts.signal !== undefined) {
    console.error(`\nhack/lab: interrupted; taking lab ${lab} down again`)
    await takeDown(lab)
    return interrupts.exitCode
  }
  if (afterwards === 'clear') await clear(lab)
  else if (outcome !== 0)
    console.error(`hack/lab: what there is of lab ${lab} is left to look at; hack/lab down${nameFlag(lab)} removes it`)
  return outcome
}

async function takeDown(lab: string): Promise<void> {
  using interrupts = new Interrupts()
  if (holderOf(lab) !== undefined) await runInside(lab, ['down', '--name', lab], interrupts)
  await clear(lab)
}

async function finishUp(lab: string, nodes: number): Promise<number> {
  await up(lab, nodes)
  console.log(printStatus(await status(lab)))
  return 0
}

type Service = Exclude<Request, { readonly verb: 'help' | 'up' | 'down' | 'demo' }>

async function serve(lab: string, request: Service): Promise<void> {
  switch (request.verb) {
    case 'apply':
      for (const id of apply(lab, request.files)) console.log(`${id} applied`)
      return
    case 'delete':
      for (const id of remove(lab, request.files)) console.log(`${id} deleted`)
      return
    case 'pod add': {
      const { pod: name, namespace, labels, annotations, ifname, hostPorts } = request
      nodeOf(lab, request.node)
      const pod = addPod(lab, { name, node: Number(request.node), namespace, labels, annotations, ifname, hostPorts })
      console.log(JSON.stringify(pod.result, undefined, 2))
      return
    }
    case 'pod del':
      deletePod(lab, request.pod)
      return
    case 'exec': {
      const { kind, name } = request.target
      if (kind === 'pod') becomeInside(lab, podNetns(findPod(lab, name).name), request.command)
      if (kind === 'fabric') becomeInside(lab, fabricNetns, request.command)
      const node = nodeOf(lab, name)
      return becomeInside(lab, node.netns, request.command, nodeEnvironment(node))
    }
    case 'daemon':
      return await daemonVerb(lab, request.node, request.action)
    case 'status': {
      const answer = await status(lab)
      console.log(request.json ? JSON.stringify(answer, undefined, 2) : printStatus(answer))
    }
  }
}

async function daemonVerb(lab: string, number: string, action: DaemonAction): Promise<void> {
  const node = nodeOf(lab, number)
  switch (action) {
    case 'stop':
    case 'kill':
      if (!(await stopDaemon(node, action === 'stop' ? 'SIGTERM' : 'SIGKILL')))
        console.log(`the daemon of ${node.name} was not running`)
      return
    case 'restart':
      if (isDaemonRunning(node)) await stopDaemon(node, 'SIGTERM')
      startDaemon(node)
      break
    case 'start':
      startDaemon(node)
      break
    case 'logs':
      process.stdout.write(existsSync(node.log) ? readFileSync(node.log, 'utf8') : '')
      return
  }
  console.log(`ready after ${Math.round(await waitUntilReady(node))} ms`)
}

try {
  process.exitCode = await main(parseCommandLine(words))
} catch (error) {
  console.error(`hack/lab: ${error instanceof Error ? error.message : String(error)}`)
  if (error instanceof UsageError) console.error(error.usage)
  process.exitCode = error instanceof UsageError ? 2 : 1
}
