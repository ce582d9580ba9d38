/**
 * The pods' attachments of this node, from ADD to DEL. One Port per (container id, interface name), never per pod name: a pod's old and
 * new sandbox may live side by side for a while.
 *
 *   allocate   addresses and names are chosen and recorded on disk, then answered; repeated, it answers the same
 *   register   the tap is there: the model gets it, and the answer waits until the datapath is programmed
 *   release    the record goes, the addresses become free (after a quarantine)
 *
 * Records outlive the daemon. A record whose tap and namespace are gone (the node was rebooted, a DEL never came) is removed after a while.
 */

import { canonicalAddress, contains, familyOf, mustParseAddress, mustParseCidr } from '../model/address.ts'
import { type Slip, slipsOf } from '../model/annotations.ts'
import { modelError } from '../model/errors.ts'
import type { Port } from '../model/facts.ts'
import type { PodAddress } from '../model/ipam.ts'
import { interfaceUuid, podMac, ROUTER_MAC, tapName } from '../model/names.ts'
import { addressesOfPod, macOfPod, networkOfAttachment, networkOfPod } from '../model/namespace-network.ts'
import type { FqName, Pod, Source, VirtualMachineInterface, VirtualNetwork } from '../model/objects.ts'
import { ownerOfMac } from '../model/reserved-macs.ts'
import { movedMessage, networkNow, unmanagedMessage, unmanagedPods } from '../model/unmanaged-pods.ts'
import type {
  AllocateReply,
  AllocateRequest,
  GetReply,
  GetRequest,
  ListReply,
  ListRequest,
  RegisterReply,
  RegisterRequest,
  ReleaseRequest,
} from '../port-api/messages.ts'
import { Addresses, type Holder } from './addresses.ts'
import { Deletes } from './deletes.ts'
import { PortError, reportOf } from './errors.ts'
import { isNamespaceAlive } from './netns.ts'
import { type CorruptRecord, type PortRecord, Records, recordKey } from './records.ts'
import { Serial } from './serial.ts'

export interface Log {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface Programmed {
  readonly vif: number
  readonly vrf: number
}

/** Whether ADD can be served, and if not, why. */
export type Readiness =
  | { readonly ready: true }
  | { readonly ready: false; readonly message: string; readonly podsAffected: boolean }

export interface PortsOptions {
  readonly source: Source
  readonly node: string
  readonly cluster: { readonly name: string; readonly domain: string }
  /** paths.state. */
  readonly state: string
  readonly log: Log
  /** MTU of a pod's interface, bytes: the underlay's less the encapsulation. */
  readonly podMtu: () => number
  /** ifindex of a device of this node, undefined when there is none. */
  readonly linkIndex: (name: string) => number | undefined
  /** The set of ports changed: compute and program anew. */
  readonly onPortsChanged: () => void
  /** Resolves when the datapath forwards for that port, rejects when it can't. The signal ends the interest in it. */
  readonly programmed: (uuid: string, signal: AbortSignal) => Promise<Programmed>
  /** What is known to keep that port from being programmed; told with a register that took too long. */
  readonly obstacle?: (uuid: string) => string | undefined
  /** CHECK: what the datapath holds for that port, compared with what it should hold. */
  readonly verify?: (uuid: string) => Promise<Pick<GetReply, 'verified' | 'mismatches'>>
  readonly readiness: () => Readiness
  /** limits.vifs, less those that aren't pods'. */
  readonly maxPorts: number
  readonly programTimeoutMs?: number
  readonly quarantineMs?: number
  /** A block of addresses that no port has used for this long is given back. */
  readonly idleBlockMs?: number
  /** A record whose tap and namespace are gone is removed after this time. */
  readonly garbageMs?: number
  /** How often garbage and queued deletions are looked for. */
  readonly maintenanceMs?: number
  readonly isNamespaceAlive?: (path: string) => Promise<boolean>
  readonly now?: () => number
}

const DEFAULTS = {
  programTimeoutMs: 30_000,
  quarantineMs: 30_000,
  idleBlockMs: 10 * 60_000,
  garbageMs: 5 * 60_000,
  maintenanceMs: 30_000,
  isNamespaceAlive,
  now: Date.now,
}

/** What waits longer than this, waits for something else than the daemon's thread. */
const FRESH_MS = 1_000

export class Ports implements AsyncDisposable {
  readonly #options: PortsOptions & typeof DEFAULTS
  readonly #records: Records
  readonly #deletes: Deletes
  readonly #addresses: Addresses
  readonly #byKey = new Map<string, PortRecord>()
  readonly #serial = new Serial()
  /** Ends the waiting of a register when its port is released. */
  readonly #registering = new Map<string, AbortController>()
  /** Since when a port's tap has been missing. */
  readonly #missingSince = new Map<string, number>()
  /** Ports that this daemon released and whose interface objects the source may still show. */
  readonly #released = new Set<string>()
  /** Pods without a port, and whether they had none at the last upkeep either: then it isn't a deletion under way. */
  #unmanaged: ReadonlyMap<string, { readonly pod: Pod; readonly isCertain: boolean }> = new Map()
  /** What was reported of pods that stay as they are, and isn't reported again. */
  #reported: ReadonlySet<string> = new Set()
  #timer: NodeJS.Timeout | undefined
  /** Requests for a pod that are being worked on, and when the last one came. */
  #serving = 0
  #askedAt = Number.NEGATIVE_INFINITY

