/** What a running vRouter consists of. The later parts are absent until the start has come to them. */
import type { Config } from '../config/config.ts'
import type { Dataplane } from '../dataplane/dataplane.ts'
import type { Announcer } from '../load-balancer/announcer.ts'
import type { Log } from '../log.ts'
import type { Source } from '../model/objects.ts'
import type { Tables } from '../model/tables.ts'
import type { AgentPort } from '../packet/packet.ts'
import type { Ports } from '../ports/ports.ts'
import type { ServiceState } from './service-state.ts'

export interface Parts {
  readonly config: Config
  readonly log: Log
  readonly source: Source
  readonly service: ServiceState
  readonly startedAt: Date
  /** All that a round needs. */
  opened?: { readonly dataplane: Dataplane; readonly ports: Ports }
  agentPort?: AgentPort
  announcer?: Announcer
  /** Those of the last round. */
  tables?: Tables
}

/** For what runs only once rounds do. */
export function openedOf({ opened }: Parts): NonNullable<Parts['opened']> {
  if (opened === undefined) throw new Error('the datapath is not open yet')
  return opened
}
