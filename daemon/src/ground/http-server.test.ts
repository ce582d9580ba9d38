import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { type ConnectionLimits, closeServer, createLimitedServer } from './http-server.ts'

/** Patient with everything but what a test is about. */
const PATIENT: ConnectionLimits = {
  headersMs: 60_000,
  requestMs: 60_000,
  idleMs: 60_000,
  silentMs: 60_000,
  connections: 100,
}
const SOON_MS = 200

describe('HTTP servers of the daemon', function () {
  this.timeout(20_000)

  /** What a client gets until the server closes; the server's answer is `size` bytes. */
  async function served(
    limits: Partial<ConnectionLimits>,
    use: (socket: Socket) => void,
    size = 2,
  ): Promise<{ readonly text: string }> {
    await using owned = new AsyncDisposableStack()
    const server = owned.adopt(
      createLimitedServer((_, response) => response.end('x'.repeat(size)), { ...PATIENT, ...limits }),
      closeServer,
    )
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const socket = owned.adopt(
      connect((server.address() as AddressInfo).port, '127.0.0.1'),
      (one) => void one.destroy(),
    )
    socket.on('error', () => undefined)
    let text = ''
    socket.on('data', (chunk) => (text += chunk))
    const closed = once(socket, 'close')
    await once(socket, 'connect')
    use(socket)
    await closed
    return { text }
  }

  it('close a connection on which no request comes', async () => {
    await served({ headersMs: SOON_MS }, () => undefined)
  })

  it('close a connection on which half a request comes', async () => {
    await served({ headersMs: SOON_MS }, (socket) => socket.write('GET / HTTP/1.1\r\nHost:'))
  })

  it('close a connection whose request does not end', async () => {
    const request = 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab'
    await served({ headersMs: SOON_MS, requestMs: SOON_MS }, (socket) => socket.write(request))
  })

  it('close a connection that is idle after its answer', async () => {
    const { text } = await served({ idleMs: SOON_MS }, (socket) => socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'))
    assert.match(text, /^HTTP\/1\.1 200 /)
  })

  it('close a connection that does not take its answer', async () => {
    await using owned = new AsyncDisposableStack()
    const server = owned.adopt(
      createLimitedServer((_, response) => response.end(Buffer.alloc(64 << 20)), { ...PATIENT, silentMs: SOON_MS }),
      closeServer,
    )
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const accepted = once(server, 'connection') as Promise<[Socket]>
    const client = owned.adopt(
      connect((server.address() as AddressInfo).port, '127.0.0.1'),
      (one) => void one.destroy(),
    )
    client.pause()
    client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    const [socket] = await accepted
    await once(socket, 'close')
  })

  it('refuse connections beyond a limit', async () => {
    await using owned = new AsyncDisposableStack()
    const server = owned.adopt(
      createLimitedServer(() => undefined, { ...PATIENT, connections: 2 }),
      closeServer,
    )
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const dropped = once(server, 'drop')
    for (let n = 0; n < 3; n++)
      owned.adopt(
        connect(port, '127.0.0.1').on('error', () => undefined),
        (one) => void one.destroy(),
      )
    await dropped
  })
})
