/** The end of an HTTP server: requests that run are cut off, and its port is free when this resolves. */
import { once } from 'node:events'
import type { Server } from 'node:http'

export async function closeServer(server: Server): Promise<void> {
  if (!server.listening) return
  const closed = once(server, 'close')
  server.close()
  server.closeAllConnections()
  await closed
}
