/**
 * `hack/lab demo`: two nodes, two tenants with the same subnet, and every claim of the product checked before your eyes.
 * Each step prints a check mark or a failure with what was seen; any failure makes the exit code 1.
 */
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { isatty } from 'node:tty'
import { fabricNetns } from './fabric.ts'
import { down, up } from './lab.ts'
import { labPaths, nodePaths, podNetns, repository, underlay } from './layout.ts'
import { inNode, nodeEnvironment, startDaemon, stopDaemon, waitUntilReady } from './node.ts'
import { addPod, addressOf, deletePod, listPods, type Pod } from './pod.ts'
import { attempt, run } from './shell.ts'
import { apply } from './store.ts'

// Not process.stdout.isTTY: that makes a pipe non-blocking, for whatever program shares it.
const colour = isatty(1)
const paint = (code: string, text: string): string => (colour ? `\x1b[${code}m${text}\x1b[0m` : text)
const ok = paint('32;1', '✓')
const bad = paint('31;1', '✗')

class Story {
  passed = 0
  failed = 0

  chapter(title: string): void {
    console.log(`\n${paint('1', title)}`)
  }

  /** One claim: `check` returns what was seen; it throws, or returns undefined, when the claim is false. */
  async claim(text: string, check: () => string | undefined | Promise<string | undefined>): Promise<void> {
    let seen: string | undefined
    let holds = false
    try {
      seen = await check()
      holds = seen !== undefined
    } catch (error) {
      seen = error instanceof Error ? error.message : String(error)
    }
    if (holds) this.passed++
    else this.failed++
    console.log(`  ${holds ? ok : bad} ${text}${seen === undefined || seen === '' ? '' : paint('2', `  ${seen}`)}`)
  }

  show(command: string, output: string, lines = 16): void {
    console.log(paint('36', `    $ ${command}`))
    const all = output.trimEnd().split('\n')
    for (const line of all.slice(0, lines)) console.log(`      ${line}`)
    if (all.length > lines) console.log(paint('2', `      … ${all.length - lines} more lines`))
  }
}

function inPod(pod: Pod, command: readonly string[]): string[] {
  return ['nsenter', `--net=${podNetns(pod.name)}`, ...command]
}

function ping(from: Pod, address: string, count = 2): { ok: boolean; summary: string } {
  const family = address.includes(':') ? '-6' : '-4'
  const outcome = attempt(inPod(from, ['ping', family, '-n', '-c', String(count), '-i', '0.1', '-W', '1', address]))
  const rtt = /= [\d.]+\/([\d.]+)\//.exec(outcome.stdout)?.[1]
  return { ok: outcome.status === 0, summary: outcome.status === 0 ? `${rtt} ms` : 'no answer' }
}

/** Packets that came in at the pod's interface since it was made. */
function received(pod: Pod): number {
  const links = JSON.parse(run(inPod(pod, ['ip', '-s', '-j', 'link', 'show', pod.ifname]))) as {
    stats64: { rx: { packets: number } }
  }[]
  return links[0]!.stats64.rx.packets
}

function mustPing(from: Pod, address: string): string | undefined {
  const answer = ping(from, address)
  return answer.ok ? `${address}: ${answer.summary}` : undefined
}

