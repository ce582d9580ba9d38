/**
 * Listens for introspect's clients on every configured address. The caller owns the result: disposing it closes the sockets
 * and ends what is still being sent.
 */
import type { Config } from '../config/config.ts'
import { type Listening, listenAt } from '../ground/http-server.ts'
import { introspectApp } from './app.ts'
import type { IntrospectContext } from './context.ts'

/** Rejects as `listenAt` does. */
export function startIntrospect(
  context: IntrospectContext,
  { introspect }: Pick<Config, 'introspect'>,
): Promise<Listening> {
  return listenAt(introspect.addresses, introspect.port, introspectApp(context))
}
