import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, renameSync, rmSync, statSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import fc from 'fast-check'
import type { AllocateReply, Reply } from './messages.ts'
import { BadRequest, parseRequest } from './requests.ts'
import { PortServer, type PortServerOptions, type PortService } from './server.ts'

const allocated = { ok: true, uuid: 'u' } as AllocateReply
const key = { containerId: 'c1', ifname: 'eth0' }

class Client implements Disposable {
  readonly socket: Socket
  readonly #lines: AsyncIterator<string>

  constructor(path: string) {
    this.socket = connect(path)
    this.socket.on('error', () => undefined)
    this.#lines = createInterface(this.socket)[Symbol.asyncIterator]()
  }

  async next(): Promise<Reply | undefined> {
    const { value, done } = await this.#lines.next()
    return done ? undefined : (JSON.parse(value) as Reply)
  }

  ask(...requests: (object | string)[]): Promise<Reply | undefined> {
    this.socket.write(requests.map((r) => `${typeof r === 'string' ? r : JSON.stringify(r)}\n`).join(''))
    return this.next()
  }

  [Symbol.dispose](): void {
    this.socket.destroy()
  }
}

describe('port API server', () => {
  let folder: string
  let path: string
  const logged: object[] = []
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'kv-server-'))
    path = join(folder, 'run/cni.sock')
    logged.length = 0
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  const idle: PortService = {
    allocate: async () => allocated,
    register: async () => ({ ok: true, vif: 3, vrf: 2 }),
    release: async () => undefined,
    get: async () => ({ ...allocated, verified: [], mismatches: [] }),
    list: async () => ({ ok: true, attachments: [] }),
    status: async () => undefined,
  }
  const listen = (service: Partial<PortService> = {}, options: Partial<PortServerOptions> = {}) => {
    const say = (fields: object, message: string) => void logged.push({ ...fields, message })
    const log = { debug: () => undefined, info: say, warn: say, error: say }
    return PortServer.listen({ path, service: { ...idle, ...service }, log, ...options })
  }

  it('closes connections on which nothing comes, but none that waits for its answer', async () => {
    const release = Promise.withResolvers<AllocateReply>()
    await using _ = await listen({ allocate: () => release.promise }, { idleMs: 50 })
    using waiting = new Client(path)
    const answer = waiting.ask({ op: 'allocate', ...key, netns: '/x', pod: { namespace: 'a', name: 'b', uid: '' } })
    using silent = new Client(path)
    using half = new Client(path)
    half.socket.write('{"op":')
    assert.deepEqual(await Promise.all([silent.next(), half.next()]), [undefined, undefined])
    release.resolve(allocated)
    assert.deepEqual(await answer, allocated)
  })

  it('answers several requests of one connection in their order', async () => {
    await using _ = await listen({
      allocate: () => new Promise((resolve) => setTimeout(resolve, 30, allocated)),
    })
    using client = new Client(path)
    const first = await client.ask(
      { op: 'allocate', ...key, netns: '/x', pod: { namespace: 'a', name: 'b', uid: '' } },
      { op: 'register', ...key, ifindex: 3 },
      { op: 'release', ...key },
      { op: 'list', network: 'n' },
      { op: 'status' },
    )
    assert.deepEqual(first, allocated)
    assert.deepEqual(await client.next(), { ok: true, vif: 3, vrf: 2 })
    assert.deepEqual(await client.next(), { ok: true })
    assert.deepEqual(await client.next(), { ok: true, attachments: [] })
    assert.deepEqual(await client.next(), { ok: true })
  })

  it('is for root alone', async () => {
    await using _ = await listen()
    assert.equal(statSync(path).mode & 0o777, 0o600)
  })

  it('takes a line in pieces, and one without an end when the client has finished', async () => {
    await using _ = await listen()
    using client = new Client(path)
    client.socket.write('{"op":')
    await new Promise((resolve) => setTimeout(resolve, 20))
    assert.deepEqual(await client.ask('"status"}'), { ok: true })
    client.socket.end('{"op":"status"}')
    assert.equal(await client.next(), undefined)
  })

  const wrong: readonly [line: string | object, message: RegExp][] = [
    ['', /not JSON/],
    ['{', /not JSON/],
    ['\u0000\u0001\ufffd', /not JSON/],
    ['[]', /the request is \[\]/],
    ['null', /the request is null/],
    [{ op: 'reboot' }, /op is "reboot"; wanted one of/],
    [{ op: 'release', containerId: '../../etc', ifname: 'eth0' }, /containerId is "..\/..\/etc"/],
    [{ op: 'release', containerId: '', ifname: 'eth0' }, /containerId is ""/],
    [{ op: 'release', containerId: 'c', ifname: 'a/b' }, /ifname is "a\/b"/],
    [{ op: 'release', containerId: 'c', ifname: '..' }, /ifname/],
    [{ op: 'register', ...key, ifindex: '3' }, /ifindex is "3"; wanted a positive integer/],
    [{ op: 'register', ...key, ifindex: 0 }, /ifindex is 0/],
    [{ op: 'allocate', ...key }, /netns is missing/],
    [{ op: 'allocate', ...key, netns: '/x', pod: 'p' }, /pod is "p"; wanted an object/],
    [{ op: 'allocate', ...key, netns: '/x', pod: { namespace: 'a', name: 'b' } }, /pod.uid is missing/],
    [
      { op: 'allocate', ...key, netns: '/x', pod: { namespace: 'a', name: 'b', uid: '' }, labels: { a: 1 } },
      /labels.a is 1; wanted a string/,
    ],
    [{ op: 'list' }, /network is missing/],
  ]
  for (const [line, message] of wrong) {
    it(`refuses ${JSON.stringify(line).slice(0, 60)} and goes on`, async () => {
      await using _ = await listen()
      using client = new Client(path)
      const reply = await client.ask(line)
      assert.ok(reply && !reply.ok)
      assert.equal(reply.code, 'BAD_REQUEST')
      assert.match(reply.message, message)
      assert.deepEqual(await client.ask({ op: 'status' }), { ok: true })
    })
  }

  it('cuts off a client whose line never ends', async () => {
    await using _ = await listen({}, { maxLineBytes: 1000 })
    using client = new Client(path)
    client.socket.write('x'.repeat(5000))
    const reply = await client.next()
    assert.ok(reply && !reply.ok && /longer than 1000 bytes/.test(reply.message))
    assert.equal(await client.next(), undefined)
    using ended = new Client(path)
    const tooLong = await ended.ask({ op: 'status', padding: 'x'.repeat(2000) })
    assert.ok(tooLong && !tooLong.ok && tooLong.code === 'BAD_REQUEST')
    using other = new Client(path)
    assert.deepEqual(await other.ask({ op: 'status' }), { ok: true })
  })

  it('passes on errors that have a code, and hides none that hasn’t', async () => {
    const full = Object.assign(new Error('no space'), { code: 'DISK_FULL', retry: true, remedy: 'make space' })
    await using _ = await listen({
      allocate: () => Promise.reject(full),
      status: () => Promise.reject(new TypeError('a bug')),
    })
    using client = new Client(path)
    const allocate = { op: 'allocate', ...key, netns: '/x', pod: { namespace: 'a', name: 'b', uid: '' } }
    assert.deepEqual(await client.ask(allocate), {
      ok: false,
      code: 'DISK_FULL',
      message: 'no space',
      details: 'make space',
      retry: true,
    })
    const reply = await client.ask({ op: 'status' })
    assert.ok(reply && !reply.ok && reply.code === 'INTERNAL' && /a bug/.test(reply.message))
    assert.ok(logged.some((entry) => /TypeError: a bug/.test((entry as { stack?: string }).stack ?? '')))
  })

  it('gives up a request at its deadline; the next one has its place', async () => {
    let hangs = true
    await using _ = await listen(
      { status: () => (hangs ? new Promise(() => undefined) : Promise.resolve()) },
      { deadlineMs: 50, maxConcurrent: 2 },
    )
    using client = new Client(path)
    const reply = await client.ask({ op: 'status' })
    assert.ok(reply && !reply.ok && reply.code === 'TIMEOUT' && reply.retry)
    hangs = false
    assert.deepEqual(await client.ask({ op: 'status' }), { ok: true })
  })

  it('works on so many at one time, keeps the others in order, and refuses too many', async () => {
    let running = 0
    let most = 0
    const order: string[] = []
    const gate = Promise.withResolvers<void>()
    await using _ = await listen(
      {
        release: async ({ containerId }) => {
          most = Math.max(most, ++running)
          order.push(containerId)
          await gate.promise
          running--
        },
      },
      { maxConcurrent: 2, maxQueued: 3 },
    )
    const clients = Array.from({ length: 7 }, () => new Client(path))
    const replies: Promise<Reply | undefined>[] = []
    for (const [i, client] of clients.entries()) {
      replies.push(client.ask({ op: 'release', containerId: `c${i}`, ifname: 'eth0' }))
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    gate.resolve()
    const codes = (await Promise.all(replies)).map((reply) => (reply?.ok ? 'ok' : reply?.code))
    assert.deepEqual(codes, ['ok', 'ok', 'ok', 'ok', 'ok', 'BUSY', 'BUSY'])
    assert.deepEqual(order, ['c0', 'c1', 'c2', 'c3', 'c4'])
    assert.equal(most, 2)
    for (const client of clients) assert.deepEqual(await client.ask({ op: 'status' }), { ok: true })
    for (const client of clients) client[Symbol.dispose]()
  })

  it('answers STATUS at once when all places are taken and as many wait as may', async () => {
    const gate = Promise.withResolvers<void>()
    let running = 0
    let most = 0
    await using _ = await listen(
      {
        release: async () => {
          most = Math.max(most, ++running)
          await gate.promise
          running--
        },
      },
      { maxConcurrent: 2, maxQueued: 2 },
    )
    const clients = Array.from({ length: 4 }, () => new Client(path))
    const replies = clients.map((client, i) => client.ask({ op: 'release', containerId: `c${i}`, ifname: 'eth0' }))
    using other = new Client(path)
    for (let i = 0; i < 5; i++) assert.deepEqual(await other.ask({ op: 'status' }), { ok: true })
    gate.resolve()
    assert.deepEqual(await Promise.all(replies), new Array(4).fill({ ok: true }))
    assert.equal(most, 2)
    for (const client of clients) client[Symbol.dispose]()
  })

  it('lets a client go that hangs up while it waits', async () => {
    const gate = Promise.withResolvers<void>()
    await using _ = await listen({ status: () => gate.promise })
    {
      using client = new Client(path)
      client.socket.write('{"op":"status"}\n')
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    gate.resolve()
    using other = new Client(path)
    assert.deepEqual(await other.ask({ op: 'release', ...key }), { ok: true })
  })

  it('replaces the socket of a daemon that died, but not a live one', async () => {
    const former = await listen()
    await assert.rejects(listen(), /another daemon does already/)
    // Closing removes the file at its path: moved away and back it is what kill -9 leaves, a socket without a listener.
    renameSync(path, `${path}.moved`)
    await former.close()
    renameSync(`${path}.moved`, path)
    assert.ok(statSync(path).isSocket())
    await using _ = await listen()
    using client = new Client(path)
    assert.deepEqual(await client.ask({ op: 'status' }), { ok: true })
  })

  it('refuses a path that no socket can have', async () => {
    path = join(folder, 'x'.repeat(120))
    await assert.rejects(listen(), /at most 107 bytes/)
  })

  it('finishes what it works on when it is closed, and takes nothing new', async () => {
    const server = await listen({ status: () => new Promise((resolve) => setTimeout(resolve, 50)) })
    using client = new Client(path)
    const reply = client.ask({ op: 'status' })
    await new Promise((resolve) => setTimeout(resolve, 10))
    await server.close()
    assert.deepEqual(await reply, { ok: true })
    assert.equal(existsSync(path), false)
  })
})