  constructor(options: PortsOptions) {
    this.#options = { ...DEFAULTS, ...options }
    this.#records = new Records(options.state)
    this.#deletes = new Deletes(options.state)
    const { source, node, quarantineMs, idleBlockMs, now } = this.#options
    this.#addresses = new Addresses({ source, node, quarantineMs, idleBlockMs, now })
  }

  /**
   * Reads the records, restores what it can of corrupt ones, replays queued deletions and removes garbage. Call it when the source is in sync and
   * before the first tables are computed. `maintain` once more after the socket listens: a DEL may have queued in between.
   */
  async start(): Promise<void> {
    const { records, corrupt } = await this.#records.load()
    for (const record of records) this.#byKey.set(keyOf(record.port), record)
    for (const entry of corrupt) await this.#restore(entry)
    await this.#restoreLost()
    this.refresh()
    await this.maintain()
    this.#options.log.info({ ports: this.#byKey.size, corrupt: corrupt.length }, 'read the port records')
    this.#timer = setInterval(() => {
      this.maintain().catch((error) =>
        this.#options.log.error({ error: (error as Error).message }, 'the upkeep of ports failed'),
      )
    }, this.#options.maintenanceMs)
    this.#timer.unref()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    for (const waiting of this.#registering.values()) waiting.abort(PortError.of('NOT_READY', 'the daemon is stopping'))
  }

  /** The ports, by creation. Those without an ifindex have no tap (yet). */
  all(): Port[] {
    return this.#all().map(({ port }) => port)
  }

  /** Pods of this node that were here before us: somebody else gave them their addresses. */
  unmanaged(): Pod[] {
    return [...this.#unmanaged.values()].flatMap(({ pod, isCertain }) => (isCertain ? [pod] : []))
  }

  /** A runtime has just asked for something, and is waiting for it. */
  get isServing(): boolean {
    return this.#serving > 0 && performance.now() - this.#askedAt < FRESH_MS
  }

  async #served<T>(work: () => Promise<T>): Promise<T> {
    this.#serving++
    this.#askedAt = performance.now()
    try {
      return await work()
    } finally {
      this.#serving--
    }
  }

  // ---- the port API ---------------------------------------------------------------------------------------------------------

  allocate(request: AllocateRequest): Promise<AllocateReply> {
    return this.#served(() => this.#reportingFailure(request.pod, () => this.#allocate(request)))
  }

