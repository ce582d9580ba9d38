/**
 * The part of `hack/bench networks` that runs inside a lab's mount namespace, on its only node: `hack/lab exec node/1 -- node …/on-node.ts LAB VERB …`.
 *
 *   fill FROM TO       adds a pod in each of the networks FROM to TO - 1, and leaves them
 *   measure NUMBER SEA adds and deletes pods of a network that is new here (NUMBER), and of one that is here (0), each after a run of the empty executable SEA
 *
 * Prints one JSON line.
 */
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { nodePaths } from '../../lab/layout.ts'
import { cniBinary } from '../../lab/node.ts'
import { readProcess } from '../../lab/process.ts'
import { run } from '../../lab/shell.ts'

const [lab = '', verb = '', ...words] = process.argv.slice(2)
const node = nodePaths(lab, 1)
const TICK_MS = 10
const HEALTH_PORT = 9485
const config = JSON.stringify({
  cniVersion: '1.1.0',
  name: 'kube-vrouter',
  type: 'vrouter-cni',
  socket: node.socket,
  stateDir: node.state,
})

/** Wall time, ms, of one call of the CNI binary for a pod of that network. */
function cni(command: 'ADD' | 'DEL', pod: string, containerId: string, network: number): number {
  const env = {
    PATH: process.env['PATH'],
    CNI_COMMAND: command,
    CNI_CONTAINERID: containerId,
    CNI_NETNS: `/run/netns/${pod}`,
    CNI_IFNAME: 'eth0',
    CNI_PATH: dirname(cniBinary),
    CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=t${network};K8S_POD_NAME=${pod};K8S_POD_INFRA_CONTAINER_ID=${containerId}`,
  }
  return timed(cniBinary, config, env)
}

function timed(program: string, input: string, env: NodeJS.ProcessEnv): number {
  const start = performance.now()
  const { status, stdout, stderr } = spawnSync(program, { input, env, encoding: 'utf8' })
  const elapsedMs = performance.now() - start
  if (status !== 0) throw new Error(`${program} ended with ${status}: ${stdout}${stderr}`)
  return elapsedMs
}

/** CPU time of the daemon so far, ms. */
function daemonCpu(): number {
  const { pid } = readProcess(node.pid)!
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS
}

function container(): string {
  return randomBytes(32).toString('hex')
}

/** Number of rounds so far, and seconds that they took in all, by the daemon's own count. */
async function rounds(): Promise<{ readonly count: number; readonly seconds: number }> {
  const text = await (await fetch(`http://127.0.0.1:${HEALTH_PORT}/metrics`)).text()
  const value = (suffix: string) =>
    Number(new RegExp(`^vrouter_round_duration_seconds_${suffix} (\\S+)$`, 'm').exec(text)![1])
  return { count: value('count'), seconds: value('sum') }
}

function fill(from: number, to: number): object {
  for (let network = from; network < to; network++) {
    run(['ip', 'netns', 'add', `pod-t${network}`])
    cni('ADD', `pod-t${network}`, container(), network)
  }
  return {}
}

const TIMES = 15

async function measure(fresh: number, sea: string): Promise<object> {
  const figures: Record<string, number[]> = { empty: [], first: [], second: [], firstCpu: [], secondCpu: [] }
  const begun = await rounds()
  run(['ip', 'netns', 'add', 'pod-x'])
  try {
    for (const [kind, network] of [
      ['first', fresh],
      ['second', 0],
    ] as const) {
      // Quiet first: what the daemon puts off is no part of what follows.
      await sleep(4000)
      const before = daemonCpu()
      for (let at = 0; at < TIMES; at++) {
        const containerId = container()
        figures['empty']!.push(timed(sea, '', { PATH: process.env['PATH'] }))
        figures[kind]!.push(cni('ADD', 'pod-x', containerId, network))
        cni('DEL', 'pod-x', containerId, network)
      }
      await sleep(4000)
      figures[`${kind}Cpu`]!.push((daemonCpu() - before) / TIMES)
    }
  } finally {
    run(['ip', 'netns', 'del', 'pod-x'])
  }
  const ended = await rounds()
  figures['roundMs'] = [(1000 * (ended.seconds - begun.seconds)) / (ended.count - begun.count)]
  return figures
}

switch (verb) {
  case 'fill':
    console.log(JSON.stringify(fill(Number(words[0]), Number(words[1]))))
    break
  case 'measure':
    console.log(JSON.stringify(await measure(Number(words[0]), words[1]!)))
    break
  default:
    throw new Error(`no verb ${verb}`)
}