describe('port API requests', () => {
  it('are understood or refused, whatever the line is', () => {
    const request = {
      op: 'allocate',
      containerId: 'c1',
      ifname: 'eth0',
      netns: '/x',
      pod: { namespace: 'a', name: 'b', uid: '' },
    }
    const keys = ['op', 'containerId', 'ifname', 'netns', 'network', 'pod', 'labels', 'annotations', 'ifindex']
    fc.assert(
      fc.property(
        fc.constantFrom('allocate', 'register', 'release', 'get', 'list'),
        fc.constantFrom(...keys),
        fc.jsonValue(),
        (op, key, value) => {
          try {
            parseRequest(JSON.stringify({ ...request, ifindex: 3, network: 'n', op, [key]: value }))
          } catch (error) {
            assert.ok(error instanceof BadRequest, String(error))
            assert.ok(error.message.startsWith(key), error.message)
          }
        },
      ),
    )
  })

  const mapping = { hostPort: 80, containerPort: 8080, protocol: 'tcp' }
  for (const [wrong, message] of [
    [{ hostPort: 0 }, /portMappings\[1\]\.hostPort is 0; wanted a port/],
    [{ containerPort: 65_536 }, /portMappings\[1\]\.containerPort is 65536; wanted a port/],
    [{ containerPort: undefined }, /portMappings\[1\]\.containerPort is missing/],
    [{ protocol: 'TCP' }, /portMappings\[1\]\.protocol is "TCP"; wanted one of tcp, udp, sctp/],
    [{ hostIp: '' }, /portMappings\[1\]\.hostIp is ""; wanted an address/],
  ] as const) {
    it(`have no ${JSON.stringify(wrong)} among their port mappings`, () => {
      const pod = { namespace: 'a', name: 'b', uid: '' }
      const request = { op: 'allocate', containerId: 'c1', ifname: 'eth0', netns: '/x', pod }
      const ask = (...portMappings: object[]) => parseRequest(JSON.stringify({ ...request, portMappings }))
      ask(mapping, { ...mapping, hostIp: '::', protocol: 'sctp' })
      assert.throws(() => ask(mapping, { ...mapping, ...wrong }), message)
    })
  }
})