  #allocate(request: AllocateRequest): Promise<AllocateReply> {
    const key = keyOf(request)
    return this.#serial.run(key, async () => {
      // A deletion that nobody has replayed yet is about the former life of this attachment.
      if (await this.#deletes.remove(key)) await this.#forget(key)
      const existing = this.#byKey.get(key)
      if (existing) return this.#allocateAgain(existing, request)
      this.#checkReady()
      const { maxPorts } = this.#options
      if (this.#byKey.size >= maxPorts)
        throw PortError.of('PORT_LIMIT', `this node has ${this.#byKey.size} interfaces, the most that it may have`)
      // Of two interfaces of one pod only the first has default routes: one is chosen after the other.
      const record = await this.#serial.run(`of ${request.containerId}`, () => this.#choose(request))
      try {
        await this.#records.write(record)
      } catch (error) {
        this.#byKey.delete(key)
        throw error
      }
      // A network that is new here is prepared while the tap is made; for any other one register is soon enough.
      if (this.#isFirstOf(record)) this.#options.onPortsChanged()
      return this.#reply(record, false)
    })
  }

  register(request: RegisterRequest): Promise<RegisterReply> {
    const port = this.#byKey.get(keyOf(request))?.port
    const pod = port && { namespace: port.namespace, ...port.pod }
    return this.#served(() => this.#reportingFailure(pod, () => this.#register(request)))
  }

