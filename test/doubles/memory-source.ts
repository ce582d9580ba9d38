/** A Source without a store, for tests: what is published is there at once, unless the test delays or refuses it. */

import type {
  Address,
  IpamBlock,
  Namespace,
  Pod,
  Published,
  Report,
  Source,
  SourceState,
  VirtualMachineInterface,
  VirtualNetwork,
  VirtualNetworkRouter,
  VirtualRouter,
} from '../../daemon/src/model/objects.ts'

export class MemorySource implements Source {
  readonly namespaces = new Map<string, Namespace>()
  readonly virtualNetworks = new Map<string, VirtualNetwork>()
  readonly blocks = new Map<string, IpamBlock>()
  readonly interfaces = new Map<string, VirtualMachineInterface>()
  readonly routers = new Map<string, VirtualRouter>()
  readonly networkRouters = new Map<string, VirtualNetworkRouter>()
  readonly pods = new Map<string, Pod>()
  readonly reports: Report[] = []
  /** Blocks in the store that `state` doesn't show (yet). */
  readonly hidden = new Map<string, IpamBlock>()
  /** Runs before each publication; may throw or wait. */
  onPublish: (published: Published) => Promise<void> | void = () => undefined
  /** False: new blocks stay hidden, as if the watch lagged behind. */
  showsBlocks = true

  constructor(networks: readonly VirtualNetwork[]) {
    for (const network of networks) this.virtualNetworks.set(network.fqName, network)
  }

  async start(onChange: () => void): Promise<void> {
    onChange()
  }

  state(): SourceState {
    const { namespaces, virtualNetworks, blocks, interfaces, routers, networkRouters, pods } = this
    return { namespaces, virtualNetworks, blocks, interfaces, routers, networkRouters, pods, rejected: [] }
  }

  async publish(published: Published, options: { readonly create?: boolean } = {}): Promise<void> {
    await this.onPublish(published)
    switch (published.kind) {
      case 'IPAMBlock': {
        const { object } = published
        const holder = this.blocks.get(object.name) ?? this.hidden.get(object.name)
        if (options.create && holder && holder.node !== object.node) {
          throw Object.assign(new Error(`block ${object.name} is taken by ${holder.node}`), { code: 'BLOCK_TAKEN' })
        }
        const store = this.showsBlocks ? this.blocks : this.hidden
        store.set(object.name, object)
        break
      }
      case 'VirtualMachineInterface':
        this.interfaces.set(published.object.uuid, published.object)
        break
      case 'VirtualRouter':
        this.routers.set(published.object.name, published.object)
        break
      default:
        throw published satisfies never
    }
  }

  async withdraw(kind: Published['kind'], name: string): Promise<void> {
    if (kind === 'IPAMBlock') this.blocks.delete(name)
    if (kind === 'VirtualRouter') this.routers.delete(name)
    if (kind === 'VirtualMachineInterface') {
      for (const [uuid, vmi] of this.interfaces) if (vmi.name === name) this.interfaces.delete(uuid)
    }
  }

  get knowsPods(): boolean {
    return this.pods.size > 0
  }

  async findPod({ uid }: { readonly uid: string }): Promise<Pod | undefined> {
    return this.pods.get(uid)
  }

  hostPeers(): readonly Address[] {
    return []
  }

  report(report: Report): void {
    this.reports.push(report)
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
