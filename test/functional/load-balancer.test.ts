/** Load balancer addresses on the underlay: who answers for them, and who when that node is gone. Seen from a host of the underlay. */
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { underlay } from '../lab/layout.ts'
import { eventually, type TestLab as Lab, skipIfMissing, TestLab, type TestPod } from './lab.ts'
import { answersOf, ask, serviceManifest, serviceRanges, startServer } from './service-lab.ts'

const VIP = '172.30.0.200'
const VIP6 = 'fd30::200'
const LOCAL = '172.30.0.201'
const NODES = [1, 2, 3]

/** Asks for an address again and again; a line whenever other MACs answer than before (seconds, and all that answered one question), and for each that tells without being asked. */
const asker = `
import select, socket, struct, sys, time
device, source, address = sys.argv[1:]
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
s.bind((device, 0x0806))
mac = s.getsockname()[4]
ask = b'\\xff' * 6 + mac + struct.pack('!HHHBBH', 0x0806, 1, 0x0800, 6, 4, 1) + mac + socket.inet_aton(source) + bytes(6) + socket.inet_aton(address)
last, silent = None, 0
while True:
  s.send(ask)
  until, heard = time.monotonic() + 0.03, set()
  while (left := until - time.monotonic()) > 0:
    if not select.select([s], [], [], left)[0]: break
    frame = s.recv(2048)
    if frame[20:22] == b'\\x00\\x01' and frame[28:32] == frame[38:42] == socket.inet_aton(address): print('told', frame[22:28].hex(':'), flush=True)
    if frame[20:22] == b'\\x00\\x02' and frame[28:32] == socket.inet_aton(address): heard.add(frame[22:28].hex(':'))
  # One answer may be late; silence is several.
  silent = 0 if heard else silent + 1
  now = ' '.join(sorted(heard)) if heard else 'nobody' if silent > 5 else last
  if now is not None and now != last: print(time.monotonic(), now, flush=True)
  last = now
`

