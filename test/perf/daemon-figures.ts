/** What the daemon and the CNI binary cost: time of an ADD, memory, time from start to ready. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { networkFqName } from '@kube-vrouter/daemon/model/names'
import type { Published } from '@kube-vrouter/daemon/model/objects'
import { fileName, textOf } from '@kube-vrouter/daemon/sources/directory/manifest-files'
import { missingPlugins, plugins } from '../cni/reference.ts'
import { labPaths, nodePaths } from '../lab/layout.ts'
import { readProcess } from '../lab/process.ts'
import { atMostLonger, limit, spreadOf, type Verdict } from './figures.ts'
import { Lab } from './product.ts'

const ADDS = 40

/** Wall times of the CNI binary, one call at a time and many at once, against an executable made the same way that does nothing. */
export async function measureCni(folder: string): Promise<Verdict[]> {
  const sea = buildEmptySea(mkdtempSync(join(folder, 'sea-')))
  await using lab = Lab.up(1)
  // A node that has a pod of the network already: the first one costs a VRF, a block and their publication on top.
  lab.addPod('first', 1)
  const script = join(import.meta.dirname, 'inside-node.ts')
  const bridge = missingPlugins('bridge', 'host-local') ? [] : [plugins]
  const command = ['exec', 'node/1', '--', process.execPath, script, lab.name, `${ADDS}`, sea, ...bridge]
  const lines = lab.run(command).trimEnd().split('\n')
  const times = JSON.parse(lines.at(-1)!) as Record<
    'add' | 'del' | 'daemonMs' | 'empty' | 'storm20' | 'bridgeStorm' | 'stormAdd' | 'stormEmpty' | 'rss' | 'emptyRss',
    number[]
  >
  const empty = 'an empty Node executable'
  const rss = limit('CNI ADD, resident memory', '', times.rss, 'MB', spreadOf(times.emptyRss).median + 8)
  return [
    ratio('CNI ADD, wall time, p50', empty, times.add, times.empty, 1.6),
    ratio('CNI ADD, wall time, p95', empty, [percentile(times.add, 95)], [spreadOf(times.empty).median], 2.2),
    limit('CNI ADD, the daemon’s part of it, p50', 'allocate and register', times.daemonMs, 'ms', 4.2),
    atMostLonger('CNI DEL, wall time, p50', empty, times.del, times.empty, 15),
    ...(times.bridgeStorm.length > 0
      ? [
          ratio(
            '20 CNI ADDs at once, last one done',
            'the reference bridge plugin',
            times.storm20,
            times.bridgeStorm,
            1.15,
          ),
        ]
      : []),
    ratio('110 CNI ADDs at once, last one done', '110 empty executables', times.stormAdd, times.stormEmpty, 1.3),
    { ...rss, against: empty, theirs: spreadOf(times.emptyRss) },
  ]
}

function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.ceil((sorted.length * percent) / 100) - 1)]!
}

function ratio(figure: string, against: string, ours: number[], theirs: number[], atMost: number): Verdict {
  const our = limit(figure, '', ours, 'ms', atMost)
  const their = limit(figure, '', theirs, 'ms', atMost)
  const value = our.value / their.value
  return { ...our, against, theirs: their.ours, value, isReached: value <= atMost }
}

/** A single executable that does nothing, made as the CNI binary is. */
export function buildEmptySea(folder: string): string {
  const [script, config, output] = ['empty.cjs', 'sea.json', 'empty'].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ]
  writeFileSync(script, '')
  const sea = {
    main: script,
    mainFormat: 'commonjs',
    output,
    disableExperimentalSEAWarning: true,
    execArgvExtension: 'none',
  }
  writeFileSync(config, JSON.stringify(sea))
  execFileSync(process.execPath, ['--build-sea', config], { stdio: ['ignore', 'ignore', 'inherit'] })
  return output
}

/* ---- memory ------------------------------------------------------------------------------------------------------- */

const PORTS = 500
const REMOTE_ROUTES = 20_000
const SETTLE_MS = 5000

