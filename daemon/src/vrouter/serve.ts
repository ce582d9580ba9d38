/** What the daemon is reached by: introspect, the port API and Contrail's REST API of it, and the conflist that leads runtimes here. */
import { startIntrospect } from '../introspect/server.ts'
import { ConflistKeeper } from '../port-api/conflist-keeper.ts'
import { startRest } from '../port-api/rest/server.ts'
import { PortServer } from '../port-api/server.ts'
import { ServiceMark } from '../port-api/service-mark.ts'
import type { News } from './news.ts'
import { openedOf, type Parts } from './parts.ts'
import { introspectContextOf } from './shown.ts'

/** From here on the node is in service. What is owned ends with `own`. */
export async function serve(parts: Parts, news: News, own: AsyncDisposableStack): Promise<void> {
  const { config, log, source, service } = parts
  const { dataplane, ports } = openedOf(parts)
  const socket = `${config.paths.run}/cni.sock`
  own.use(await startIntrospect(introspectContextOf(parts), config))
  own.use(await PortServer.listen({ path: socket, service: ports, log: log.child({ component: 'port-api' }) }))
  const rest = await startRest({
    config,
    ports,
    source,
    hasDevice: (name) => dataplane.watch.taps.has(name),
    log: log.child({ component: 'rest' }),
  })
  if (rest) own.use(rest)
  service.inService()
  own.use(new ServiceMark(config.paths.run))
  // A DEL may have been queued between the reading of the records and the socket.
  await ports.maintain()
  own.use(
    await ConflistKeeper.start({
      folder: config.paths.cniConf,
      socket,
      state: config.paths.state,
      ...config.cni,
      binaries: config.paths.cniBin,
      log: log.child({ component: 'port-api' }),
      tell: (report) => news.tellNode(report),
    }),
  )
}