/** The first MPLSoUDP packet on the wire towards node 2, taken apart. */
async function captureLabel(from: Pod, to: string): Promise<string | undefined> {
  const capture = spawn(
    'nsenter',
    [
      `--net=${fabricNetns}`,
      'tcpdump',
      '-i',
      'br0',
      '-c',
      '1',
      '-w',
      '-',
      '-U',
      '--immediate-mode',
      'udp',
      'port',
      '6635',
    ],
    {
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  const chunks: Buffer[] = []
  capture.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
  await new Promise<void>((ready) => {
    capture.stderr.on('data', (text: Buffer) => {
      if (text.toString().includes('listening')) ready()
    })
    capture.on('exit', () => ready())
  })
  const ended = new Promise<void>((done) => capture.on('exit', () => done()))
  const stop = setTimeout(() => capture.kill('SIGINT'), 5000)
  for (let turn = 0; turn < 5 && capture.exitCode === null; turn++) {
    ping(from, to)
    await sleep(50)
  }
  await ended
  clearTimeout(stop)
  const frame = Buffer.concat(chunks).subarray(24 + 16)
  if (frame.length < 14 + 20 + 8 + 4 + 20) return undefined
  const ip = frame.subarray(14)
  const udp = ip.subarray(20)
  const mpls = udp.readUInt32BE(8)
  const inner = udp.subarray(12)
  const quad = (at: Buffer, offset: number): string => [...at.subarray(offset, offset + 4)].join('.')
  if (ip[9] !== 17 || udp.readUInt16BE(2) !== 6635 || ((mpls >> 8) & 1) !== 1 || inner[0] !== 0x45) return undefined
  return `${quad(ip, 12)} > ${quad(ip, 16)} UDP ${udp.readUInt16BE(0)} > 6635, MPLS label ${mpls >>> 12} ttl ${mpls & 0xff}, inside ${quad(inner, 12)} > ${quad(inner, 16)}`
}

function throughput(server: Pod, client: Pod, address: string): string | undefined {
  const background = spawn('nsenter', [`--net=${podNetns(server.name)}`, 'iperf3', '-s', '-1', '-B', address], {
    stdio: 'ignore',
  })
  try {
    for (let turn = 0; turn < 50; turn++) {
      const listening = attempt(inPod(server, ['ss', '-Hltn', 'sport', '=', '5201'])).stdout
      if (listening.includes(':5201')) break
    }
    const report = JSON.parse(run(inPod(client, ['iperf3', '-c', address, '-t', '2', '--json']))) as {
      end: { sum_received: { bits_per_second: number } }
    }
    return `${(report.end.sum_received.bits_per_second / 1e9).toFixed(1)} Gbit/s`
  } finally {
    background.kill('SIGKILL')
  }
}

function latency(from: Pod, address: string): string | undefined {
  const outcome = attempt(inPod(from, ['ping', '-n', '-q', '-c', '300', '-i', '0.002', address]))
  const numbers = /= ([\d.]+)\/([\d.]+)\/([\d.]+)/.exec(outcome.stdout)
  return outcome.status === 0 && numbers !== null
    ? `ping min/avg/max ${numbers[1]}/${numbers[2]}/${numbers[3]} ms`
    : undefined
}

function fetchPage(node: number, page: string): string {
  return run(inNode(nodePaths(lab, node), ['curl', '-sS', '--max-time', '5', `http://127.0.0.1:8085/${page}`]))
}

let lab = 'demo'

export async function demo(name: string, keep: boolean): Promise<number> {
  lab = name
  const begun = performance.now()
  const story = new Story()
  console.log(paint('1', 'kube-vrouter: two nodes, two tenants with the same addresses, one machine'))
  try {
    await tell(story)
    if (!keep) await tellTheEnd(story)
  } catch (error) {
    story.failed++
    console.log(`  ${bad} the demo could not go on: ${error instanceof Error ? error.message : String(error)}`)
  }
  story.chapter(keep ? 'Left running' : 'Tidying up')
  if (keep) {
    for (const rest of [
      'status',
      'exec pod/red-1 -- ip addr',
      'exec node/1 -- curl -s localhost:8085/Snh_ItfReq',
      'down',
    ])
      console.log(`    hack/lab --name ${name} ${rest}`)
  } else {
    await story.claim('everything is removed: pods, daemons, namespaces, links', async () => {
      await down(name)
      const left = ['node1', 'node2', 'fabric'].filter((ns) => existsSync(`/run/netns/${ns}`))
      return left.length === 0 ? '' : undefined
    })
  }
  const seconds = ((performance.now() - begun) / 1000).toFixed(0)
  console.log(`\n${story.failed === 0 ? ok : bad} ${story.passed} claims hold, ${story.failed} fail; ${seconds} s`)
  return story.failed === 0 ? 0 : 1
}

async function tell(story: Story): Promise<void> {
  story.chapter('1. Two nodes join an underlay')
  await up(lab, 2)
  const nodes = [nodePaths(lab, 1), nodePaths(lab, 2)]
  for (const node of nodes) {
    await story.claim(`${node.name}: its address moved from eth0 to vhost0, and it still reaches its gateway`, () => {
      const vhost = run(inNode(node, ['ip', '-o', 'addr', 'show', 'dev', 'vhost0']))
      const nic = run(inNode(node, ['ip', '-o', '-4', 'addr', 'show', 'dev', 'eth0']))
      const gateway = attempt(inNode(node, ['ping', '-n', '-c', '1', '-W', '2', underlay.gateway4]))
      return vhost.includes(node.address4) && nic.trim() === '' && gateway.status === 0 ? node.address4 : undefined
    })
  }
  await story.claim('the nodes reach each other through vhost0, IPv4 and IPv6', () => {
    const four = attempt(inNode(nodes[0]!, ['ping', '-n', '-c', '1', '-W', '2', nodes[1]!.address4]))
    const six = attempt(inNode(nodes[0]!, ['ping', '-6', '-n', '-c', '1', '-W', '2', nodes[1]!.address6]))
    return four.status === 0 && six.status === 0 ? '' : undefined
  })

  story.chapter('2. Two tenants, red and blue, both with 10.1.0.0/16 and fd01::/64')
  apply(lab, [`${repository}/manifests/demo.yaml`])
  const pods: Record<string, Pod> = {}
  for (const [pod, namespace, node, twin] of [
    ['red-1', 'red', 1, ''],
    ['red-2', 'red', 1, ''],
    ['red-3', 'red', 2, ''],
    ['blue-1', 'blue', 1, 'red-1'],
    ['blue-2', 'blue', 2, 'red-3'],
  ] as const) {
    const like = twin === '' ? '' : `, asks for the addresses of ${twin} and gets them`
    await story.claim(`pod ${pod} of namespace ${namespace} starts on node ${node}${like}`, async () => {
      const wanted = pods[twin]
      const annotations: Record<string, string> =
        wanted === undefined ? {} : { 'vrouter.dev/addresses': `${addressOf(wanted, 4)},${addressOf(wanted, 6)}` }
      const deadline = Date.now() + 60_000
      for (;;) {
        try {
          pods[pod] = addPod(lab, { name: pod, node, namespace, annotations })
          break
        } catch (error) {
          if (Date.now() > deadline) throw error
          await sleep(50)
        }
      }
      return pods[pod]!.result.ips.map((ip) => ip.address).join(' ')
    })
  }
  const red1 = pods['red-1']!
  const red2 = pods['red-2']!
  const red3 = pods['red-3']!
  const blue1 = pods['blue-1']!
  const blue2 = pods['blue-2']!

  story.chapter('3. Each tenant reaches itself, on the same node and on the other')
  await story.claim('red-1 → red-2, same node, IPv4', () => mustPing(red1, addressOf(red2, 4)))
  await story.claim('red-1 → red-2, same node, IPv6', () => mustPing(red1, addressOf(red2, 6)))
  await story.claim('red-1 → red-3, other node, IPv4', () => mustPing(red1, addressOf(red3, 4)))
  await story.claim('red-1 → red-3, other node, IPv6', () => mustPing(red1, addressOf(red3, 6)))
  await story.claim('blue-1 → blue-2, other node, IPv4', () => mustPing(blue1, addressOf(blue2, 4)))
  await story.claim('blue-1 → blue-2, other node, IPv6', () => mustPing(blue1, addressOf(blue2, 6)))
  await story.claim("red-1 → its network's gateway 10.1.0.1, answered by the vRouter", () => mustPing(red1, '10.1.0.1'))

  story.chapter('4. … and nobody else')
  for (const [from, own, stranger] of [
    [red1, red3, blue2],
    [blue1, blue2, red3],
  ] as const) {
    const address = addressOf(own, 4)
    await story.claim(`${from.name} → ${address}: ${own.name} hears it, its twin ${stranger.name} doesn't`, () => {
      const before = [received(own), received(stranger)] as const
      const answer = ping(from, address)
      const heard = received(own) - before[0]
      if (!answer.ok || heard < 2 || received(stranger) !== before[1]) return undefined
      return `${heard} packets and 0`
    })
  }
  await story.claim("blue-1 → red-2's address, which is nobody in blue: no answer, and red-2 hears nothing", () => {
    const before = received(red2)
    const answer = ping(blue1, addressOf(red2, 4))
    return !answer.ok && received(red2) === before ? addressOf(red2, 4) : undefined
  })
  await story.claim(`node 1 → red-1, as kubelet's probes need it; node 2 doesn't get there`, () => {
    const [near, far] = nodes.map((node) =>
      attempt(inNode(node, ['ping', '-n', '-c', '1', '-W', '1', addressOf(red1, 4)])),
    )
    return near?.status === 0 && far?.status !== 0 ? addressOf(red1, 4) : undefined
  })
  await story.claim(
    `red-1 → ${underlay.gateway4}, outside of all networks: with the address of its node (SNAT)`,
    () => {
      const answer = ping(red1, underlay.gateway4)
      const flows = run(inNode(nodes[0]!, ['flow', '-l']), { env: nodeEnvironment(nodes[0]!) })
      return answer.ok && /Action:N\(/.test(flows) ? answer.summary : undefined
    },
  )

  story.chapter('5. On the wire: MPLS over UDP')
  await story.claim('a captured packet carries an MPLS label', () => captureLabel(red1, addressOf(red3, 4)))

  story.chapter('6. What an operator of Contrail knows by heart')
  const node1 = nodes[0]!
  const tool = (command: string): string => run(inNode(node1, command.split(' ')), { env: nodeEnvironment(node1) })
  for (const [command, wanted, lines] of [
    ['vif --list', 'Vrouter Interface Table', 48],
    ['rt --dump 2', '/32', 20],
    ['vrfstats --get 2', 'Vrf: 2', 8],
    ['flow -l', '<=>', 24],
  ] as const) {
    let output = ''
    await story.claim(`${command} on node 1`, () => {
      output = tool(command)
      return output.includes(wanted) ? '' : undefined
    })
    story.show(command, output, lines)
  }
  await story.claim('introspect lists the VRFs', () => {
    const names = [
      ...fetchPage(1, 'Snh_VrfListReq').matchAll(/<VrfSandeshData><name type="string" identifier="1">([^<]*)/g),
    ].map((match) => match[1]!)
    return names.some((name) => name.endsWith(':red:red')) && names.some((name) => name.endsWith(':blue:blue'))
      ? names.join('  ')
      : undefined
  })
  await story.claim('introspect lists the interfaces, all active', () => {
    const page = fetchPage(1, 'Snh_ItfReq?name=tap')
    const active = [...page.matchAll(/<active type="string" identifier="5">([^<]*)/g)].map((match) => match[1]!)
    return active.length === 3 && active.every((text) => text === 'Active')
      ? `${active.length} taps on node 1`
      : undefined
  })

  story.chapter('7. Speed')
  await story.claim(
    'same node',
    () => `${throughput(red2, red1, addressOf(red2, 4))}, ${latency(red1, addressOf(red2, 4))}`,
  )
  await story.claim(
    'across nodes, MPLSoUDP',
    () => `${throughput(red3, red1, addressOf(red3, 4))}, ${latency(red1, addressOf(red3, 4))}`,
  )

  story.chapter('8. The network outlives its daemon')
  await story.claim(
    'both daemons are killed (SIGKILL) under a ping every 5 ms, then started: no packet is lost',
    async () => {
      const child = spawn('nsenter', [
        `--net=${podNetns(red1.name)}`,
        'ping',
        '-n',
        '-q',
        '-i',
        '0.005',
        '-c',
        '600',
        '-W',
        '1',
        addressOf(red3, 4),
      ])
      let text = ''
      child.stdout.on('data', (chunk: Buffer) => {
        text += chunk.toString()
      })
      const done = new Promise<void>((settle) => child.on('exit', () => settle()))
      await sleep(400)
      for (const node of nodes) await stopDaemon(node, 'SIGKILL')
      const fresh = ping(red2, addressOf(red3, 4))
      if (!fresh.ok) throw new Error('while they were dead a new flow red-2 → red-3 got no answer')
      await sleep(200)
      for (const node of nodes) startDaemon(node)
      const ready = await Promise.all(nodes.map((node) => waitUntilReady(node)))
      await done
      const loss = /(\d+) packets transmitted, (\d+) received/.exec(text)
      if (loss === null) throw new Error(`ping said: ${text.trim()}`)
      return loss[1] === loss[2]
        ? `${loss[2]} of ${loss[1]} answered, a new flow meanwhile, too; ready after ${Math.round(Math.max(...ready))} ms`
        : undefined
    },
  )
}

async function tellTheEnd(story: Story): Promise<void> {
  const nodes = [nodePaths(lab, 1), nodePaths(lab, 2)]
  story.chapter('9. Pods go, and nothing of them stays')
  await story.claim('all pods are deleted; no tap is left on any node', () => {
    for (const pod of listPods(lab)) deletePod(lab, pod.name)
    const left = nodes.flatMap((node) =>
      [...run(inNode(node, ['ip', '-o', 'link', 'show'])).matchAll(/tap[0-9a-f]{12}/g)].map((match) => match[0]),
    )
    return left.length === 0 && existsSync(labPaths(lab).root) ? '' : undefined
  })
}
