/**
 * What the agent's REST API does with ports. Contrail's CNI plugin asks in an order of its own: first which interfaces a pod has (`/vm-cfg`; addresses and MAC are
 * chosen then), then it makes them under names of its own and says so (`POST /vm`), then it waits until they forward (`GET /vm`). A pod is known by
 * its uid here, which is also the container id of its port, as the plugin knows no other when it asks.
 */

import type { Port } from '../../model/facts.ts'
import { interfaceUuid, projectOfNamespace, uuidOf, virtualMachineName } from '../../model/names.ts'
import type { Source } from '../../model/objects.ts'
import type { AllocateReply, AllocateRequest, GetReply, GetRequest, ReleaseRequest } from '../messages.ts'
import { type PortFiles, stored } from './port-files.ts'
import { BadBody, type PortObject, PortType, type VmObject } from './port-object.ts'

/** What it needs of ports/. */
export interface AgentPortService {
  all(): readonly Port[]
  allocate(request: AllocateRequest): Promise<AllocateReply>
  /** The tap has that name; it may not be there yet. */
  announce(request: AnnounceRequest): Promise<void>
  get(request: GetRequest): Promise<GetReply>
  release(request: ReleaseRequest): Promise<void>
}

export interface AnnounceRequest {
  readonly containerId: string
  readonly ifname: string
  readonly tap: string
  readonly netns: string
}

export interface Log {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

export interface AgentPortsOptions {
  readonly ports: AgentPortService
  readonly files: PortFiles
  readonly source: Pick<Source, 'state' | 'findPod' | 'knowsPods'>
  readonly cluster: string
  readonly log: Log
  /** Whether the node has a device of that name. */
  readonly hasDevice: (name: string) => boolean
}

/** The plugin makes one interface of that name in a pod, whatever the runtime asks for. */
const IFNAME = 'eth0'
/** Name of the interface of an orchestrator's port, as part of its key: nobody says one. */
const PORT = 'port'
/** Names the CNI network in the records: GC of the real one leaves these alone. */
const NETWORK = 'contrail-k8s-cni'
const NO_VLAN = 65_535
/** How long `GET /vm` waits for the datapath before it answers 404: the plugin asks again after seconds. */
const PROGRAMMED_MS = 1_000

export class AgentPorts implements Disposable {
  readonly #options: AgentPortsOptions
  /** Ports of orchestrators, by id, with the round of announcements in which they were last heard of. */
  readonly #announced = new Map<string, { readonly port: PortObject; readonly round: number }>()
  #round = 0
  #audit: NodeJS.Timeout | undefined

  constructor(options: AgentPortsOptions) {
    this.#options = options
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#audit)
  }

  /** Takes up what the files say. Those whose device is gone are removed. */
  async start(): Promise<void> {
    const { files, log, hasDevice } = this.#options
    const { ports, vms, unusable } = await files.load()
    for (const { file, reason } of unusable) log.warn({ file, reason }, 'a port file can not be read')
    for (const port of ports) {
      if (port.type !== PortType.REMOTE && !hasDevice(port['system-name'])) {
        log.info(
          { port: port.id, device: port['system-name'] },
          'Interface does not exist in OS: its port is forgotten',
        )
        await this.deletePort(port.id)
      } else await this.#takeUp(() => this.addPort(port), port.id)
    }
    for (const vm of vms) {
      if (!hasDevice(vm['host-ifname'])) {
        log.info(
          { vm: vm['vm-uuid'], device: vm['host-ifname'] },
          'Interface does not exist in OS: its port is forgotten',
        )
        await files.removeVm(vm)
        await this.#release(vm['vm-uuid'], IFNAME)
      } else await this.#takeUp(() => this.#addKnownVm(vm), vm['vm-uuid'])
    }
  }

  // ---- pods -------------------------------------------------------------------------------------------------------------------

