/**
 * `hack/bench`: measures ours and its peers in turn, in one run on one machine, and judges the ratios of the medians. Figures of different
 * machines, or of different days, are never compared.
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { constants, cpus, loadavg, release, setPriority, tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { measureCni, measureMemory, measureStart } from './daemon-figures.ts'
import { COMPARISONS, compare, formatTable, OURS, type Series, spreadOf, type Verdict } from './figures.ts'
import { measureFloods } from './flood.ts'
import { acrossModels, formatModels, processorModel, readKept } from './models.ts'
import { bareHost, bareTunnel, compilePeer, redirectPeer, routedVeth, vxlanBridge } from './peers.ts'
import { KEPT, type Plan, readPlan, usage } from './plan.ts'
import { Lab, productTopology } from './product.ts'
import { busyShare, untilQuiet } from './quiet.ts'
import { measureServices } from './services.ts'
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

async function main(): Promise<number> {
  const plan = readPlan(process.argv.slice(2))
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
  if (plan.parts.has('services')) verdicts.push(...(await measureServices(plan, compileTools(folder))))
  if (plan.parts.has('flood')) verdicts.push(...(await measureFloods(folder)))

  if (plan.parts.has('peers')) console.log(formatSeries(series))
  if (verdicts.length > 0) console.log(formatTable(verdicts))
  if (plan.out !== undefined) {
    const machine = { kernel: release(), cpus: cpus().length, model: processorModel(), busy, loadavg: loadavg() }
    mkdirSync(dirname(plan.out), { recursive: true })
    writeFileSync(
      plan.out,
      `${JSON.stringify({ date: new Date().toISOString(), machine, plan: { ...plan, parts: [...plan.parts], out: undefined }, verdicts, series }, undefined, 2)}\n`,
    )
  }
  const wanted = verdicts.filter(({ target }) => target !== '')
  const missed = wanted.filter((verdict) => !verdict.isReached)
  console.log(
    `${wanted.length - missed.length} of ${wanted.length} reached; ${plan.out === undefined ? 'not written: --out says where' : `written to ${plan.out}`}`,
  )
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
