/**
 * `hack/bench networks`: what many networks cost a node. A lab of one node, and a folder with a network and a namespace for each tenant; all networks have the same
 * addresses. At each size: the first pod of a network that is new here and another pod of one that is here, ADD and DEL by the CNI binary in turn with an empty
 * executable, what the daemon's processor time and memory are, how long a round takes, how long a start, and how fast packets go.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { loadavg, release, tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { nodePaths, repository } from '../../lab/layout.ts'
import { readProcess } from '../../lab/process.ts'
import { buildEmptySea } from '../daemon-figures.ts'
import { spreadOf } from '../figures.ts'
import { fileOfModel, processorModel } from '../models.ts'
import { Lab } from '../product.ts'
import { compileTools, measure, PINNINGS, prepareClient } from '../traffic.ts'
import { HEALTH_PORT } from './rounds.ts'

const usage = `Figures of a node with many networks, a pod in each.

  hack/bench networks [--sizes N,N…] [--cluster N] [--out FILE]

  --sizes N,N…  networks with a pod on the node at which it is measured (10,100,500)
  --cluster N   networks that the folder defines (4000)
  --out FILE    where the JSON goes (bench/networks/ and the model of the processor)
`

const STARTS = 3
const SECONDS = 2
const RUNS = 3

interface Sample {
  readonly networks: number
  /** ms. */
  readonly empty: number
  readonly firstAdd: number
  readonly secondAdd: number
  /** Processor time of the daemon for a pod that comes and goes, ms. */
  readonly firstCpu: number
  readonly secondCpu: number
  readonly roundMs: number
  readonly rssMb: number
  readonly readyS: number
  readonly rr: number
  readonly crr: number
}

function manifest(networks: number): string {
  return Array.from(
    { length: networks },
    (_, at) => `apiVersion: vrouter.dev/v1alpha1
kind: VirtualNetwork
metadata: { name: net, namespace: t${at} }
spec: { subnets: [{ cidr: 10.64.0.0/24 }] }
---
apiVersion: v1
kind: Namespace
metadata: { name: t${at}, annotations: { vrouter.dev/network: net } }
`,
  ).join('---\n')
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      sizes: { type: 'string', default: '10,100,500' },
      cluster: { type: 'string', default: '4000' },
      out: { type: 'string', default: fileOfModel(join(repository, 'bench/networks')) },
      help: { type: 'boolean' },
    },
  })
  if (values.help) {
    process.stdout.write(usage)
    return 0
  }
  const sizes = values.sizes.split(',').map(Number)
  const cluster = Number(values.cluster)
  if (![...sizes, cluster].every((size) => Number.isInteger(size) && size > 0) || Math.max(...sizes) >= cluster)
    throw new Error('--sizes and --cluster are whole numbers above 0, and the cluster has more networks than the node')
  const folder = mkdtempSync(join(tmpdir(), 'kv-networks-'))
  using undo = new DisposableStack()
  undo.defer(() => rmSync(folder, { recursive: true }))
  const sea = buildEmptySea(mkdtempSync(join(folder, 'sea-')))
  const tools = compileTools(folder)
  // The daemon counts its rounds itself.
  process.env['VROUTER_HEALTH_PORT'] = `${HEALTH_PORT}`
  await using lab = Lab.up(1)
  lab.run(['apply', '-f', '-'], manifest(cluster))
  const inside = (...words: string[]) => {
    const script = join(import.meta.dirname, 'on-node.ts')
    const output = lab.run(['exec', 'node/1', '--', process.execPath, script, lab.name, ...words])
    return JSON.parse(output.trimEnd().split('\n').at(-1)!) as Record<string, number[]>
  }
  // Two pods of one network that talk, from the smallest size to the largest.
  const [client, server] = [
    await lab.endpoint('pod/a', lab.addPod('a', 1)),
    await lab.endpoint('pod/b', lab.addPod('b', 1)),
  ]
  prepareClient(client)
  const samples: Sample[] = []
  let filled = 0
  for (const networks of sizes) {
    inside('fill', `${filled}`, `${networks}`)
    filled = networks
    const figures = inside('measure', `${networks}`, sea)
    const middle = (name: string) => spreadOf(figures[name]!).median
    const traffic = async (what: 'rr' | 'crr') => {
      const runs: number[] = []
      for (let run = 0; run < RUNS; run++)
        runs.push(await measure(tools, { client, server }, what, PINNINGS[1]!, SECONDS))
      return spreadOf(runs).median
    }
    const sample = {
      networks,
      empty: middle('empty'),
      firstAdd: middle('first'),
      secondAdd: middle('second'),
      firstCpu: middle('firstCpu'),
      secondCpu: middle('secondCpu'),
      roundMs: middle('roundMs'),
      rssMb: residentMb(lab),
      rr: await traffic('rr'),
      crr: await traffic('crr'),
      readyS: startToReady(lab),
    }
    samples.push(sample)
    console.log(JSON.stringify(sample))
  }
  const machine = { kernel: release(), model: processorModel(), loadavg: loadavg() }
  const out = resolve(values.out)
  mkdirSync(dirname(out), { recursive: true })
  writeFileSync(out, `${JSON.stringify({ date: new Date().toISOString(), machine, cluster, samples }, undefined, 1)}\n`)
  console.log(`written to ${out}`)
  return 0
}

function residentMb(lab: Lab): number {
  const { pid } = readProcess(nodePaths(lab.name, 1).pid)!
  const [, kb] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))!
  return Math.round(Number(kb) / 1024)
}

/** Seconds, after a kill. */
function startToReady(lab: Lab): number {
  const seconds = Array.from({ length: STARTS }, () => {
    lab.run(['daemon', '1', 'kill'])
    return Number(/ready after (\d+) ms/.exec(lab.run(['daemon', '1', 'start']))![1]) / 1000
  })
  return spreadOf(seconds).median
}

process.exitCode = await main()
