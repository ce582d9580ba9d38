/**
 * The other end of the functional tests, run inside pods:
 *   peer.ts serve ADDRESS PORT                     TCP: answers with SHA-256 of all it got; UDP: echoes; prints "ready"
 *   peer.ts tcp ADDRESS PORT BYTES                 sends random bytes, compares the hash that comes back
 *   peer.ts udp ADDRESS PORT SIZE…                 one datagram of each size, compares what comes back
 */
import { createHash, randomBytes } from 'node:crypto'
import { createSocket } from 'node:dgram'
import { connect, createServer } from 'node:net'

const [verb, address, portText, ...rest] = process.argv.slice(2)
const port = Number(portText)
const isV6 = address!.includes(':')

function serve(): void {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    const hash = createHash('sha256')
    socket.on('data', (chunk) => hash.update(chunk))
    socket.on('end', () => socket.end(hash.digest('hex')))
    socket.on('error', () => socket.destroy())
  })
  const echo = createSocket({ type: isV6 ? 'udp6' : 'udp4', recvBufferSize: 1 << 20 })
  echo.on('message', (message, from) => echo.send(message, from.port, from.address))
  server.listen(port, address, () => echo.bind(port, address, () => console.log('ready')))
}

function tcp(bytes: number): void {
  const data = randomBytes(bytes)
  const wanted = createHash('sha256').update(data).digest('hex')
  const socket = connect({ host: address!, port })
  let answer = ''
  socket.setTimeout(60_000, () => fail('tcp: no answer in 60 s'))
  socket.on('connect', () => socket.end(data))
  socket.on('data', (chunk) => {
    answer += chunk.toString()
  })
  socket.on('error', (error) => fail(`tcp: ${error.message}`))
  socket.on('close', () =>
    answer === wanted ? console.log('ok') : fail(`tcp: hash ${answer || 'missing'}, expected ${wanted}`),
  )
}

async function udp(sizes: number[]): Promise<void> {
  const socket = createSocket({ type: isV6 ? 'udp6' : 'udp4', recvBufferSize: 1 << 20 })
  for (const size of sizes) {
    const data = randomBytes(size)
    const same = await new Promise<boolean>((settle) => {
      const timer = setTimeout(() => settle(false), 30_000)
      socket.once('message', (message) => {
        clearTimeout(timer)
        settle(message.equals(data))
      })
      socket.send(data, port, address)
    })
    if (!same) fail(`udp: the datagram of ${size} bytes did not come back as it was sent`)
  }
  socket.close()
  console.log('ok')
}

function fail(message: string): never {
  console.error(message)
  process.exit(1)
}

switch (verb) {
  case 'serve':
    serve()
    break
  case 'tcp':
    tcp(Number(rest[0]))
    break
  case 'udp':
    await udp(rest.map(Number))
    break
  default:
    fail(`unknown verb ${verb}`)
}
