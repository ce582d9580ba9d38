/**
 * `hack/bench kubernetes`: what a real cluster asks of kube-vrouter, measured on labs of two nodes that are made for it (hack/kubelab), and compared with
 * the reference plugins where a ratio is asked for. Every sample is kept in bench/kubernetes/, by the model of the processor.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { cpus, loadavg, release } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { type Cni, Kubelab } from '../../kubelab/kubelab.ts'
import { repository } from '../../lab/layout.ts'
import { fileOfModel, processorModel } from '../models.ts'
import { busyShare } from '../quiet.ts'
import { Agent } from './remote.ts'
import { type Figure, figure, formatFigures, ratio, single } from './statistics.ts'

const usage = `Figures of real clusters, made for it and removed afterwards: two nodes, kube-apiserver, kubelet and containerd.

  hack/bench kubernetes [--only PART]… [--quick] [--out FILE]

  --only PART   start, first-packet, changes, restart, local, scale; default: all. The others' figures in FILE stay.
  --quick       a tenth of everything: to see whether it works, not to measure
  --out FILE    where the JSON goes (bench/kubernetes/ and the model of the processor)
`

const PARTS = ['start', 'first-packet', 'changes', 'restart', 'local', 'scale'] as const
type Part = (typeof PARTS)[number]

const MAX_START_RATIO = 1.15
const MAX_CHANGE_MS = 500
const MAX_LOCAL_MB = 180
const MAX_REMOTE_MB = 300
const MAX_IDLE_PERCENT = 1

interface Lab extends AsyncDisposable {
  readonly lab: Kubelab
  readonly agent: Agent
}

interface PartResult {
  readonly date: string
  readonly machine: object
  readonly figures: readonly Figure[]
}

const signals = new AbortController()
const interrupted = Promise.withResolvers<never>()
interrupted.promise.catch(() => undefined)

async function up(cni: Cni): Promise<Lab> {
  const name = `bench-${randomBytes(3).toString('hex')}`
  const lab = await Kubelab.start({ name, nodes: 2, cni, signal: signals.signal })
  try {
    const agent = await Agent.start(lab)
    return {
      lab,
      agent,
      [Symbol.asyncDispose]: async () => {
        agent[Symbol.dispose]()
        await lab[Symbol.asyncDispose]()
      },
    }
  } catch (error) {
    await lab[Symbol.asyncDispose]()
    throw error
  }
}

/** Pods one by one and in bursts, in turn with the reference plugins in a lab beside. */
async function measureStart({ agent: ours }: Lab, isQuick: boolean): Promise<Figure[]> {
  await using reference = await up('reference')
  const theirs = reference.agent
  const namespace = 'start'
  await Promise.all([ours, theirs].map((agent) => agent.ask('namespace', namespace)))
  const [singles, bursts, burst] = isQuick ? [3, 1, 4] : [40, 4, 20]
  const times = { ours: [] as number[], theirs: [] as number[] }
  const batch = 10
  // The first pod of a node or network has costs of its own, in both.
  for (const agent of [ours, theirs]) await agent.ask('startPod', namespace, 'first', 'node1')
  for (let index = 0; index < singles; index += batch) {
    const names = Array.from({ length: Math.min(batch, singles - index) }, (_, at) => `single-${index + at}`)
    for (const [at, name] of names.entries()) {
      const order = at % 2 === 0 ? (['ours', 'theirs'] as const) : (['theirs', 'ours'] as const)
      for (const side of order)
        times[side].push(await (side === 'ours' ? ours : theirs).ask('startPod', namespace, name, 'node1'))
    }
    for (const agent of [ours, theirs]) await agent.ask('removePods', namespace, names)
    await sleep(1000)
  }
  const burstTimes = { ours: [] as number[], theirs: [] as number[] }
  for (let round = 0; round < bursts; round++) {
    const names = Array.from({ length: burst }, (_, at) => `burst-${round}-${at}`)
    const order = round % 2 === 0 ? (['ours', 'theirs'] as const) : (['theirs', 'ours'] as const)
    for (const side of order) {
      const agent = side === 'ours' ? ours : theirs
      burstTimes[side].push(...(await agent.ask('startPods', namespace, names, 'node1')))
      await agent.ask('removePods', namespace, names)
      await sleep(3000)
    }
  }
  return [
    ratio('pod create to Ready, one by one, of reference bridge', times.ours, times.theirs, MAX_START_RATIO),
    ratio(
      `pod create to Ready, ${burst} at once, of reference bridge`,
      burstTimes.ours,
      burstTimes.theirs,
      MAX_START_RATIO,
    ),
  ]
}

