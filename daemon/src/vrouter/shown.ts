/** What health and introspect show of a running vRouter, read when somebody asks. */
import { healthState } from '../health/collect.ts'
import type { HealthState } from '../health/health.ts'
import type { IntrospectContext } from '../introspect/context.ts'
import { kernelOf } from '../introspect/kernel.ts'
import { errorFields } from '../log.ts'
import { openedOf, type Parts } from './parts.ts'
import { textOf } from './problem-text.ts'
import { servicesShown } from './services-shown.ts'

/** At any time of the daemon's life. */
export function healthStateOf({ config, service, source, opened, tables, agentPort, announcer }: Parts): HealthState {
  const kernel = opened && kernelOf(opened.dataplane.maps)
  return healthState({
    ready: service.health().ready,
    state: service.text,
    limits: config.limits,
    ports: opened?.ports.all().length ?? 0,
    source: source.state(),
    ...(tables !== undefined && { tables }),
    drops: kernel?.drops() ?? [],
    foreignTunnels: kernel?.foreignTunnels() ?? 0n,
    ...(agentPort !== undefined && { packets: agentPort.stats() }),
    ...(announcer !== undefined && { announcements: announcer.announcements }),
    flows: kernel === undefined ? 0 : Number(kernel.flowCounters().inUse),
    problems: opened?.dataplane.problems().length ?? 0,
    ...(opened !== undefined && servicesShown(opened.dataplane, kernelOf(opened.dataplane.maps), config, tables)),
  })
}

/** After the first round. */
export function introspectContextOf(parts: Parts): IntrospectContext {
  const { config, service, source, startedAt } = parts
  const { dataplane, ports } = openedOf(parts)
  const log = parts.log.child({ component: 'introspect' })
  return {
    config,
    kernel: kernelOf(dataplane.maps),
    tables: () => parts.tables!,
    source: () => source.state(),
    facts: () => dataplane.facts(),
    ports: () => ports.all(),
    health: () => ({
      ready: service.health().ready,
      state: service.text,
      startedAt,
      problems: dataplane.problems().map(textOf),
    }),
    packets: () => parts.agentPort!.stats(),
    announcements: () => parts.announcer!.announcements,
    isBusy: () => ports.isServing,
    onError: (error, request) => log.error({ err: errorFields(error), request }, `cannot answer ${request}`),
  }
}
