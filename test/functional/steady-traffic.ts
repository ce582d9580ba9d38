/**
 * Traffic that goes on while something happens to a node, and must not notice: pings each 10 ms and a TCP connection, to another pod and to the outside
 * with the node's address. `assertWhole` says what was lost of it.
 */
import assert from 'node:assert/strict'
import type { ChildProcess } from 'node:child_process'
import { eventually, type TestLab, type TestPod } from './lab.ts'
import { pingsIn } from './pings.ts'

/** In the fabric. */
export const OUTSIDE = '198.51.100.9'
const PORT = '7301'

const ECHO = `
import socket, sys, threading
def serve(client):
  while True:
    data = client.recv(65536)
    if not data: return
    client.sendall(data)
s = socket.create_server((sys.argv[1], int(sys.argv[2])))
print('ready', flush=True)
while True: threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
`
/** Prints one line for each answer. */
const CHATTER = `
import socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=30)
print('connected', flush=True)
while True:
  s.sendall(b'x' * 1000)
  left = 1000
  while left:
    data = s.recv(left)
    if not data: sys.exit('closed by the other end')
    left -= len(data)
  print('answered', flush=True)
  time.sleep(0.005)
`

class Spoken {
  readonly what: string
  text = ''
  error = ''
  hasEnded = false

  constructor(what: string, child: ChildProcess) {
    this.what = what
    child.stdout!.on('data', (text) => {
      this.text += text
    })
    child.stderr!.on('data', (text) => {
      this.error += text
    })
    child.on('exit', () => {
      this.hasEnded = true
    })
  }

  count(pattern: RegExp): number {
    return this.text.match(pattern)?.length ?? 0
  }
}

export class SteadyTraffic {
  readonly #pings: readonly Spoken[]
  readonly #streams: readonly Spoken[]

  private constructor(pings: readonly Spoken[], streams: readonly Spoken[]) {
    this.#pings = pings
    this.#streams = streams
  }

  /** Before the first: OUTSIDE is an address of the fabric, and answers. */
  static async serveOutside(lab: TestLab): Promise<void> {
    lab.run(['exec', 'fabric', '--', 'ip', 'addr', 'add', `${OUTSIDE}/32`, 'dev', 'lo'])
    await serve(lab, 'fabric', OUTSIDE)
  }

  /** Resolves when all of it flows. `isInside`: none of it to the outside. */
  static async start(lab: TestLab, from: TestPod, to: TestPod, { isInside = false } = {}): Promise<SteadyTraffic> {
    await serve(lab, `pod/${to.name}`, to.ip4)
    const start = (what: string, command: readonly string[]) =>
      new Spoken(`${from.name}: ${what}`, lab.startInPod(from, command))
    const pod = [to.name, to.ip4] as const
    const targets = isInside ? [pod] : [pod, ['the outside', OUTSIDE] as const]
    const traffic = new SteadyTraffic(
      targets.map(([name, address]) => start(`ping to ${name}`, ['ping', '-n', '-i', '0.01', '-W', '5', address])),
      targets.map(([name, address]) => start(`stream to ${name}`, ['python3', '-c', CHATTER, address, PORT])),
    )
    await traffic.goesOn()
    return traffic
  }

  /** Waits for another second of it. Throws when a part of it has ended. */
  async goesOn(): Promise<void> {
    const counts = () => [
      ...this.#pings.map((one) => one.count(/icmp_seq=/g)),
      ...this.#streams.map((one) => one.count(/answered/g)),
    ]
    const before = counts()
    await eventually(() => {
      for (const one of [...this.#pings, ...this.#streams])
        assert.ok(!one.hasEnded, `${one.what} has ended: ${one.error}${one.text.slice(-200)}`)
      const [first, ...rest] = counts().map((count, i) => count - before[i]!)
      assert.ok(Math.min(first!, ...rest) >= 50, `no traffic: ${counts()} after ${before}`)
      return true
    })
  }

  /** How many pings each address has answered. */
  pongs(): ReadonlyMap<string, number> {
    return new Map(
      this.#pings.map(({ text }) => [/from (\S+): icmp_seq/.exec(text)![1]!, text.match(/icmp_seq=\d+ ttl/g)!.length]),
    )
  }

  /** Waits until each address has answered so many; returns how many all have. */
  async afterPongs(count: number): Promise<number> {
    return await eventually(() => {
      const least = Math.min(...this.pongs().values())
      return least >= count ? least : undefined
    })
  }

  /** Every ping up to the last answer was answered, and all streams flow on. */
  async assertWhole(): Promise<void> {
    await this.goesOn()
    for (const { what, text } of this.#pings) {
      const { last, lost } = pingsIn(text)
      assert.deepEqual(lost, [], `${what}: lost ${lost.length} of ${last}`)
    }
  }
}

/** What serves already. */
const served = new WeakMap<TestLab, Set<string>>()

async function serve(lab: TestLab, where: string, address: string): Promise<void> {
  const places = served.get(lab) ?? new Set<string>()
  served.set(lab, places)
  if (places.has(where)) return
  places.add(where)
  await lab.startServer(where, ['python3', '-c', ECHO, address, PORT])
}
