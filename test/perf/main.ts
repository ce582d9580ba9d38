/**
 * `hack/bench`: measures ours and its peers in turn, in one run on one machine, and judges the ratios of the medians. Figures of different
 * machines, or of different days, are never compared.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { constants, cpus, loadavg, release, setPriority, tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { repository } from '../lab/layout.ts'
import { measureCni, measureMemory, measureStart } from './daemon-figures.ts'
import { COMPARISONS, compare, formatTable, OURS, type Series, spreadOf, type Verdict } from './figures.ts'
import { measureFloods } from './flood.ts'
import { acrossModels, fileOfModel, formatModels, processorModel, readKept } from './models.ts'
import { bareHost, bareTunnel, compilePeer, redirectPeer, routedVeth, vxlanBridge } from './peers.ts'
import { Lab, productTopology } from './product.ts'
import { busyShare, untilQuiet } from './quiet.ts'
import type { Topology } from './topology.ts'
import {
  checkReachable,
  compileTools,
  type Measure,
  measure,
  PINNINGS,
  prepareClient,
  type Tools,
  UNITS,
} from './traffic.ts'

const usage = `Figures of the datapath and the daemon against other ways to build the same, all measured here and now.

  hack/bench [--only PART]… [--runs N] [--seconds S] [--patience S] [--out FILE]
  hack/bench --models

  --only PART   traffic, add, memory, start, flood (new connections of others under one), peers (the peers alone, without ours); default: the first four
  --runs N      runs of each figure, taken in turn (5)
  --seconds S   length of a run (3)
  --patience S  how long a run waits for a moment in which the machine does nothing else (3)
  --out FILE    where the JSON goes (bench/results/ and the model of the processor)
  --models      measures nothing: what of the kept results is reached on every model of processor
`

const PARTS = ['traffic', 'add', 'memory', 'start', 'flood', 'peers'] as const
const KEPT = join(repository, 'bench/results')
type Part = (typeof PARTS)[number]

interface Plan {
  readonly parts: ReadonlySet<Part>
  readonly runs: number
  readonly seconds: number
  /** Seconds that a run may wait for quiet. */
  readonly patience: number
  readonly out: string
}

function readPlan(): Plan | 'help' | 'models' {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', multiple: true },
      runs: { type: 'string', default: '5' },
      seconds: { type: 'string', default: '3' },
      patience: { type: 'string', default: '3' },
      out: { type: 'string', default: fileOfModel(KEPT) },
      models: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  })
  if (values.help) return 'help'
  if (values.models) return 'models'
  const parts = values.only ?? ['traffic', 'add', 'memory', 'start']
  for (const part of parts) {
    if (!(PARTS as readonly string[]).includes(part))
      throw new Error(`--only: there is no part '${part}': ${PARTS.join(', ')}`)
  }
  const [runs, seconds, patience] = [Number(values.runs), Number(values.seconds), Number(values.patience)]
  if (!(Number.isInteger(runs) && runs > 0 && Number.isInteger(seconds) && seconds > 0)) {
    throw new Error('--runs and --seconds are whole numbers above 0')
  }
  if (!(patience >= 0)) throw new Error('--patience is a number of seconds')
  return { parts: new Set(parts as Part[]), runs, seconds, patience, out: resolve(values.out) }
}