describe('Load balancer addresses', function () {
  this.timeout(240_000)
  let lab: Lab
  let macs: Map<string, number>
  const pods: TestPod[] = []
  const watchers: ChildProcess[] = []
  /** Nodes that told that an address came to them. */
  const told: number[] = []

  before(async function () {
    skipIfMissing(this)
    lab = TestLab.up(3, { VROUTER_DEFAULT_NETWORK_SUBNETS: '10.200.0.0/16,fd20::/64' })
    macs = new Map(
      NODES.map((node) => {
        const [link] = JSON.parse(lab.node(node, 'ip', '-j', 'link', 'show', 'eth0')) as [{ address: string }]
        return [link.address, node]
      }),
    )
    lab.apply(serviceRanges('10.96.0.0/16', 'fd96::/112'))
    for (const node of NODES) pods.push(lab.addPod(`p${node}`, node, 'default'))
    for (const { name } of pods) await startServer(lab, `pod/${name}`, name)
    const spec = { addresses: [`${VIP}-${LOCAL}`, `${VIP6}-fd30::201`] }
    lab.apply(
      JSON.stringify({
        ...{ apiVersion: 'vrouter.dev/v1alpha1', kind: 'LoadBalancerPool', metadata: { name: 'public' }, spec },
      }),
    )
    service('web', ['10.96.0.7', 'fd96::7'], [VIP, VIP6, '172.30.0.99'], [1, 2, 3])
    service('local', ['10.96.0.8', 'fd96::8'], [LOCAL], [2], { externalTrafficPolicy: 'Local' })
    await eventually(() => NODES.includes(elected(VIP)))
  })
  after(() => {
    for (const watcher of watchers) watcher.kill()
    // The bridge floods what it doesn't know the port of any more.
    lab?.expectDrops('IF Drop')
    lab?.close()
  })

  /** There is no controller: what it would write stands in the manifest. */
  function service(name: string, clusterIps: string[], ips: string[], nodes: number[], more: object = {}): void {
    const backs = nodes.map((node) => ({ pod: pods[node - 1]!, node }))
    const spec = { type: 'LoadBalancer', ...more }
    const [object, ...slices] = serviceManifest({ name, clusterIps, backs, spec }).split('\n---\n')
    const status = { loadBalancer: { ingress: ips.map((ip) => ({ ip, ipMode: 'VIP' })) } }
    lab.apply([JSON.stringify({ ...JSON.parse(object!), status }), ...slices].join('\n---\n'))
  }

  /** The node that answers for the address to who has forgotten where it is; 0: nobody does. */
  function elected(address: string): number {
    const family = address.includes(':') ? '-6' : '-4'
    lab.tryRun(['exec', 'fabric', '--', 'ip', family, 'neigh', 'flush', 'to', address])
    lab.tryRun(['exec', 'fabric', '--', 'ping', family, '-c1', '-W1', address])
    const known = lab.run(['exec', 'fabric', '--', 'ip', family, '-j', 'neigh', 'show', address])
    const [entry] = JSON.parse(known === '' ? '[]' : known) as { lladdr?: string }[]
    return macs.get(entry?.lladdr ?? '') ?? 0
  }

  const client4 = underlay.gateway4

  interface Answer {
    readonly at: number
    readonly nodes: readonly number[]
  }

  /** All that answer for the address from now on. */
  function watch(address: string): Answer[] {
    const answers: Answer[] = []
    const child = lab.start('fabric', ['python3', '-c', asker, 'br0', underlay.gateway4, address])
    watchers.push(child)
    let rest = ''
    child.stdout!.on('data', (data) => {
      const lines = `${rest}${data}`.split('\n')
      rest = lines.pop()!
      for (const line of lines) {
        const [at, ...heard] = line.split(' ')
        if (at === 'told') {
          told.push(macs.get(heard[0]!) ?? 0)
          continue
        }
        answers.push({
          at: Number(at),
          nodes: heard.filter((mac) => mac !== 'nobody').map((mac) => macs.get(mac) ?? 0),
        })
      }
    })
    return answers
  }

  /** The same, once one node answers: `first`. */
  async function watched(address: string): Promise<{ answers: Answer[]; first: number }> {
    const answers = watch(address)
    const first = await eventually(() => (answers.at(-1)?.nodes.length === 1 ? answers.at(-1)!.nodes[0]! : undefined))
    answers.splice(0, answers.length - 1)
    return { answers, first }
  }

  const now = (answers: readonly Answer[]) => answers.at(-1)?.nodes.join(' ') ?? ''
  const inFabric = (...command: string[]) => lab.run(['exec', 'fabric', '--', ...command])

  it('are answered by one node, in both families; those of no pool by nobody', async () => {
    const { answers, first } = await watched(VIP)
    for (let i = 0; i < 5; i++) assert.equal(elected(VIP), first)
    await eventually(() => NODES.includes(elected(VIP6)))
    assert.equal(elected('172.30.0.99'), 0)
    assert.equal(answers.length, 1, JSON.stringify(answers))
  })

  it('are served to a host of the underlay, which endpoints see as it is', async () => {
    for (const kind of ['tcp', 'udp'] as const) {
      for (const [address, seen] of [
        [VIP, client4],
        [VIP6, underlay.gateway6],
      ] as const) {
        await eventually(() => /^p\d /.test(ask(lab, 'fabric', { kind, address, timeoutS: 1 })[0]!))
        for (const answer of answersOf(lab, 'fabric', { kind, address, count: 10 }))
          assert.match(answer, new RegExp(`^p[123] ${seen}$`), `${kind} ${address}`)
      }
      assert.deepEqual(answersOf(lab, 'fabric', { kind, address: LOCAL, count: 5 }), [`p2 ${client4}`], kind)
    }
  })

  it('are shown: by a page of every node, and by the tool of the one that answers', async () => {
    const { first } = await watched(VIP)
    for (const node of NODES) {
      const page = lab.fetch(node, `Snh_LoadBalancerListReq?address=${VIP}`)
      assert.match(page, new RegExp(`<elected [^>]*>node${first}</elected>`))
      assert.match(page, new RegExp(`<announced_here [^>]*>${node === first}</announced_here>`))
      const [row] = lab
        .node(node, 'service', '--address', VIP)
        .split('\n')
        .filter((line) => line.includes(`${VIP}:80 TCP`))
      assert.match(row!, node === first ? /Flags:A/ : /Flags:-/)
    }
  })

  it('of Services that want local endpoints are answered by a node that has one, and follow it', async () => {
    await eventually(() => elected(LOCAL) === 2)
    const answers = watch(LOCAL)
    await eventually(() => now(answers) === '2')
    service('local', ['10.96.0.8', 'fd96::8'], [LOCAL], [3], { externalTrafficPolicy: 'Local' })
    await eventually(() => now(answers) === '3')
    assert.ok(
      answers.every(({ nodes }) => nodes.length <= 1),
      JSON.stringify(answers),
    )
    service('local', ['10.96.0.8', 'fd96::8'], [LOCAL], [], { externalTrafficPolicy: 'Local' })
    await eventually(() => now(answers) === '')
  })

  it('are answered by the next node when theirs dies without a word, and by theirs when it is back', async () => {
    const { answers, first } = await watched(VIP)
    told.length = 0
    // As if it were switched off: nothing of it is heard, and it learns nothing of that.
    inFabric('bridge', 'link', 'set', 'dev', `node${first}`, 'state', '0')
    await eventually(() => now(answers) !== '' && now(answers) !== String(first))
    const second = answers.at(-1)!.nodes[0]!
    assert.ok(NODES.includes(second))
    await eventually(() => ask(lab, 'fabric', { kind: 'tcp', address: VIP, timeoutS: 1 })[0]!.endsWith(client4))
    await eventually(() => told.includes(second))
    await eventually(() => elected(VIP) === second)
    inFabric('bridge', 'link', 'set', 'dev', `node${first}`, 'state', '3')
    await eventually(() => now(answers) === String(first))
    await eventually(() => told.includes(first))
    const gap =
      answers.find(({ nodes }) => nodes[0] === second)!.at - answers.find(({ nodes }) => nodes.length === 0)!.at
    console.log(`      nobody answered for ${(gap + 0.2).toFixed(1)} s`)
  })

  it('are given up by a node whose NIC has no carrier before another answers, and taken back after that gave up', async () => {
    const { answers, first } = await watched(VIP)
    inFabric('ip', 'link', 'set', `node${first}`, 'down')
    await eventually(() => now(answers) !== '' && now(answers) !== String(first))
    inFabric('ip', 'link', 'set', `node${first}`, 'up')
    await eventually(() => now(answers) === String(first))
    assert.ok(
      answers.every(({ nodes }) => nodes.length <= 1),
      JSON.stringify(answers),
    )
  })

  it('stay where they are while a daemon is away, and when it is back', async () => {
    const { answers, first } = await watched(VIP)
    lab.run(['daemon', String(first), 'kill'])
    // Others have asked it often enough to find it silent, if it were.
    await new Promise((resolve) => setTimeout(resolve, 4000))
    lab.run(['daemon', String(first), 'start'])
    await new Promise((resolve) => setTimeout(resolve, 3000))
    assert.deepEqual(
      answers.map(({ nodes }) => nodes),
      [[first]],
    )
  })
})