  async #register(request: RegisterRequest): Promise<RegisterReply> {
    const key = keyOf(request)
    const controller = new AbortController()
    const { uuid, written } = await this.#serial.run(key, async () => {
      const record = this.#byKey.get(key)
      if (!record)
        throw PortError.of('NOT_ALLOCATED', `nothing is allocated for ${request.containerId} ${request.ifname}`)
      const registered: PortRecord = {
        ...record,
        registered: true,
        netns: request.netns ?? record.netns,
        port: { ...record.port, ifindex: request.ifindex },
      }
      this.#byKey.set(key, registered)
      this.#missingSince.delete(key)
      this.#registering.get(key)?.abort(PortError.of('RELEASED', 'the interface was registered again'))
      this.#registering.set(key, controller)
      // A restarted daemon finds the index by the tap's name, so nobody waits for the disk here.
      return { uuid: record.port.uuid, written: this.#records.write(registered, { durable: false }) }
    })
    this.#options.onPortsChanged()
    try {
      const [programmed] = await Promise.all([this.#programmed(uuid, controller.signal), written])
      return { ok: true, ...programmed }
    } finally {
      if (this.#registering.get(key) === controller) this.#registering.delete(key)
    }
  }

  /** As register, for who makes taps under names of its own and doesn't wait for the datapath. The tap may come later. */
  async announce(request: {
    readonly containerId: string
    readonly ifname: string
    readonly tap: string
    readonly netns: string
  }): Promise<void> {
    const key = keyOf(request)
    await this.#serial.run(key, async () => {
      const record = this.#byKey.get(key)
      if (!record)
        throw PortError.of('NOT_ALLOCATED', `nothing is allocated for ${request.containerId} ${request.ifname}`)
      const { ifindex: _, ...port } = record.port
      const ifindex = this.#options.linkIndex(request.tap)
      const announced: PortRecord = {
        ...record,
        registered: true,
        netns: request.netns || record.netns,
        port: { ...port, tap: request.tap, ...(ifindex !== undefined && { ifindex }) },
      }
      // The tap's name can't be found out by a restarted daemon.
      await this.#records.write(announced)
      this.#byKey.set(key, announced)
    })
    this.#options.onPortsChanged()
  }

  release(request: ReleaseRequest): Promise<void> {
    const key = keyOf(request)
    return this.#serial.run(key, async () => {
      this.#registering
        .get(key)
        ?.abort(PortError.of('RELEASED', `${request.containerId} ${request.ifname} was deleted`))
      await this.#forget(key)
      await this.#deletes.remove(key)
    })
  }

  /** What should be there of a complete attachment; throws NOT_ATTACHED for another one. */
  async get(request: GetRequest): Promise<GetReply> {
    const record = this.#byKey.get(keyOf(request))
    const which = `${request.containerId} ${request.ifname}`
    if (!record) throw PortError.of('NOT_ATTACHED', `the daemon knows no attachment ${which}`)
    if (!record.registered) throw PortError.of('NOT_ATTACHED', `attachment ${which} was never completed`)
    if (record.port.ifindex === undefined)
      throw PortError.of('NOT_ATTACHED', `device ${record.port.tap} of attachment ${which} is gone`)
    await this.#programmed(record.port.uuid, new AbortController().signal)
    const findings = (await this.#options.verify?.(record.port.uuid)) ?? { verified: [], mismatches: [] }
    return { ...this.#reply(record, true), ...findings }
  }

  async list(request: ListRequest): Promise<ListReply> {
    const attachments = [...this.#byKey.values()]
      .filter(({ network }) => network === request.network)
      .map(({ port: { containerId, ifname } }) => ({ containerId, ifname }))
    return { ok: true, attachments }
  }

  async status(): Promise<void> {
    this.#checkReady()
  }

  // ---- upkeep ---------------------------------------------------------------------------------------------------------------

  /**
   * Looks which taps are there: a device that vanished takes its ifindex from the port, one that came back gives it again. Call it when
   * devices have come or gone. Tells whether anything changed.
   */
  refresh(): boolean {
    let changed = false
    for (const [key, record] of this.#byKey) {
      if (!record.registered) continue
      const ifindex = this.#options.linkIndex(record.port.tap)
      if (ifindex === undefined) {
        if (!this.#missingSince.has(key)) this.#missingSince.set(key, this.#options.now())
      } else this.#missingSince.delete(key)
      if (ifindex === record.port.ifindex) continue
      const { ifindex: _, ...port } = record.port
      this.#byKey.set(key, { ...record, port: ifindex === undefined ? port : { ...port, ifindex } })
      changed = true
    }
    if (changed) this.#options.onPortsChanged()
    return changed
  }

  /** Replays queued deletions, removes ports that nobody will ever delete, and gives idle blocks back. */
  async maintain(): Promise<void> {
    for (const key of await this.#deletes.list()) {
      await this.#serial.run(key, async () => {
        if (!(await this.#deletes.remove(key))) return
        const known = this.#byKey.get(key)?.port
        await this.#forget(key)
        const fields = { attachment: key, ...(known && describe(known)) }
        this.#options.log.info(fields, 'replayed a deletion of the time when the daemon was down')
      })
    }
    await this.#removeGarbage()
    this.#reportPods()
    await this.#giveBack()
    const { interfaces } = this.#options.source.state()
    for (const uuid of this.#released) if (!interfaces.has(uuid)) this.#released.delete(uuid)
  }

  async #giveBack(): Promise<void> {
    const { log } = this.#options
    const onFailure = ({ name, vn }: { readonly name: string; readonly vn: string }, error: unknown) =>
      log.warn(
        { block: name, vn, error: (error as Error).message },
        'a block of addresses could not be given back; trying again',
      )
    for (const { name, vn } of await this.#addresses.giveBack(() => this.#holders(false), onFailure))
      log.info({ block: name, vn }, 'gave a block of addresses back that no pod uses')
  }

  /** Tells once of pods that aren't as they would be if they started now. */
  #reportPods(): void {
    const { source, cluster } = this.#options
    const state = source.state()
    const before = this.#unmanaged
    const now = unmanagedPods(state.pods.values(), this.all())
    this.#unmanaged = new Map(now.map((pod) => [pod.uid, { pod, isCertain: before.has(pod.uid) }]))
    const reported = new Set<string>()
    const report = (pod: PodName, reason: string, message: string, isWorking = false) => {
      const { namespace, name, uid } = pod
      const key = `${uid} ${message}`
      reported.add(key)
      if (this.#reported.has(key)) return
      const object = { kind: 'Pod', namespace, name, uid } as const
      source.report({ object, type: 'Warning', reason, message, ...(isWorking && { isWorking }) })
    }
    for (const pod of this.unmanaged()) report(pod, 'NotInNetwork', unmanagedMessage(pod))
    for (const port of this.all()) {
      const vn = networkNow(port, state, cluster.name)
      if (vn !== undefined)
        report({ namespace: port.namespace, ...port.pod }, 'NetworkChanged', movedMessage(port, vn), true)
    }
    const isChanged = [...reported].some((key) => !this.#reported.has(key)) || reported.size !== this.#reported.size
    this.#reported = reported
    if (isChanged) this.#options.onPortsChanged()
  }

  async #removeGarbage(): Promise<void> {
    const { now, garbageMs, linkIndex, isNamespaceAlive, log } = this.#options
    for (const [key, { port }] of this.#byKey) {
      const age = now() - (this.#missingSince.get(key) ?? Date.parse(port.createdAt))
      // At the start nobody knows since when a tap is missing: the port's age has to do.
      const isOld = age > garbageMs || (this.#timer === undefined && now() - Date.parse(port.createdAt) > garbageMs)
      if (!isOld || linkIndex(port.tap) !== undefined) continue
      if (await isNamespaceAlive(this.#byKey.get(key)?.netns ?? '')) continue
      await this.#serial.run(key, async () => {
        if (linkIndex(port.tap) !== undefined) return
        await this.#forget(key)
        log.warn(describe(port), 'removed a port whose tap and network namespace are gone: its deletion never came')
      })
    }
  }

  // ---- inside ---------------------------------------------------------------------------------------------------------------

  #checkReady(): void {
    const readiness = this.#options.readiness()
    if (!readiness.ready)
      throw PortError.of(readiness.podsAffected ? 'DATAPATH_BROKEN' : 'NOT_READY', readiness.message)
  }

  /** Whoever looks at the pod learns why it has no network, in the words that its runtime gets. */
  async #reportingFailure<T>(pod: PodName | undefined, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      const isNews = error instanceof PortError && error.code !== 'NOT_READY' && error.code !== 'RELEASED'
      if (isNews && pod !== undefined) {
        const { namespace, name, uid } = pod
        this.#options.source.report({
          object: { kind: 'Pod', namespace, name, uid },
          type: 'Warning',
          ...reportOf(error),
        })
      }
      throw error
    }
  }

  async #findPod(pod: PodName): Promise<Pod | undefined> {
    try {
      return await this.#options.source.findPod(pod)
    } catch (error) {
      const message = `cannot ask what pod ${pod.namespace}/${pod.name} is to be: ${(error as Error).message}`
      throw PortError.of('SOURCE_AWAY', message, { cause: error })
    }
  }

  /** Takes addresses and enters the new port, so that nobody else gets them; the caller writes the record. */
  async #choose(request: AllocateRequest): Promise<PortRecord> {
    const { containerId, ifname, pod } = request
    const { source, cluster, podMtu, now } = this.#options
    const known = await this.#findPod(pod)
    if (known === undefined && source.knowsPods) {
      const message = `pod ${pod.namespace}/${pod.name} (uid ${pod.uid}) is not known here: it is new, or gone`
      throw PortError.of('POD_MISSING', message)
    }
    // What the cluster says of the pod counts before what the runtime passed on.
    const annotations = { ...request.annotations, ...known?.annotations }
    const labels = { ...request.labels, ...known?.labels }
    const reference = { namespace: pod.namespace, name: pod.name, annotations, labels }
    const network =
      request.virtualNetwork === undefined
        ? networkOfPod(reference, source.state(), cluster.name)
        : networkOfAttachment({ ...pod, ifname }, request.virtualNetwork, source.state(), cluster.name)
    if (!network.ok) throw PortError.ofModel(network.error)
    const others = this.#all().filter(({ port }) => port.containerId === containerId)
    const twin = others.find(({ port }) => port.vn === network.vn.fqName)?.port
    if (twin !== undefined) {
      const message = `pod ${pod.namespace}/${pod.name} is in network ${twin.vn} already, with interface ${twin.ifname}`
      throw PortError.of('NETWORK_TWICE', message)
    }
    const isFirst = others.every(({ routes }) => routes !== undefined)
    if (isFirst) this.#reportSlips(pod, slipsOf('pod', reference))
    // Annotations are about the pod's first interface.
    const own = isFirst ? reference : { ...reference, annotations: {} }
    const wanted = request.addresses?.length ? addressesOfRequest(request.addresses) : addressesOfPod(own)
    if (!wanted.ok) throw PortError.ofModel(wanted.error)
    const asked = macOfPod(own)
    if (!asked.ok) throw PortError.ofModel(asked.error)
    const mac = request.mac ?? asked.mac
    const uuid = request.uuid ?? interfaceUuid(containerId, ifname)
    if (mac !== undefined) this.#checkMac(mac, network.vn.fqName, uuid)
    const enter = (addresses: readonly PodAddress[]): PortRecord => {
      // Others may have had their turn meanwhile.
      if (mac !== undefined) this.#checkMac(mac, network.vn.fqName, uuid)
      const record: PortRecord = {
        port: {
          uuid,
          containerId,
          ifname,
          namespace: pod.namespace,
          pod: { name: pod.name, uid: pod.uid },
          vn: network.vn.fqName,
          mac: mac ?? podMac(uuid),
          addresses: addresses.map(({ address }) => address),
          tap: tapName(containerId, ifname),
          mtu: podMtu(),
          labels,
          createdAt: new Date(now()).toISOString(),
          networkFrom: network.from,
        },
        registered: false,
        netns: request.netns,
        ...(request.network !== undefined && { network: request.network }),
        ...(request.portMappings && { portMappings: request.portMappings }),
        ...(request.bandwidth && { bandwidth: request.bandwidth }),
        addresses,
        ...(!isFirst && { routes: routesWithin(network.vn, addresses) }),
      }
      this.#byKey.set(keyOf(request), record)
      this.#released.delete(uuid)
      return record
    }
    return this.#addresses.take(network.vn, wanted.addresses, () => this.#holders(wanted.addresses.length > 0), enter)
  }

  /** What of the pod's annotations does nothing, though it starts. */
  #reportSlips({ namespace, name, uid }: PodName, slips: readonly Slip[]): void {
    const { source, log } = this.#options
    for (const { message, isForeign } of slips) {
      log.warn({ pod: `${namespace}/${name}` }, message)
      const object = { kind: 'Pod', namespace, name, uid } as const
      const type = isForeign === true ? 'Normal' : 'Warning'
      source.report({ object, type, reason: 'AnnotationUnclear', message, isWorking: true })
    }
  }

  /** A pod that has the gateway's MAC, or that of another one of its network on whatever node, would take its frames. */
  #checkMac(mac: string, vn: FqName, uuid: string): void {
    const owner = ownerOfMac(mac)
    if (owner !== undefined) throw PortError.ofModel(modelError('MAC_RESERVED', `the MAC address ${mac} is ${owner}`))
    const refuse = ({ namespace, pod }: Pick<Port, 'namespace' | 'pod'>, where: string): never => {
      const message = `pod ${namespace}/${pod.name}${where} has the MAC address ${mac} already, in ${vn}`
      throw PortError.of('MAC_IN_USE', message)
    }
    for (const { port } of this.#byKey.values()) if (port.mac === mac && port.vn === vn) refuse(port, '')
    for (const vmi of this.#options.source.state().interfaces.values()) {
      if (vmi.mac !== mac || vmi.vn !== vn || vmi.uuid === uuid || this.#released.has(vmi.uuid)) continue
      refuse(vmi, ` on node ${vmi.node}`)
    }
  }

  /**
   * Who holds addresses: our ports, and interface objects that say they are ours though no record is left of them. Other nodes' interfaces lie in
   * other nodes' blocks, so they matter only to a pod that asks for a certain address.
   */
  *#holders(isFixed: boolean): Generator<Holder> {
    for (const { port } of this.#byKey.values()) yield port
    for (const vmi of this.#options.source.state().interfaces.values()) {
      const isOurs = vmi.node === this.#options.node
      if ((isOurs && !this.#released.has(vmi.uuid)) || (!isOurs && isFixed)) yield vmi
    }
  }

  async #allocateAgain(existing: PortRecord, request: AllocateRequest): Promise<AllocateReply> {
    // One that is complete isn't touched: ADD is going to be refused, or it says at register where the pod is now.
    if (existing.netns !== request.netns && !existing.registered) {
      const moved = { ...existing, netns: request.netns }
      await this.#records.write(moved)
      this.#byKey.set(keyOf(request), moved)
      return this.#reply(moved, true)
    }
    return this.#reply(existing, true)
  }

  #isFirstOf({ port: { uuid, vn } }: PortRecord): boolean {
    for (const { port } of this.#byKey.values()) if (port.vn === vn && port.uuid !== uuid) return false
    return true
  }

  #all(): PortRecord[] {
    return [...this.#byKey.values()]
  }

  #reply({ port, addresses, registered, routes }: PortRecord, existed: boolean): AllocateReply {
    const dns =
      routes === undefined
        ? { nameservers: addresses.map(({ service }) => service), domain: this.#options.cluster.domain }
        : { nameservers: [] }
    return {
      ok: true,
      uuid: port.uuid,
      tap: port.tap,
      tapMac: ROUTER_MAC,
      mac: port.mac,
      mtu: port.mtu,
      addresses: addresses.map(({ address, prefixLength, gateway }) => ({ address, prefixLength, gateway })),
      routes: routes ?? addresses.map(({ gateway }) => ({ destination: DEFAULT_ROUTE[familyOf(gateway)], gateway })),
      dns,
      existed,
      registered: existed && registered,
    }
  }

  async #programmed(uuid: string, signal: AbortSignal): Promise<Programmed> {
    const { programmed, programTimeoutMs } = this.#options
    const timeout = AbortSignal.timeout(programTimeoutMs)
    const given = Promise.withResolvers<never>()
    const isLate = (): void => {
      const why = this.#options.obstacle?.(uuid)
      const message = `the datapath was not programmed within ${programTimeoutMs} ms${why === undefined ? '' : `: ${why}`}`
      given.reject(PortError.of('PROGRAM_TIMEOUT', message))
    }
    const isEnded = (): void => given.reject(signal.reason)
    timeout.addEventListener('abort', isLate)
    signal.addEventListener('abort', isEnded)
    if (signal.aborted) isEnded()
    try {
      return await Promise.race([programmed(uuid, AbortSignal.any([signal, timeout])), given.promise])
    } catch (error) {
      if (error instanceof PortError) throw error
      throw PortError.of('PROGRAM_FAILED', `cannot program the datapath: ${(error as Error).message}`, { cause: error })
    } finally {
      timeout.removeEventListener('abort', isLate)
      signal.removeEventListener('abort', isEnded)
      given.promise.catch(() => undefined)
    }
  }

  /** Removes record and port. What isn't there is fine. Within the key's turn. */
  async #forget(key: string): Promise<void> {
    await this.#records.remove(key)
    const record = this.#byKey.get(key)
    if (!record) return
    this.#byKey.delete(key)
    this.#missingSince.delete(key)
    this.#released.add(record.port.uuid)
    this.#addresses.release(record.port)
    this.#options.onPortsChanged()
    // Nobody waits for the source; upkeep tries again.
    if (this.#addresses.holdsSingle(record.port))
      this.#giveBack().catch((error) =>
        this.#options.log.error({ error: (error as Error).message }, 'the upkeep of ports failed'),
      )
  }

  /** Interfaces that this node published, whose taps are there and whose records are not: the state folder was lost under pods that run. */
  async #restoreLost(): Promise<void> {
    const { source, node, linkIndex, log } = this.#options
    const { interfaces, virtualNetworks } = source.state()
    const lost = [...interfaces.values()].filter(
      (vmi) =>
        vmi.node === node &&
        !this.#byKey.has(keyOf(vmi)) &&
        linkIndex(tapName(vmi.containerId, vmi.ifname)) !== undefined,
    )
    // Of several interfaces of a pod the first has the default routes.
    for (const vmi of lost.sort((one, other) => (one.ifname < other.ifname ? -1 : 1))) {
      const vn = virtualNetworks.get(vmi.vn)
      if (vn === undefined) continue
      const { port } = await this.#restoreFrom(vmi, vn)
      log.warn(describe(port), 'a port record is lost; it was restored from the interface that this node published')
    }
  }

  async #restoreFrom(vmi: VirtualMachineInterface, vn: VirtualNetwork): Promise<PortRecord> {
    const { podMtu, now } = this.#options
    const isFirst = this.#all().every(
      ({ port, routes }) => port.containerId !== vmi.containerId || routes !== undefined,
    )
    const record = recordOfInterface(vmi, vn, podMtu(), now(), isFirst)
    this.#byKey.set(keyOf(record.port), record)
    await this.#records.write(record)
    return record
  }

  /** Rebuilds a corrupt record from the interface object that this node published for it, or says that it is lost. */
  async #restore(corrupt: CorruptRecord): Promise<void> {
    const { source, node, log } = this.#options
    const fields = { file: corrupt.file, movedTo: corrupt.movedTo, reason: corrupt.reason }
    const { interfaces, virtualNetworks } = source.state()
    const vmi = interfaces.values().find((one) => one.node === node && keyOf(one) === corrupt.key)
    const vn = vmi && virtualNetworks.get(vmi.vn)
    if (!vmi || !vn) {
      log.error(fields, 'a port record is corrupt and was set aside; its pod has no network until it is made anew')
      return
    }
    const record = await this.#restoreFrom(vmi, vn)
    log.warn(
      { ...fields, ...describe(record.port) },
      'a port record was corrupt; it was restored from the interface that this node published',
    )
  }
}