async function main(): Promise<number> {
  const plan = readPlan()
  if (plan === 'help') {
    process.stdout.write(usage)
    return 0
  }
  if (plan === 'models') return showModels()
  // Above whatever else runs here; what is measured inherits it.
  setPriority(constants.priority.PRIORITY_HIGHEST)
  using undo = new DisposableStack()
  const folder = mkdtempSync(join(tmpdir(), 'kv-bench-'))
  undo.defer(() => rmSync(folder, { recursive: true }))
  const busy = await busyShare(1000)
  if (busy > 0.15)
    console.log(`this machine is ${Math.round(busy * 100)} % busy with other things: expect wide spreads`)

  const series: Series[] = []
  const verdicts: Verdict[] = []
  if (plan.parts.has('traffic') || plan.parts.has('peers')) {
    series.push(...(await measureTraffic(plan, compileTools(folder), folder)))
    verdicts.push(...compare(series, (what) => UNITS[what]))
  }
  if (plan.parts.has('add')) verdicts.push(...(await measureCni(folder)))
  if (plan.parts.has('memory')) verdicts.push(...(await measureMemory()))
  if (plan.parts.has('start')) verdicts.push(await measureStart(plan.runs))
  if (plan.parts.has('flood')) verdicts.push(...(await measureFloods(folder)))

  if (plan.parts.has('peers')) console.log(formatSeries(series))
  if (verdicts.length > 0) console.log(formatTable(verdicts))
  const machine = { kernel: release(), cpus: cpus().length, model: processorModel(), busy, loadavg: loadavg() }
  mkdirSync(dirname(plan.out), { recursive: true })
  writeFileSync(
    plan.out,
    `${JSON.stringify({ date: new Date().toISOString(), machine, plan: { ...plan, parts: [...plan.parts], out: undefined }, verdicts, series }, undefined, 2)}\n`,
  )
  const wanted = verdicts.filter(({ target }) => target !== '')
  const missed = wanted.filter((verdict) => !verdict.isReached)
  console.log(`${wanted.length - missed.length} of ${wanted.length} reached; written to ${plan.out}`)
  return missed.length === 0 ? 0 : 1
}

/** What of the kept results is reached on every model. */
function showModels(): number {
  const kept = readKept(KEPT)
  const across = acrossModels(kept)
  const missed = across.filter(({ isReached }) => !isReached)
  console.log(formatModels(kept))
  console.log(`${across.length - missed.length} of ${across.length} reached on all of ${kept.length} models`)
  return missed.length === 0 ? 0 : 1
}

/** `folder`: where the peers' programs are made. */
async function measureTraffic(plan: Plan, tools: Tools, folder: string): Promise<Series[]> {
  await using undo = new AsyncDisposableStack()
  const topologies: Topology[] = [
    routedVeth(),
    redirectPeer(compilePeer('redirect-peer', folder)),
    vxlanBridge(),
    bareTunnel(compilePeer('bare-tunnel', folder)),
    bareHost(),
  ]
  for (const topology of topologies) undo.use(topology)
  if (plan.parts.has('traffic')) topologies.push(await productTopology(undo.use(Lab.up(2))))
  for (const { sameNode, crossNode } of topologies) {
    for (const pair of [sameNode, crossNode].filter((candidate) => candidate !== undefined)) {
      checkReachable(pair)
      prepareClient(pair.client)
    }
  }
  const wanted = topologies.flatMap((topology) => seriesOf(topology, plan))
  for (let round = 0; round < plan.runs; round++) {
    // In turn, so that whatever else happens on the machine meets all of them alike.
    for (const one of wanted) {
      await untilQuiet(plan.patience)
      one.runs.push(await measure(tools, one.pair, one.measure, one.pin, plan.seconds))
    }
    console.log(`round ${round + 1} of ${plan.runs} done`)
  }
  return wanted.map(({ topology, place, measure: what, pinning, runs }) => ({
    topology,
    place,
    measure: what,
    pinning,
    runs,
  }))
}

/** What a topology is measured for: only what some comparison asks for. */
function seriesOf(topology: Topology, plan: Plan) {
  return (['sameNode', 'crossNode'] as const).flatMap((place) => {
    const pair = topology[place]
    if (!pair) return []
    const measures = (['rr', 'crr', 'stream'] as Measure[]).filter((what) =>
      COMPARISONS.some(
        (one) =>
          one.place === place && one.measure === what && (topology.name === OURS || one.against === topology.name),
      ),
    )
    const all = plan.parts.has('peers') ? (['rr', 'crr', 'stream'] as Measure[]) : measures
    return all.flatMap((what) =>
      PINNINGS.map((pin) => ({
        topology: topology.name,
        place,
        measure: what,
        pinning: pin.name,
        pin,
        pair,
        runs: [] as number[],
      })),
    )
  })
}

function formatSeries(series: readonly Series[]): string {
  return series
    .map(({ topology, place, measure: what, pinning, runs }) => {
      const { median, least, most } = spreadOf(runs)
      const [middle, low, high] = [median, least, most].map((value) => value.toFixed(value < 100 ? 2 : 0))
      return `${topology.padEnd(24)}${place.padEnd(11)}${what.padEnd(8)}${pinning.padEnd(10)}${middle} ${UNITS[what]} (${low}-${high})`
    })
    .join('\n')
}

process.exitCode = await main()
