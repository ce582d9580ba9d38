/** Flows through Services when endpoints go: what ends, and how its client learns of it; and that nothing that is well is moved. */
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { eventually, type TestLab as Lab, skipIfMissing, TestLab, type TestPod } from './lab.ts'
import { type BackWanted, PORT, serviceManifest, serviceRanges, TARGET } from './service-lab.ts'

const ADDRESSES = ['10.96.0.7', 'fd96::7'] as const

/** Answers datagrams, and each piece of a connection, with its name, as long as it lives. */
const server = `
import selectors, socket, sys
name, port, select = sys.argv[1].encode(), int(sys.argv[2]), selectors.DefaultSelector()
for family, any in ((socket.AF_INET, '0.0.0.0'), (socket.AF_INET6, '::')):
  for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    s = socket.socket(family, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind((any, port))
    if kind == socket.SOCK_STREAM: s.listen(64)
    select.register(s, selectors.EVENT_READ, 'listen' if kind == socket.SOCK_STREAM else 'udp')
print('ready', flush=True)
while True:
  for key, _ in select.select():
    try:
      if key.data == 'listen':
        select.register(key.fileobj.accept()[0], selectors.EVENT_READ, 'tcp')
      elif key.data == 'tcp':
        if not key.fileobj.recv(100): raise OSError()
        key.fileobj.sendall(name)
      else:
        data, peer = key.fileobj.recvfrom(100)
        key.fileobj.sendto(name, peer)
    except OSError:
      if key.data == 'tcp':
        select.unregister(key.fileobj)
        key.fileobj.close()
`

/** One socket that sends on and on. A line whenever it is answered by another one than before, or is told that nobody is there. */
const sender = `
import socket, sys, time
kind, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
s = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
s.connect((address, port))
s.settimeout(0.05)
last = ''
while last != 'reset':
  try:
    s.send(b'x')
    said = s.recv(100).decode()[:1]
  except socket.timeout: continue
  except ConnectionRefusedError: said = 'refused'
  except (ConnectionResetError, BrokenPipeError): said = 'reset'
  if said != last: print(said, flush=True)
  last = said
  time.sleep(0.02)
`

describe('flows through Services', function () {
  this.timeout(180_000)
  let lab: Lab
  let near: TestPod
  let a: TestPod
  let b: TestPod
  const senders: ChildProcess[] = []

  before(async function () {
    skipIfMissing(this)
    lab = TestLab.up(2, { VROUTER_DEFAULT_NETWORK_SUBNETS: '10.200.0.0/16,fd20::/64' })
    lab.apply(serviceRanges('10.96.0.0/16', 'fd96::/112'))
    near = lab.addPod('near', 1, 'default')
    a = lab.addPod('a', 1, 'default')
    b = lab.addPod('b', 2, 'default')
    for (const pod of [a, b])
      await lab.startServer(`pod/${pod.name}`, ['python3', '-c', server, pod.name, String(TARGET)])
  })
  afterEach(() => {
    for (const child of senders.splice(0)) child.kill('SIGKILL')
  })
  after(() => lab?.close())

  const isA = (conditions?: object): BackWanted => ({ pod: a, node: 1, conditions })
  const isB = (conditions?: object): BackWanted => ({ pod: b, node: 2, conditions })
  const serve = (...backs: readonly BackWanted[]) =>
    lab.apply(serviceManifest({ name: 'web', clusterIps: ADDRESSES, backs }))

  /** Both nodes know just these endpoints. */
  async function serves(...backs: readonly BackWanted[]): Promise<void> {
    serve(...backs)
    const names = backs
      .map(({ pod }) => pod!)
      .filter((_, at) => (backs[at]!.conditions as { ready?: boolean })?.ready !== false)
    await eventually(() =>
      ADDRESSES.every((address) => {
        const reply = lab.tryRun(['exec', 'node/1', '--', 'service', '--address', address, '--json'])
        if (reply.status !== 0) return false
        const { services } = JSON.parse(reply.stdout) as {
          services: { fronts: { port: number; insideBacks: { address: string }[] }[] }[]
        }
        const found = services.flatMap(({ fronts }) => fronts).filter(({ port }) => port === PORT)
        const wanted = names.map(({ ip4, ip6 }) => (address.includes(':') ? ip6 : ip4)).sort()
        return (
          found.length === 2 &&
          found.every(
            ({ insideBacks }) =>
              insideBacks
                .map((back) => back.address)
                .sort()
                .join() === wanted.join(),
          )
        )
      }),
    )
  }

  /** What it is told, one after the other. */
  function send(kind: 'tcp' | 'udp', address: string): string[] {
    const child = lab.startInPod(near, ['python3', '-c', sender, kind, address, String(PORT)])
    senders.push(child)
    const told: string[] = []
    child.stdout!.on('data', (text) =>
      told.push(
        ...String(text)
          .split('\n')
          .filter((line) => line !== ''),
      ),
    )
    child.stderr!.on('data', (text) => told.push(String(text)))
    return told
  }

  /** The last of what it is told. */
  async function hears(told: readonly string[], word: string): Promise<void> {
    await eventually(() => told.at(-1) === word).catch((error: unknown) => {
      const flows = lab.node(1, 'flow', '-l')
      throw new Error(`it was told ${told.join(', ')}, not ${word}; flows of node 1:\n${flows}`, { cause: error })
    })
  }

  for (const address of ADDRESSES) {
    it(`${address}: one who sends datagrams from one port goes on with whoever is there, and is told when nobody is`, async () => {
      await serves(isB())
      const told = send('udp', address)
      await hears(told, 'b')
      await serves(isA())
      await hears(told, 'a')
      await serves()
      await hears(told, 'refused')
      await serves(isB())
      await hears(told, 'b')
    })

    it(`${address}: datagrams stay with an endpoint that gets nothing new, until it no longer serves`, async () => {
      await serves(isB())
      const told = send('udp', address)
      await hears(told, 'b')
      const draining = { ready: false, serving: true, terminating: true }
      await serves(isA(), isB(draining))
      const others = send('udp', address)
      await hears(others, 'a')
      assert.deepEqual(told, ['b'])
      serve(isA(), isB({ ...draining, serving: false }))
      await hears(told, 'a')
      assert.deepEqual([told, others], [['b', 'a'], ['a']])
    })

    it(`${address}: a connection lives as long as its endpoint is there, and is reset then, whether there are others or not`, async () => {
      for (const others of [[isA()], []]) {
        await serves(isB())
        const told = send('tcp', address)
        await hears(told, 'b')
        await serves(...others, isB({ ready: false, serving: false, terminating: true }))
        const fresh = send('udp', address)
        await eventually(() => fresh.length > 0)
        assert.deepEqual(told, ['b'], 'it goes on while its pod is shut down')
        serve(...others)
        await hears(told, 'reset')
      }
    })
  }

  it('that an endpoint took with it while no daemon lived are found by the next one', async () => {
    await serves(isB())
    const told = send('udp', ADDRESSES[0])
    await hears(told, 'b')
    lab.run(['daemon', '1', 'kill'])
    serve(isA())
    lab.run(['daemon', '1', 'start'])
    await hears(told, 'a')
  })
})