async function measureFirstPacket({ agent }: Lab, isQuick: boolean): Promise<Figure[]> {
  const result = await agent.ask('firstPackets', isQuick ? 2 : 15, isQuick ? 3 : 40)
  const note = `of ${result.pods} pods, ${result.firstOfNetwork} of them the first of a network on their node ${result.lost.join(', ')}`
  return [
    single('first packet to a remote pod after ADD: lost', result.lost.length, 'packets', 0, note),
    figure('from the return of ADD to that packet', result.delaysMs, 'ms'),
  ]
}

async function measureChanges({ agent }: Lab, isQuick: boolean): Promise<Figure[]> {
  const { annotationMs, routerMs, resolutionMs } = await agent.ask('changes', isQuick ? 6 : 120, isQuick ? 3 : 60)
  const all = [...annotationMs, ...routerMs]
  return [
    figure('annotation or VNR change in force on all nodes, p99', all, 'ms', { by: 'p99', atMost: MAX_CHANGE_MS }),
    figure('namespace annotation (SNAT), p99', annotationMs, 'ms', { by: 'p99', atMost: MAX_CHANGE_MS }),
    figure('VirtualNetworkRouter made or removed, p99', routerMs, 'ms', { by: 'p99', atMost: MAX_CHANGE_MS }),
    figure('resolution: time between two looks at the tables, p99', resolutionMs, 'ms', { by: 'p99' }),
  ]
}

async function measureRestart({ agent }: Lab, isQuick: boolean): Promise<Figure[]> {
  const figures: Figure[] = []
  for (let round = 0; round < (isQuick ? 1 : 3); round++) {
    const result = await agent.ask('rollingRestart')
    const note = `of ${result.sent} of ${result.flows.length} flows, longest silence ${result.longestMs.toFixed(0)} ms, in ${result.seconds.toFixed(0)} s`
    figures.push(
      single(`rolling restart ${round + 1}: lost`, result.lost, 'packets', 0, note),
      single(
        `rolling restart ${round + 1}: failed starts`,
        result.failedStarts,
        'pods',
        0,
        [`of ${result.startedPods}`, ...result.reasons].join('; '),
      ),
    )
  }
  return figures
}

async function measureLocal({ agent }: Lab, isQuick: boolean): Promise<Figure[]> {
  const pods = isQuick ? 10 : 100
  const result = await agent.ask('localPods', pods, isQuick ? 10 : 60)
  return [
    single(
      `daemon RSS, ${pods} local pods`,
      result.residentMb,
      'MB',
      MAX_LOCAL_MB,
      `most ever ${result.peakMb.toFixed(0)} MB`,
    ),
    single(`idle CPU of the daemon, ${pods} local pods`, result.idlePercent, '% of a core', MAX_IDLE_PERCENT),
  ]
}

