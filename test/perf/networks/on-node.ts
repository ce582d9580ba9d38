/**
 * The part of `hack/bench networks` that runs inside a lab's mount namespace, on its only node: `hack/lab exec node/1 -- node …/on-node.ts LAB VERB …`.
 *
 *   fill FROM TO       adds a pod in each of the networks FROM to TO - 1, and leaves them
 *   measure NUMBER SEA adds and deletes pods of a network that is new here (NUMBER), and of one that is here (0), each after a run of the empty executable SEA
 *
 * Prints one JSON line.
 */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { nodePaths } from '../../lab/layout.ts'
import { cniBinary } from '../../lab/node.ts'
import { readProcess } from '../../lab/process.ts'
import { run } from '../../lab/shell.ts'
import { configOf, container, environment, timed } from '../cni-calls.ts'
import { rounds } from './rounds.ts'

const [lab = '', verb = '', ...words] = process.argv.slice(2)
const node = nodePaths(lab, 1)
const TICK_MS = 10
const config = configOf(lab)

/** Wall time, ms, of one call of the CNI binary for a pod of that network. */
function cni(command: 'ADD' | 'DEL', pod: string, containerId: string, network: number): number {
  return timed(cniBinary, config, environment(command, { namespace: `t${network}`, pod, containerId }))
}

/** CPU time of the daemon so far, ms. */
function daemonCpu(): number {
  const { pid } = readProcess(node.pid)!
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS
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
