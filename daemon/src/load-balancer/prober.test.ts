import assert from 'node:assert/strict'
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { until } from '../../../test/patience.ts'
import { Prober } from './prober.ts'

/** What comes to a port of the loopback device, and what is sent back. */
async function echoOn(address: string, answer: (message: Buffer, from: RemoteInfo, socket: Socket) => void) {
  const socket = createSocket('udp4')
  socket.on('message', (message, from) => answer(message, from, socket))
  socket.bind(0, address)
  await once(socket, 'listening')
  return { port: socket.address().port, [Symbol.dispose]: () => socket.close() }
}

const back = (message: Buffer, from: RemoteInfo, socket: Socket) => socket.send(message, from.port, from.address)

describe('the prober', () => {
  const probers: Prober[] = []
  afterEach(() => {
    for (const prober of probers.splice(0)) prober[Symbol.dispose]()
  })

  function prober(port: number, errors: Error[] = []): Prober {
    const one = new Prober({
      ...{ periodMs: 20, mostMissed: 3, port, onChange: () => undefined },
      onError: (error) => errors.push(error),
    })
    probers.push(one)
    return one
  }

  const becomes = (one: Prober, presence: string) => until(presence, () => one.presenceOf('n1') === presence)

  it('finds a node that answers, asks with the label of an echo, and finds it silent when it doesn’t', async () => {
    let isThere = true
    let asked: Buffer = Buffer.alloc(0)
    using echo = await echoOn('127.0.0.1', (message, from, socket) => {
      asked = message
      if (isThere) back(message, from, socket)
    })
    const one = prober(echo.port)
    assert.equal(one.presenceOf('n1'), 'unknown')
    one.watch(new Map([['n1', '127.0.0.1']]), '127.0.0.1')
    await becomes(one, 'there')
    // Label 14, bottom of stack, TTL 64.
    assert.equal(asked.subarray(0, 4).toString('hex'), '0000e140')
    assert.equal(asked.length, 12)
    isThere = false
    await becomes(one, 'silent')
    isThere = true
    await becomes(one, 'there')
  })

  it('believes nobody else, and no answer but that to its question', async () => {
    using other = await echoOn('127.0.0.1', back)
    using wrong = await echoOn('127.0.0.1', (message, from, socket) => {
      const forged = Buffer.from(message)
      forged[11]! ^= 1
      back(forged, from, socket)
    })
    using silent = await echoOn('127.0.0.1', (message, from) => {
      // Another port answers in its place.
      const socket = createSocket('udp4')
      socket.send(message, from.port, from.address, () => socket.close())
    })
    for (const { port } of [wrong, silent]) {
      const one = prober(port)
      one.watch(new Map([['n1', '127.0.0.1']]), '127.0.0.1')
      await becomes(one, 'silent')
    }
    const right = prober(other.port)
    right.watch(new Map([['n1', '127.0.0.1']]), '127.0.0.1')
    await becomes(right, 'there')
  })

  it('forgets what it knew when it is told so, and of nodes that it isn’t to ask any more', async () => {
    using echo = await echoOn('127.0.0.1', back)
    const one = prober(echo.port)
    one.watch(new Map([['n1', '127.0.0.1']]), '127.0.0.1')
    await becomes(one, 'there')
    one.forget()
    assert.equal(one.presenceOf('n1'), 'unknown')
    await becomes(one, 'there')
    one.watch(new Map([['n2', '127.0.0.1']]), '127.0.0.1')
    assert.deepEqual([one.presenceOf('n1'), one.watched], ['unknown', 1])
    one.watch(new Map(), '127.0.0.1')
    assert.equal(one.watched, 0)
  })

  it('goes on when its own address is away for a moment', async () => {
    using echo = await echoOn('127.0.0.1', back)
    const errors: Error[] = []
    const one = prober(echo.port, errors)
    one.watch(new Map([['n1', '127.0.0.1']]), '192.0.2.1')
    await becomes(one, 'silent')
    assert.ok(errors.length > 0)
    one.watch(new Map([['n1', '127.0.0.1']]), '127.0.0.1')
    await becomes(one, 'there')
  })
})
