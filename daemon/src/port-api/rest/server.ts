/** Serves the agent's REST API when the configuration wants it. The caller owns the result: disposing it closes the socket. */

import type { AddressInfo } from 'node:net'
import type { Config } from '../../config/config.ts'
import { listenAt } from '../../ground/http-server.ts'
import { AgentPorts, type AgentPortsOptions } from './agent-ports.ts'
import { restApp } from './app.ts'
import { PortFiles } from './port-files.ts'

export interface StartRestOptions extends Omit<AgentPortsOptions, 'files' | 'cluster'> {
  readonly config: Pick<Config, 'portApi' | 'cluster'>
}

export interface RestServer extends AsyncDisposable {
  readonly address: AddressInfo
}

/** Undefined: it isn't wanted. Takes up the ports that the files tell of, then listens. Rejects with the socket's error. */
export async function startRest({ config, ...options }: StartRestOptions): Promise<RestServer | undefined> {
  const { enabled, address, port, portsDir, staleSeconds } = config.portApi.rest
  if (!enabled) return undefined
  await using undo = new AsyncDisposableStack()
  const files = new PortFiles(portsDir)
  const ports = undo.use(new AgentPorts({ ...options, files, cluster: config.cluster.name }))
  await ports.start()
  const onError = (error: unknown, request: string): void =>
    options.log.warn({ request, error: (error as Error).message }, `${request} failed: ${(error as Error).message}`)
  const server = undo.use(await listenAt([address], port, restApp({ ports, staleSeconds, onError })))
  const kept = undo.move()
  const listening = server.addresses[0]!
  options.log.info({ address: listening.address, port: listening.port }, "serving the REST API of Contrail's agent")
  return { address: listening, [Symbol.asyncDispose]: () => kept.disposeAsync() }
}
