/** The daemon's metrics. Gauges are set from the state when Prometheus asks; what happens between two askings is counted as it happens. */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { Counter, Gauge, Histogram, Registry } from 'prom-client'
import { DROP_REASON } from '../maps/constants.ts'
import type { HealthState, TableUse } from './health.ts'

/** Seconds. A round of a quiet node takes a millisecond, the first one of a large node some hundred. */
const ROUND_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10]

/** Milliseconds between two samples of the event loop's delay. */
const SAMPLE_MS = 20
const NANOSECONDS = 1e9

const reasons = new Map(
  Object.entries(DROP_REASON).map(([name, number]) => [number as number, name.replace(/^DROP_/, '').toLowerCase()]),
)

export class Metrics implements Disposable {
  readonly #registry = new Registry()
  /** As it is now; asked for once for all that Prometheus reads at one time. */
  readonly #state: () => HealthState
  #present: HealthState | undefined
  readonly #delay: ReturnType<typeof monitorEventLoopDelay>
  readonly #round: Histogram
  readonly #publishFailures: Counter<'kind'>

  constructor(state: () => HealthState, version: string) {
    this.#state = () => (this.#present ??= state())
    this.#delay = monitorEventLoopDelay({ resolution: SAMPLE_MS })
    this.#delay.enable()
    const registers = [this.#registry]
    this.#round = new Histogram({
      name: 'vrouter_round_duration_seconds',
      help: 'Rounds from source and node to the kernel.',
      buckets: ROUND_BUCKETS,
      registers,
    })
    this.#publishFailures = new Counter({
      name: 'vrouter_publish_failures_total',
      help: 'Objects that could not be written for other nodes to read; they are tried again.',
      labelNames: ['kind'],
      registers,
    })
    this.#describeState()
    this.#describeProcess(version)
  }

  /** The text that Prometheus reads. */
  text(): Promise<string> {
    this.#present = undefined
    return this.#registry.metrics()
  }

  get contentType(): string {
    return this.#registry.contentType
  }

  observeRound(seconds: number): void {
    this.#round.observe(seconds)
  }

  countPublishFailure(kind: string): void {
    this.#publishFailures.inc({ kind })
  }

  [Symbol.dispose](): void {
    this.#delay.disable()
  }

  #describeState(): void {
    const gauge = (name: string, help: string, value: (state: HealthState) => number) => {
      const state = this.#state
      new Gauge({
        name: `vrouter_${name}`,
        help,
        registers: [this.#registry],
        collect() {
          this.set(value(state()))
        },
      })
    }
    gauge('ready', '1: pods can be started on this node.', ({ ready }) => Number(ready))
    gauge('ports', 'Attached pods.', ({ ports }) => ports)
    gauge('vrfs', 'VRFs, the two of the underlay included.', ({ vrfs }) => vrfs)
    gauge('routes', 'Routes of all VRFs.', ({ routes }) => routes)
    gauge('problems', 'Things that can not be brought into the kernel now.', ({ problems }) => problems)
    gauge('rejected_objects', 'Objects that were set aside, being wrong.', ({ rejected }) => rejected)
    gauge('source_in_sync', '1: the daemon works on what the source has.', ({ source }) => Number(source.inSync))
    this.#describeTables()
    this.#describeDrops()
    this.#describeForeignTunnels()
    this.#describePackets()
    this.#describeServices()
    this.#describeAnnouncements()
  }

  #describeTables(): void {
    const state = this.#state
    for (const [name, help, value] of [
      ['used', 'Entries in use.', ({ used }: TableUse) => used],
      ['max', 'Entries that there is room for.', ({ max }: TableUse) => max],
    ] as const) {
      new Gauge({
        name: `vrouter_table_${name}`,
        help: `${help} At 80 % the daemon warns, a full table refuses.`,
        labelNames: ['table'],
        registers: [this.#registry],
        collect() {
          for (const use of state().tables) this.set({ table: use.table }, value(use))
        },
      })
    }
  }

  #describeDrops(): void {
    const state = this.#state
    new Counter({
      name: 'vrouter_dropped_packets_total',
      help: 'Packets that the datapath dropped, since it was loaded.',
      labelNames: ['reason'],
      registers: [this.#registry],
      collect() {
        // The kernel counts; here it is only repeated.
        this.reset()
        for (const [reason, packets] of state().drops.entries()) {
          if (packets > 0n) this.inc({ reason: reasons.get(reason) ?? `${reason}` }, Number(packets))
        }
      },
    })
  }

  #describeForeignTunnels(): void {
    const state = this.#state
    new Counter({
      name: 'vrouter_foreign_tunnel_packets_total',
      help: 'Packets to a tunnel port from no known node, since the datapath was loaded: they were given to the host.',
      registers: [this.#registry],
      collect() {
        this.reset()
        this.inc(Number(state().foreignTunnels))
      },
    })
  }

  /** pkt0: what the datapath can't answer itself. */
  #describePackets(): void {
    const state = this.#state
    const registers = [this.#registry]
    new Counter({
      name: 'vrouter_agent_packets_total',
      help: 'Packets between the datapath and the daemon, since it started: received, answered, announcements, neighbours asked for.',
      labelNames: ['kind'],
      registers,
      collect() {
        this.reset()
        const { packets } = state()
        if (packets === undefined) return
        this.inc({ kind: 'received' }, packets.received)
        this.inc({ kind: 'answered' }, packets.replies)
        this.inc({ kind: 'announcement' }, packets.announcements)
        this.inc({ kind: 'resolve' }, packets.resolves)
      },
    })
    new Counter({
      name: 'vrouter_agent_dropped_packets_total',
      help: 'Packets for the daemon that got no answer, since it started.',
      labelNames: ['reason'],
      registers,
      collect() {
        this.reset()
        const { packets } = state()
        if (packets === undefined) return
        const { invalid, faults, sendFailures: send_failure } = packets
        for (const [reason, count] of Object.entries({ invalid, fault: faults, send_failure, ...packets.silent }))
          if (count > 0) this.inc({ reason }, count)
      },
    })
  }

  #describeServices(): void {
    const state = this.#state
    new Counter({
      name: 'vrouter_service_flows_total',
      help: 'Flows to Services, since the datapath was loaded: connected to an endpoint, refused or dropped where there is none or none may come.',
      labelNames: ['result'],
      registers: [this.#registry],
      collect() {
        this.reset()
        const services = state().services?.()
        if (services === undefined) return
        this.inc({ result: 'connected' }, Number(services.connections))
        this.inc({ result: 'refused' }, Number(services.refused))
        this.inc({ result: 'dropped' }, Number(services.dropped))
      },
    })
  }

  #describeAnnouncements(): void {
    const state = this.#state
    const registers = [this.#registry]
    new Gauge({
      name: 'vrouter_load_balancer_addresses',
      help: 'Load balancer addresses that this node answers for on the underlay.',
      registers,
      collect() {
        this.set(state().announcements?.announced.size ?? 0)
      },
    })
    new Gauge({
      name: 'vrouter_load_balancer_watched_nodes',
      help: 'Nodes that are asked whether they are there, because this one stands next in line for their addresses.',
      registers,
      collect() {
        this.set(state().announcements?.watched ?? 0)
      },
    })
    new Counter({
      name: 'vrouter_load_balancer_takeovers_total',
      help: 'Addresses taken over from a node that was silent, since the daemon started.',
      registers,
      collect() {
        this.reset()
        this.inc(state().announcements?.takeovers ?? 0)
      },
    })
  }

  #describeProcess(version: string): void {
    const registers = [this.#registry]
    const delay = this.#delay
    new Gauge({ name: 'vrouter_build_info', help: 'Version.', labelNames: ['version'], registers }).set({ version }, 1)
    new Gauge({
      name: 'vrouter_event_loop_lag_seconds',
      help: 'How late the event loop was, since it was last asked for.',
      labelNames: ['quantile'],
      registers,
      collect() {
        const lag = (nanoseconds: number) => Math.max(0, nanoseconds / NANOSECONDS - SAMPLE_MS / 1000)
        this.set({ quantile: '0.5' }, lag(delay.percentile(50)))
        this.set({ quantile: '0.99' }, lag(delay.percentile(99)))
        this.set({ quantile: '1' }, lag(delay.max))
        delay.reset()
      },
    })
    new Gauge({
      name: 'process_resident_memory_bytes',
      help: 'Resident memory of the daemon.',
      registers,
      collect() {
        this.set(process.memoryUsage.rss())
      },
    })
    new Counter({
      name: 'process_cpu_seconds_total',
      help: 'CPU time of the daemon.',
      registers,
      collect() {
        const { user, system } = process.cpuUsage()
        this.reset()
        this.inc((user + system) / 1e6)
      },
    })
    new Gauge({
      name: 'process_start_time_seconds',
      help: 'When the daemon started, since 1970.',
      registers,
    }).set(Date.now() / 1000 - process.uptime())
  }
}