const DEFAULT_ROUTE = { 4: '0.0.0.0/0', 6: '::/0' } as const

interface PodName {
  readonly namespace: string
  readonly name: string
  readonly uid: string
}

function keyOf({ containerId, ifname }: { readonly containerId: string; readonly ifname: string }): string {
  return recordKey(containerId, ifname)
}

/** Addresses that the runtime names (runtimeConfig, args, CNI_ARGS). */
function addressesOfRequest(texts: readonly string[]): ReturnType<typeof addressesOfPod> {
  const addresses = texts.map((text) => canonicalAddress(text))
  const isValid = addresses.every((address) => address !== undefined)
  if (isValid && new Set(addresses.map((address) => familyOf(address))).size === addresses.length)
    return { ok: true, addresses }
  const message = `the runtime asks for ${texts.join(', ')}: a pod has one address of each family`
  return { ok: false, error: modelError('ADDRESS_ANNOTATION', message) }
}

function describe({ namespace, pod, containerId, ifname, addresses }: Port): object {
  return { pod: `${namespace}/${pod.name}`, containerId, ifname, addresses }
}

/** An interface beside the pod's first leads to its own network: what isn't on its link goes by its gateway. */
function routesWithin({ subnets }: VirtualNetwork, addresses: readonly PodAddress[]): PortRecord['routes'] {
  return addresses.flatMap(({ address, gateway }) => {
    const own = mustParseAddress(address)
    return subnets
      .map(({ cidr }) => ({ cidr, prefix: mustParseCidr(cidr) }))
      .filter(({ prefix }) => prefix.family === own.family && !contains(prefix, own))
      .map(({ cidr }) => ({ destination: cidr, gateway }))
  })
}

function recordOfInterface(
  vmi: VirtualMachineInterface,
  vn: VirtualNetwork,
  mtu: number,
  now: number,
  isFirst: boolean,
): PortRecord {
  const addresses = vmi.addresses.flatMap((address): PodAddress[] => {
    const subnet = vn.subnets.find(({ cidr }) => contains(mustParseCidr(cidr), mustParseAddress(address)))
    return subnet
      ? [{ address, prefixLength: mustParseCidr(subnet.cidr).length, gateway: subnet.gateway, service: subnet.service }]
      : []
  })
  const { uuid, containerId, ifname, namespace, pod, mac } = vmi
  return {
    port: {
      uuid,
      containerId,
      ifname,
      namespace,
      pod,
      vn: vmi.vn,
      mac,
      addresses: vmi.addresses,
      tap: tapName(containerId, ifname),
      mtu,
      labels: {},
      createdAt: new Date(now).toISOString(),
    },
    registered: true,
    netns: '',
    addresses,
    ...(!isFirst && { routes: routesWithin(vn, addresses) }),
  }
}