  /** GET /vm-cfg/<cluster>__<namespace>__<pod>; undefined: no such pod (yet). */
  async configOfVm(name: string): Promise<object[] | undefined> {
    const { cluster, source } = this.#options
    const [itsCluster, namespace, pod, ...more] = name.split('__')
    if (itsCluster !== cluster || !namespace || !pod || more.length > 0) return undefined
    const known = await source.findPod({ namespace, name: pod, uid: '' })
    if (!known && source.knowsPods) return undefined
    const uid = known?.uid ?? uuidOf('vm', name)
    const port = await this.#allocate({
      op: 'allocate',
      containerId: uid,
      ifname: IFNAME,
      netns: '',
      network: NETWORK,
      pod: { namespace, name: pod, uid },
      ...(known && { labels: known.labels, annotations: known.annotations }),
    })
    if (!port) return undefined
    const vn = this.#port(uid)?.vn ?? ''
    const project = projectOfNamespace(cluster, namespace)
    const annotations = {
      ...{ cluster, index: '0/1', interface: IFNAME, kind: 'Pod', name: pod, namespace, network: 'default' },
      ...{ owner: 'k8s', project: project.slice(project.lastIndexOf(':') + 1) },
    }
    return [
      {
        id: port.uuid,
        'vm-uuid': uid,
        'vn-id': source.state().virtualNetworks.get(vn)?.uuid ?? uuidOf('vn', vn),
        'vn-name': vn,
        'mac-address': port.mac,
        'sub-interface': false,
        'vlan-id': NO_VLAN,
        annotations: Object.entries(annotations).map(([key, value]) => `{${key}:${value}}`),
      },
    ]
  }

  /** POST /vm: the plugin has asked for `/vm-cfg` before. */
  async addVm(vm: VmObject): Promise<void> {
    const { ports, files } = this.#options
    const containerId = vm['vm-uuid']
    const port = this.#port(containerId)
    if (port?.uuid !== vm['vmi-uuid']) {
      throw new BadBody(
        `Interface ${vm['vmi-uuid']} of Vm ${containerId} is not known; ask for /vm-cfg/${vm['vm-name']}`,
      )
    }
    await files.writeVm(vm)
    await ports.announce({ containerId, ifname: IFNAME, tap: vm['host-ifname'], netns: vm['vm-namespace'] })
  }

  /** Where our own record was lost and the plugin's file wasn't, the pod gets addresses anew. */
  async #addKnownVm(vm: VmObject): Promise<void> {
    if (!this.#port(vm['vm-uuid'])) await this.configOfVm(vm['vm-name'])
    await this.addVm(vm)
  }

  /** GET /vm/<vm uuid>[/<vmi uuid>]; undefined until it forwards. */
  async vm(uid: string, interfaceId?: string): Promise<object[] | undefined> {
    const port = this.#port(uid)
    if (!port || (interfaceId !== undefined && port.uuid !== interfaceId)) return undefined
    const reply = await this.#programmed({ op: 'get', containerId: uid, ifname: IFNAME })
    if (!reply) return undefined
    const { cluster, source } = this.#options
    const ip4 = reply.addresses.find(({ address }) => !address.includes(':'))
    const ip6 = reply.addresses.find(({ address }) => address.includes(':'))
    const [dns4, dns6] = [false, true].map((is6) =>
      reply.dns.nameservers.find((address) => address.includes(':') === is6),
    )
    return [
      stored({
        id: port.uuid,
        'instance-id': uid,
        'vn-id': source.state().virtualNetworks.get(port.vn)?.uuid ?? uuidOf('vn', port.vn),
        'vm-project-id': uuidOf('project', projectOfNamespace(cluster, port.namespace)),
        'mac-address': port.mac,
        'system-name': port.tap,
        'rx-vlan-id': NO_VLAN,
        'tx-vlan-id': NO_VLAN,
        'vhostuser-mode': 0,
        ...(ip4 && {
          'ip-address': ip4.address,
          plen: ip4.prefixLength,
          'dns-server': dns4 ?? ip4.gateway,
          gateway: ip4.gateway,
        }),
        ...(ip6 && { 'v6-ip-address': ip6.address, 'v6-dns-server': dns6 ?? ip6.gateway, 'v6-gateway': ip6.gateway }),
      }),
    ]
  }

  /** DELETE /vm/<vm uuid>: one that isn't there is fine. */
  async deleteVm(uid: string): Promise<void> {
    const { cluster, files } = this.#options
    const port = this.#port(uid)
    await this.#release(uid, IFNAME)
    const vmi = port?.uuid ?? interfaceUuid(uid, IFNAME)
    // The agent looked under the uid, where no plugin ever wrote; the files lie under the name.
    const names = [uid, ...(port ? [virtualMachineName(cluster, port.namespace, port.pod.name)] : [])]
    for (const name of names) await files.removeVm({ 'vm-name': name, 'vmi-uuid': vmi })
  }

  // ---- ports of orchestrators -------------------------------------------------------------------------------------------------

  /** POST /port with one or several: all are looked at before the first is added. */
  async addPorts(list: readonly PortObject[]): Promise<void> {
    for (const port of list) if (port.type !== PortType.REMOTE) this.#networkOf(port)
    for (const port of list) await this.addPort(port)
  }

  async addPort(port: PortObject): Promise<void> {
    const { ports, files } = this.#options
    const former = this.#announced.get(port.id)?.port
    // A port that is announced again is left alone, one that has changed is made anew.
    if (former && JSON.stringify(former) !== JSON.stringify(port)) await this.#release(port.id, PORT)
    await files.writePort(port)
    this.#announced.set(port.id, { port, round: this.#round })
    // A port of a hypervisor elsewhere is only kept: its traffic comes by VLAN, which this datapath has not.
    if (port.type === PortType.REMOTE) return
    const vn = this.#networkOf(port)
    const addresses = [port['ip-address'], port['ip6-address']].filter((ip) => !/^(|0\.0\.0\.0|::)$/.test(ip))
    await ports.allocate({
      op: 'allocate',
      containerId: port.id,
      ifname: PORT,
      netns: '',
      network: NETWORK,
      uuid: port.id,
      pod: { namespace: vn.namespace, name: port['display-name'] || port['instance-id'], uid: port['instance-id'] },
      annotations: { 'vrouter.dev/network': vn.fqName },
      mac: port['mac-address'],
      ...(addresses.length > 0 && { addresses }),
    })
    await ports.announce({ containerId: port.id, ifname: PORT, tap: port['system-name'], netns: '' })
  }

  /** GET /port/<uuid>. */
  port(id: string): Promise<unknown> {
    return this.#options.files.readPort(id)
  }

  async deletePort(id: string): Promise<void> {
    this.#announced.delete(id)
    await this.#options.files.removePort(id)
    await this.#release(id, PORT)
  }

  /** PUT /enable-port and /disable-port. */
  async setLinkState(id: string, isUp: boolean): Promise<void> {
    const known = this.#announced.get(id)
    if (!known) throw new BadBody(`Port not found ${id}`)
    if (known.port.type !== PortType.REMOTE) throw new BadBody(`Incorrect Port type for ${id}`)
    const port = { ...known.port, 'link-state': isUp ? 1 : 0 }
    this.#announced.set(id, { ...known, port })
    await this.#options.files.writePort(port)
  }

  /**
   * POST /syncports: an orchestrator's client starts over. What it doesn't add again within the time is stale. Pods are none of its
   * business. `seconds` 0: nothing is ever stale.
   */
  syncPorts(seconds: number): void {
    this.#round++
    clearTimeout(this.#audit)
    if (seconds === 0) return
    this.#audit = setTimeout(() => void this.removeStale(), seconds * 1000)
    this.#audit.unref()
  }

  async removeStale(): Promise<void> {
    for (const [id, { port, round }] of this.#announced) {
      if (round === this.#round) continue
      try {
        await this.deletePort(id)
        this.#options.log.info({ port: id, device: port['system-name'] }, 'removed a port that was not announced again')
      } catch (error) {
        this.#options.log.warn({ port: id, error: (error as Error).message }, 'a stale port can not be removed')
      }
    }
  }

  // ---- inside ---------------------------------------------------------------------------------------------------------------

  #port(uid: string): Port | undefined {
    return this.#options.ports.all().find(({ containerId, ifname }) => containerId === uid && ifname === IFNAME)
  }

  /** Undefined where trying again may help: the plugin does when it gets a 404. Why stands in the log only. */
  async #allocate(request: AllocateRequest): Promise<AllocateReply | undefined> {
    try {
      return await this.#options.ports.allocate(request)
    } catch (error) {
      const { retry, message } = error as Error & { readonly retry?: boolean }
      if (retry !== true) throw error
      this.#options.log.warn({ pod: request.pod }, `a pod has no interface yet: ${message}`)
      return undefined
    }
  }

  #networkOf(port: PortObject): { readonly namespace: string; readonly fqName: string } {
    for (const vn of this.#options.source.state().virtualNetworks.values()) if (vn.uuid === port['vn-id']) return vn
    throw new BadBody(`Invalid VN uuid ${port['vn-id']}: there is no such network`)
  }

  async #programmed(request: GetRequest): Promise<GetReply | undefined> {
    const late = Promise.withResolvers<undefined>()
    const timer = setTimeout(() => late.resolve(undefined), PROGRAMMED_MS)
    try {
      return await Promise.race([this.#options.ports.get(request).catch(() => undefined), late.promise])
    } finally {
      clearTimeout(timer)
    }
  }

  #release(containerId: string, ifname: string): Promise<void> {
    return this.#options.ports.release({ op: 'release', containerId, ifname })
  }

  async #takeUp(work: () => Promise<void>, id: string): Promise<void> {
    try {
      await work()
    } catch (error) {
      this.#options.log.warn({ id, error: (error as Error).message }, 'a port of before can not be taken up')
    }
  }
}