/** Resident memory of the daemon: idle, and with 500 pods of its own and 20 000 of other nodes. */
export async function measureMemory(): Promise<Verdict[]> {
  await using lab = Lab.up(1)
  await sleep(SETTLE_MS)
  const idle = residentMb(lab)
  for (let at = 0; at < PORTS; at++) lab.addPod(`m${at}`, 1)
  const published = join(labPaths(lab.name).store, 'published')
  for (const remote of remoteObjects()) {
    writeFileSync(join(published, fileName(remote.kind, remote.object.name)), textOf(remote))
  }
  await untilRoutes(lab, REMOTE_ROUTES)
  await sleep(SETTLE_MS)
  return [
    limit('daemon RSS', 'idle', [idle], 'MB', 130),
    limit('daemon RSS', `${PORTS} pods, ${REMOTE_ROUTES} remote routes`, [residentMb(lab)], 'MB', 220),
  ]
}

function residentMb(lab: Lab): number {
  const { pid } = readProcess(nodePaths(lab.name, 1).pid)!
  const [, kb] = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))!
  return Number(kb) / 1024
}

/** A remote node and its pods, in the blocks from 10.64.64.0 on. */
function* remoteObjects(): Generator<Published> {
  const vn = networkFqName('k8s', 'perf', 'perf')
  const node = 'remote'
  yield {
    kind: 'VirtualRouter',
    object: {
      name: node,
      address: '172.30.0.250',
      encapsulations: ['MPLSoUDP'],
      vrfLabels: { [vn]: 16 },
      vhostLabel: 17,
    },
  }
  for (let at = 0; at < REMOTE_ROUTES; at++) {
    const hex = at.toString(16).padStart(4, '0')
    const address = `10.64.${64 + (at >> 8)}.${at & 255}`
    if ((at & 63) === 0) {
      yield { kind: 'IPAMBlock', object: { name: `perf-${at}`, vn, cidr: `${address}/26`, node } }
    }
    yield {
      kind: 'VirtualMachineInterface',
      object: {
        name: `remote-${at}`,
        namespace: 'perf',
        uuid: `00000000-0000-5000-8000-00000000${hex}`,
        vn,
        node,
        pod: { name: `remote-${at}`, uid: `00000000-0000-4000-8000-00000000${hex}` },
        containerId: `remote-${at}`,
        ifname: 'eth0',
        mac: `02:00:00:00:${hex.slice(0, 2)}:${hex.slice(2)}`,
        addresses: [address],
        label: 18 + (at % 4000),
      },
    }
  }
}

/** Waits until the datapath's tables hold that many host routes in one VRF. */
async function untilRoutes(lab: Lab, count: number): Promise<void> {
  const deadline = performance.now() + 300_000
  for (;;) {
    const { routes } = JSON.parse(lab.run(['exec', 'node/1', '--', 'rt', '--dump', '2', '--json'])) as {
      routes: { prefixLength: number }[]
    }
    const found = routes.filter((route) => route.prefixLength === 32).length
    if (found >= count) return
    if (performance.now() > deadline) throw new Error(`only ${found} of ${count} routes are in the kernel after 300 s`)
    await sleep(2000)
  }
}

/* ---- start -------------------------------------------------------------------------------------------------------- */

const EXISTING_PODS = 100

/** From the start of the daemon's process until it serves ADD, with 100 pods that were there before it was killed. */
export async function measureStart(runs: number): Promise<Verdict> {
  await using lab = Lab.up(1)
  for (let at = 0; at < EXISTING_PODS; at++) lab.addPod(`s${at}`, 1)
  const seconds: number[] = []
  for (let round = 0; round < runs; round++) {
    lab.run(['daemon', '1', 'kill'])
    const [, elapsedMs] = /ready after (\d+) ms/.exec(lab.run(['daemon', '1', 'start']))!
    seconds.push(Number(elapsedMs) / 1000)
  }
  return limit('start to ready', `${EXISTING_PODS} existing pods`, seconds, 's', 2)
}
