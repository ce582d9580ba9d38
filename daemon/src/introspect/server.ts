/**
 * Listens for introspect's clients on every configured address. The caller owns the result: disposing it closes the sockets
 * and ends what is still being sent.
 */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { Config } from '../config/config.ts'
import { closeServer } from '../ground/close-server.ts'
import { createLimitedServer } from '../ground/http-server.ts'
import { introspectApp } from './app.ts'
import type { IntrospectContext } from './context.ts'

export interface IntrospectServer extends AsyncDisposable {
  /** One per configured address; with port 0 each has its own. */
  readonly addresses: readonly AddressInfo[]
}

/** Rejects with the socket's error (EADDRINUSE, EADDRNOTAVAIL…) when one of the addresses can't be had; none is kept then. */
export async function startIntrospect(
  context: IntrospectContext,
  { introspect }: Pick<Config, 'introspect'>,
): Promise<IntrospectServer> {
  const app = introspectApp(context)
  await using servers = new AsyncDisposableStack()
  const addresses: AddressInfo[] = []
  for (const address of introspect.addresses) {
    const server = servers.adopt(createLimitedServer(app), closeServer)
    server.listen(introspect.port, address)
    await once(server, 'listening')
    addresses.push(server.address() as AddressInfo)
  }
  const kept = servers.move()
  return { addresses, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}