async function measureScale({ agent }: Lab, isQuick: boolean): Promise<Figure[]> {
  const [pods, nodes] = isQuick ? [2000, 100] : [50_000, 1000]
  const result = await agent.ask('scale', pods, nodes, isQuick ? 5 : 30)
  const size = `${pods} remote pods on ${nodes} nodes`
  return [
    single(
      `daemon RSS, ${size}`,
      result.residentMb,
      'MB',
      MAX_REMOTE_MB,
      `most while they came ${result.fillPeakMb.toFixed(0)} MB`,
    ),
    single(
      'the same, daemon started with them',
      result.startResidentMb,
      'MB',
      MAX_REMOTE_MB,
      `most ${result.startPeakMb.toFixed(0)} MB`,
    ),
    single(`idle CPU of the daemon, ${size}`, result.idlePercent, '% of a core', MAX_IDLE_PERCENT),
    figure('one change in the kernel at that size, p99', result.changeMs, 'ms', { by: 'p99', atMost: MAX_CHANGE_MS }),
    figure('resolution of that, p99', result.resolutionMs, 'ms', { by: 'p99' }),
    single(
      'event loop held up while the daemon starts, at most',
      result.startBlockMs,
      'ms',
      undefined,
      `${result.servedBlockMs.toFixed(0)} ms once it was ready`,
    ),
    single('event loop held up while the cluster grew, at most', result.fillBlockMs, 'ms'),
    single(
      'from a kill to ready',
      result.startSeconds,
      's',
      undefined,
      `${result.startCpuSeconds.toFixed(1)} s of CPU`,
    ),
    single(
      `CPU of the daemon at ${result.churnPerSecond.toFixed(0)} interface changes/s`,
      result.churnPercent,
      '% of a core',
      undefined,
      `event loop held up for ${result.churnBlockMs.toFixed(0)} ms at most`,
    ),
    single(
      'CPU of the daemon for the whole growth',
      result.fillCpuSeconds,
      's',
      undefined,
      `in ${result.writeSeconds.toFixed(0)} s`,
    ),
  ]
}

const MEASURES: Readonly<Record<Part, (lab: Lab, isQuick: boolean) => Promise<Figure[]>>> = {
  start: measureStart,
  'first-packet': measureFirstPacket,
  changes: measureChanges,
  restart: measureRestart,
  local: measureLocal,
  scale: measureScale,
}

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', multiple: true },
      quick: { type: 'boolean', default: false },
      out: { type: 'string', default: fileOfModel(join(repository, 'bench/kubernetes')) },
      help: { type: 'boolean' },
    },
  })
  if (values.help) {
    process.stdout.write(usage)
    return 0
  }
  const wanted = values.only ?? PARTS
  for (const part of wanted) {
    if (!(PARTS as readonly string[]).includes(part))
      throw new Error(`--only: there is no part '${part}': ${PARTS.join(', ')}`)
  }
  const out = resolve(values.out)
  const results: Partial<Record<Part, PartResult>> = existsSync(out) ? JSON.parse(readFileSync(out, 'utf8')) : {}
  await using lab = await up('kube-vrouter')
  const measured: Figure[] = []
  for (const part of PARTS.filter((one) => wanted.includes(one))) {
    const busy = await busyShare(3000)
    const machine = {
      kernel: release(),
      cpus: cpus().length,
      model: processorModel(),
      busyBefore: busy,
      loadavg: loadavg(),
    }
    console.log(
      `${new Date().toISOString()} ${part}: the machine is ${Math.round(100 * busy)} % busy, the idle lab included`,
    )
    const figures = await Promise.race([MEASURES[part](lab, values.quick), interrupted.promise])
    console.log(formatFigures(figures))
    measured.push(...figures)
    results[part] = { date: new Date().toISOString(), machine, figures }
    mkdirSync(dirname(out), { recursive: true })
    writeFileSync(out, `${JSON.stringify(results, undefined, 1)}\n`)
  }
  const missed = measured.filter(({ isReached }) => isReached === false)
  console.log(missed.length === 0 ? 'all reached' : `missed: ${missed.map((one) => one.figure).join('; ')}`)
  return missed.length === 0 ? 0 : 1
}

// The first interrupt ends what is under way and removes the labs.
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    signals.abort(new Error(signal))
    interrupted.reject(new Error(signal))
  })

process.exitCode = await main()
