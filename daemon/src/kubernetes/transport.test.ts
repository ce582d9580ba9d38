import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Endpoint } from './endpoints.ts'
import { Transport } from './transport.ts'

describe('an exchange', () => {
  it('that waited for a connection of another one may take longer than connecting may', async () => {
    let answered = 0
    const server = createServer(async (_, response) => {
      await sleep(1100)
      answered++
      response.end('ok')
    })
    await new Promise<void>((settle) => server.listen(0, '127.0.0.1', settle))
    const { port } = server.address() as AddressInfo
    const endpoint: Endpoint = { protocol: 'http:', host: '127.0.0.1', port, prefix: '', serverName: undefined }
    const warnings: Error[] = []
    const onWarning = (warning: Error) => warnings.push(warning)
    process.on('warning', onWarning)
    using transport = new Transport()
    const exchange = { method: 'GET', path: '/', headers: {}, connectTimeoutMs: 1000 } as const
    const one = async () => {
      const signal = AbortSignal.timeout(60_000)
      const response = await transport.send({ server: new URL('http://x') }, endpoint, { ...exchange, signal })
      response.resume()
      return response.statusCode
    }
    // More than there are connections, so that some get one that was in use.
    const statuses = await Promise.all(Array.from({ length: 40 }, one))
    assert.ok(statuses.every((status) => status === 200))
    assert.equal(answered, 40)
    await sleep(10)
    process.off('warning', onWarning)
    assert.deepEqual(warnings, [])
    server.closeAllConnections()
    await new Promise((settle) => server.close(settle))
  })
})
