/**
 * The part of hack/bench that runs inside a lab's mount namespace and on its first node: `hack/lab exec node/1 -- node …/inside-node.ts LAB COUNT SEA [BRIDGE]`.
 * Adds COUNT pods with the CNI binary one by one, each after a run of the empty executable SEA, and deletes them again; then many of them at the same time; and
 * prints all wall times (ms) and the largest resident sizes (MB). BRIDGE is the folder of the reference plugins, where there is one.
 */
import { spawn, spawnSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import type { AllocateReply, Reply, Request } from '@kube-vrouter/daemon/port-api/messages'
import { NetworkNamespace } from '@kube-vrouter/linux/namespace'
import { RouteSocket } from '@kube-vrouter/linux/netlink/route'
import { nodePaths } from '../lab/layout.ts'
import { cniBinary } from '../lab/node.ts'
import { run } from '../lab/shell.ts'
import { configOf, container, environment, timed } from './cni-calls.ts'

const [lab = '', countText = '', emptySea = '', bridge = ''] = process.argv.slice(2)
const STORM = 110
const node = nodePaths(lab, 1)

const config = configOf(lab)

/** For a pod of the network that all of them have. */
const forPod = (command: 'ADD' | 'DEL', pod: string, containerId: string) =>
  environment(command, { namespace: 'perf', pod, containerId })

/** ms that the daemon takes for its part of an ADD, as the CNI binary sees it: allocate and register, over one connection. */
async function daemonTime(pod: string): Promise<number> {
  const socket = connect(node.socket)
  using links = RouteSocket.open()
  using namespace = NetworkNamespace.open(`/run/netns/${pod}`)
  const key = { containerId: container(), ifname: 'eth0' }
  const netns = `/run/netns/${pod}`
  const podName = { namespace: 'perf', name: pod, uid: '' }
  try {
    const allocated = await asked(socket, { op: 'allocate', ...key, netns, network: 'kube-vrouter', pod: podName })
    const { tap, tapMac, mac, mtu } = allocated.reply as AllocateReply
    const peer = { name: key.ifname, mac, mtu, netnsFd: namespace.fd }
    const { index: ifindex } = links.createVeth({ name: tap, mac: tapMac, mtu, peer })
    const registered = await asked(socket, { op: 'register', ...key, ifindex })
    links.deleteLink(ifindex)
    await asked(socket, { op: 'release', ...key })
    return allocated.ms + registered.ms
  } finally {
    socket.destroy()
  }
}

/** The answer, and how long it took. One request at a time. */
async function asked(socket: Socket, request: Request): Promise<{ readonly reply: Reply; readonly ms: number }> {
  const { promise, resolve } = Promise.withResolvers<Reply>()
  let text = ''
  const take = (chunk: Buffer): void => {
    text += chunk.toString('utf8')
    if (text.endsWith('\n')) resolve(JSON.parse(text) as Reply)
  }
  socket.on('data', take)
  const start = performance.now()
  socket.write(`${JSON.stringify(request)}\n`)
  const reply = await promise
  const ms = performance.now() - start
  socket.off('data', take)
  if (!reply.ok) throw new Error(`the daemon refuses ${request.op}: ${reply.message}`)
  return { reply, ms }
}

const add: number[] = []
const daemonMs: number[] = []
const del: number[] = []
const empty: number[] = []
const bridgeConfig = JSON.stringify({
  ...{ cniVersion: '1.0.0', name: 'bench', type: 'bridge', bridge: 'kvbench0' },
  ipam: { type: 'host-local', ranges: [[{ subnet: '10.77.0.0/16' }]], dataDir: `/tmp/kv-bench-ipam-${process.pid}` },
})
// The kernel takes namespaces apart in the background, with its network lock held: that comes after all measuring.
const single = Array.from({ length: Number(countText) }, (_, i) => `add-${i}`)
for (const pod of single) run(['ip', 'netns', 'add', pod])
try {
  for (const pod of single) {
    const containerId = container()
    empty.push(timed(emptySea, '', { PATH: process.env['PATH'] }))
    add.push(timed(cniBinary, config, forPod('ADD', pod, containerId)))
    del.push(timed(cniBinary, config, forPod('DEL', pod, containerId)))
    daemonMs.push(await daemonTime(pod))
  }
} finally {
  for (const pod of single) run(['ip', 'netns', 'del', pod])
}
// ---- all at the same time

/** ms until the last one has ended. */
async function together(programs: readonly (() => Promise<number | null>)[]): Promise<number> {
  const start = performance.now()
  const codes = await Promise.all(programs.map((program) => program()))
  const failed = codes.filter((code) => code !== 0).length
  if (failed > 0) throw new Error(`${failed} of ${codes.length} failed`)
  return performance.now() - start
}

function started(program: string, input: string, env: NodeJS.ProcessEnv): () => Promise<number | null> {
  return () => {
    const child = spawn(program, { env, stdio: ['pipe', 'ignore', 'ignore'] })
    child.stdin.on('error', () => undefined)
    child.stdin.end(input)
    return new Promise((resolve) => child.on('close', resolve))
  }
}

const stormAdd: number[] = []
const stormEmpty: number[] = []
const pods = Array.from({ length: STORM }, (_, i) => ({ pod: `storm-${i}`, containerId: container() }))
for (const { pod } of pods) run(['ip', 'netns', 'add', pod])
try {
  for (let round = 0; round < 3; round++) {
    const calls = (command: 'ADD' | 'DEL') =>
      pods.map(({ pod, containerId }) => started(cniBinary, config, forPod(command, pod, containerId)))
    stormEmpty.push(await together(pods.map(() => started(emptySea, '', { PATH: process.env['PATH'] }))))
    stormAdd.push(await together(calls('ADD')))
    await together(calls('DEL'))
  }
} finally {
  for (const { pod } of pods) run(['ip', 'netns', 'del', pod])
}

// ---- twenty at the same time, in turn with the reference plugin

const storm20: number[] = []
const bridgeStorm: number[] = []
const twenty = Array.from({ length: 20 }, (_, i) => ({ pod: `twenty-${i}`, containerId: container() }))
for (const { pod } of twenty) run(['ip', 'netns', 'add', pod])
try {
  for (let round = 0; round < 5; round++) {
    const ours = (command: 'ADD' | 'DEL') =>
      twenty.map(({ pod, containerId }) => started(cniBinary, config, forPod(command, pod, containerId)))
    const theirs = (command: 'ADD' | 'DEL') =>
      twenty.map(({ pod, containerId }) =>
        started(`${bridge}/bridge`, bridgeConfig, {
          ...forPod(command, pod, containerId),
          CNI_PATH: bridge,
          CNI_IFNAME: 'eth1',
        }),
      )
    storm20.push(await together(ours('ADD')))
    await together(ours('DEL'))
    if (bridge === '') continue
    bridgeStorm.push(await together(theirs('ADD')))
    await together(theirs('DEL'))
  }
} finally {
  for (const { pod } of twenty) run(['ip', 'netns', 'del', pod])
  if (bridge !== '') {
    run(['ip', 'link', 'del', 'kvbench0'])
    rmSync(`/tmp/kv-bench-ipam-${process.pid}`, { recursive: true, force: true })
  }
}

// ---- memory

/** Largest resident size, MB: a shell says it of the one child that it had. */
function peakMb(program: string, input: string, env: NodeJS.ProcessEnv): number {
  const script =
    'import json, resource, subprocess, sys\nsubprocess.run(sys.argv[1], input=sys.stdin.buffer.read(), stdout=subprocess.DEVNULL)\nprint(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)'
  const { stdout } = spawnSync('python3', ['-c', script, program], { input, env, encoding: 'utf8' })
  return Number(stdout) / 1024
}

const rss: number[] = []
const emptyRss: number[] = []
for (let at = 0; at < 5; at++) {
  const pod = `rss-${at}`
  const containerId = container()
  run(['ip', 'netns', 'add', pod])
  try {
    emptyRss.push(peakMb(emptySea, '', { PATH: process.env['PATH'] }))
    rss.push(peakMb(cniBinary, config, forPod('ADD', pod, containerId)))
    timed(cniBinary, config, forPod('DEL', pod, containerId))
  } finally {
    run(['ip', 'netns', 'del', pod])
  }
}
console.log(JSON.stringify({ add, del, daemonMs, empty, storm20, bridgeStorm, stormAdd, stormEmpty, rss, emptyRss }))
