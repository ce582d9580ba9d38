/**
 * What a flood of new flows costs everybody else: new connections of other pods and of the node, real TCP at a steady rate, before it, all the time while
 * it lasts, and for half a minute afterwards. A SYN that is dropped holds its client up for a second, which shows. And what pods can make by themselves as
 * fast as they can: nobody refuses them.
 */
import { execFileSync, spawn } from 'node:child_process'
import { join } from 'node:path'
import { nodePaths, repository } from '../lab/layout.ts'
import { limit, spreadOf, type Verdict } from './figures.ts'
import { Lab } from './product.ts'
import type { Endpoint } from './topology.ts'
import { compileTools, inside, prepareClient, startServer, stop, type Tools } from './traffic.ts'

/** Connections per second of each client that looks on. */
const RATE = 200
const BEFORE_S = 5
const FLOOD_S = 10
const AFTER_S = 30
/** Of the rate without a flood. */
const WANTED = 0.95
const CLIENTS = 4
const OWN_S = 8

interface Flood {
  readonly name: string
  readonly from: Endpoint
  readonly source: string
  readonly destination: string
  /** New flows per second. */
  readonly rate: number
}

export async function measureFloods(folder: string): Promise<Verdict[]> {
  const tools = compileTools(folder)
  const flooder = join(folder, 'flood')
  execFileSync('clang', ['-O2', '-Wall', '-o', flooder, join(repository, 'test/functional/flood.c')])
  await using lab = Lab.up(2)
  const pod = async (name: string, node: number) => await lab.endpoint(`pod/${name}`, lab.addPod(name, node))
  const attacker = await pod('attacker', 1)
  const victim = await pod('victim', 2)
  const [client, near, far] = [await pod('client', 1), await pod('near', 1), await pod('far', 2)]
  const sink = await pod('sink', 1)
  const node = await lab.endpoint('node/1', nodePaths(lab.name, 1).address4)
  for (const one of [client, attacker]) prepareClient(one)
  const pairs = [
    { name: 'pod to pod, same node', from: client, to: near },
    { name: 'pod to pod, other node', from: client, to: far },
    { name: 'node to pod', from: node, to: near },
  ]
  const floods: readonly Flood[] = [
    { name: 'a pod’s 30 000/s', from: attacker, source: attacker.address, destination: victim.address, rate: 30_000 },
    { name: 'the node’s 50 000/s', from: node, source: node.address, destination: sink.address, rate: 50_000 },
  ]
  const verdicts: Verdict[] = []
  for (const flood of floods) verdicts.push(...(await measureFlood(tools, flooder, flood, pairs)))
  verdicts.push(await measureOwn(tools, lab, client, far))
  return verdicts
}

interface Watched {
  readonly name: string
  readonly from: Endpoint
  readonly to: Endpoint
}

let nextPort = 7000

async function measureFlood(
  tools: Tools,
  flooder: string,
  flood: Flood,
  pairs: readonly Watched[],
): Promise<Verdict[]> {
  const before = await connectionRates(tools, pairs, BEFORE_S)
  const attack = finished(
    inside(flood.from, undefined, [
      flooder,
      'syn',
      flood.source,
      flood.destination,
      '0',
      `${FLOOD_S}`,
      `${flood.rate}`,
      '0',
    ]),
  )
  const during = await connectionRates(tools, pairs, FLOOD_S - 1)
  const sent = Number(await attack) / FLOOD_S
  console.log(`${flood.name}: ${Math.round(sent)} new flows per second were sent`)
  const after = await connectionRates(tools, pairs, AFTER_S)
  return pairs.flatMap(({ name }, at) =>
    (
      [
        ['while it lasts', during],
        [`${AFTER_S} s after it`, after],
      ] as const
    ).map(([when, rates]) => {
      const value = rates[at]! / before[at]!
      return {
        figure: `new connections under ${flood.name}`,
        against: 'without it',
        variant: `${name}, ${when}`,
        ours: spreadOf([rates[at]!]),
        theirs: spreadOf([before[at]!]),
        unit: '/s',
        value,
        target: `>= ${WANTED}`,
        isReached: value >= WANTED,
      }
    }),
  )
}

/** Connections per second of each pair, all at the same time. */
async function connectionRates(tools: Tools, pairs: readonly Watched[], seconds: number): Promise<number[]> {
  return await Promise.all(pairs.map(({ from, to }) => connections(tools, from, to, seconds, RATE)))
}

async function connections(tools: Tools, from: Endpoint, to: Endpoint, seconds: number, rate: number): Promise<number> {
  const port = nextPort++
  const server = await startServer(to, { name: '' }, [tools.netbench, 'server', `${port}`, `${seconds + 30}`], 'ready')
  try {
    const client = [tools.netbench, 'crr', to.address, `${port}`, `${seconds}`, `${rate}`]
    const result = JSON.parse(await finished(inside(from, undefined, client))) as {
      transactions: number
      seconds: number
    }
    return result.transactions / result.seconds
  } finally {
    await stop(server)
  }
}

/** Several clients of one pod connect, ask and close as fast as they can: how many a second, and how many new flows were refused. */
async function measureOwn(tools: Tools, lab: Lab, from: Endpoint, to: Endpoint): Promise<Verdict> {
  const before = refusals(lab)
  const rates = await Promise.all(Array.from({ length: CLIENTS }, () => connections(tools, from, to, OWN_S, 0)))
  const total = rates.reduce((sum, rate) => sum + rate, 0)
  console.log(`one pod makes ${Math.round(total)} connections per second`)
  return limit(
    'refused new connections',
    `of one pod that makes ${Math.round(total)}/s`,
    [refusals(lab) - before],
    '',
    0,
  )
}

function refusals(lab: Lab): number {
  return [1, 2].reduce((sum, node) => {
    const text = lab.run(['exec', `node/${node}`, '--', 'dropstats'])
    return sum + Number(/New Flow Drops\s+(\d+)/.exec(text)?.[1] ?? 0)
  }, 0)
}

function finished([program, ...args]: string[]): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const child = spawn(program!, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let text = ''
  child.stdout.on('data', (data: Buffer) => (text += data))
  child.stderr.on('data', (data: Buffer) => (text += data))
  child.once('error', reject)
  child.once('close', (code) => (code === 0 ? resolve(text) : reject(new Error(`${args.join(' ')}: ${text}`))))
  return promise
}
