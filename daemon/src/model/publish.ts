/**
 * What this node tells the others, and how that differs from what the source says it told them. Blocks are not among it: they are
 * claimed one by one (ipam.ts).
 */
import { contains, mustParseAddress } from './address.ts'
import { SPOKEN } from './encapsulations.ts'
import { isEqual } from './equal.ts'
import type { NodeFacts, Port } from './facts.ts'
import { blockOf, singleBlocksOf } from './ipam.ts'
import { interfaceObjectName } from './names.ts'
import type { FqName, IpamBlock, Published, SourceState, VirtualMachineInterface, VirtualRouter } from './objects.ts'
import { OwnInterfaces } from './own-interfaces.ts'
import { prefixOf } from './prefix-of.ts'
import type { Tables } from './tables.ts'

export interface Publication {
  /**
   * Blocks of this node that are missing although its ports use their addresses (somebody removed the objects): to be created
   * again, with `create`. One that another node took meanwhile stays missing: BLOCK_TAKEN then.
   */
  readonly claim: readonly IpamBlock[]
  readonly publish: readonly Published[]
  readonly withdraw: readonly { readonly kind: Published['kind']; readonly name: string }[]
}

/** The router object of this node: its address, and the labels of vhost0, of Services and of the VRFs that it has. */
export function routerOf(node: string, facts: NodeFacts, tables: Tables): VirtualRouter {
  const vrfLabels: Record<FqName, number> = {}
  for (const { vn, label } of tables.vrfs) if (vn !== undefined && label !== undefined) vrfLabels[vn] = label
  const vhostLabel = tables.vifs.find((vif) => vif.type === 'host')?.label ?? 0
  const { address, address6 } = facts.underlay
  return {
    name: node,
    address,
    ...(address6 !== undefined && { address6 }),
    encapsulations: SPOKEN,
    vrfLabels,
    vhostLabel,
    ...(tables.serviceLabel !== undefined && { serviceLabel: tables.serviceLabel }),
  }
}

const objects = new WeakMap<Port, VirtualMachineInterface>()

/** The object of a port; the same one while nothing of it has changed. */
function interfaceOf(node: string, port: Port, label: number): VirtualMachineInterface {
  const known = objects.get(port)
  if (known !== undefined && known.label === label && known.node === node) return known
  const object = {
    name: interfaceObjectName(port.pod.name, port.containerId, port.ifname),
    namespace: port.namespace,
    uuid: port.uuid,
    vn: port.vn,
    node,
    pod: port.pod,
    containerId: port.containerId,
    ifname: port.ifname,
    mac: port.mac,
    addresses: port.addresses,
    label,
  }
  objects.set(port, object)
  return object
}

/** What the source was found to say already, by what we would say. */
const published = new WeakMap<VirtualMachineInterface, VirtualMachineInterface>()

function isPublished(object: VirtualMachineInterface, known: VirtualMachineInterface | undefined): boolean {
  if (known !== undefined && published.get(object) === known) return true
  if (!isEqual(known, object)) return false
  published.set(object, known!)
  return true
}

/** One interface object for each port that is in the tables, that is: whose tap is there and which has its label. */
export function interfacesOf(node: string, ports: readonly Port[], tables: Tables): VirtualMachineInterface[] {
  const labels = new Map(tables.vifs.map((vif) => [vif.port, vif.label]))
  return ports.flatMap((port) => {
    const label = labels.get(port.uuid)
    return label === undefined ? [] : interfaceOf(node, port, label)
  })
}

/**
 * The steps that make the source say what this node is: for `tables` as they are in the kernel, so that nobody sends to a label
 * before it works. An interface object that has this node's name and belongs to no port is withdrawn. `own`: what was found of these at the last call.
 */
export function publication(
  node: string,
  facts: NodeFacts,
  ports: readonly Port[],
  tables: Tables,
  state: SourceState,
  own = new OwnInterfaces(node),
): Publication {
  const publish: Published[] = []
  const router = routerOf(node, facts, tables)
  if (!isEqual(state.routers.get(node), router)) publish.push({ kind: 'VirtualRouter', object: router })
  const interfaces = interfacesOf(node, ports, tables).filter((object) => !isTaken(node, object, state))
  const wanted = new Set(interfaces.map(({ uuid }) => uuid))
  const withdraw: { kind: 'VirtualMachineInterface'; name: string }[] = []
  for (const object of interfaces) {
    const known = state.interfaces.get(object.uuid)
    if (isPublished(object, known)) continue
    publish.push({ kind: 'VirtualMachineInterface', object })
    // It was called otherwise.
    if (known !== undefined && known.node === node && known.name !== object.name)
      withdraw.push({ kind: 'VirtualMachineInterface', name: known.name })
  }
  for (const { uuid, name } of own.of(state.interfaces))
    if (!wanted.has(uuid)) withdraw.push({ kind: 'VirtualMachineInterface', name })
  return { claim: missingBlocks(node, ports, state), publish, withdraw }
}

/**
 * Whether another node has an address of this interface by now, as a block of its own: while this node was away its pod was removed from the cluster, and a
 * successor has the address. What may still run here isn't told to others any more.
 */
function isTaken(
  node: string,
  { vn, addresses }: { readonly vn: FqName; readonly addresses: readonly string[] },
  state: SourceState,
): boolean {
  const network = state.virtualNetworks.get(vn)
  if (network === undefined) return false
  return singleBlocksOf(network, addresses, state.blocks).some((block) => block.node !== node)
}

/** The blocks that hold the addresses of this node's ports and don't exist. */
export function missingBlocks(node: string, ports: readonly Port[], state: SourceState): IpamBlock[] {
  const missing = new Map<string, IpamBlock>()
  let held: ReadonlyMap<FqName, readonly IpamBlock[]> | undefined
  for (const port of ports) {
    if (isHeld(port, node, state.blocks)) continue
    const vn = state.virtualNetworks.get(port.vn)
    if (vn === undefined || isTaken(node, port, state)) continue
    held ??= Map.groupBy(
      state.blocks.values().filter((block) => block.node === node),
      (block) => block.vn,
    )
    const holding: IpamBlock[] = []
    for (const text of port.addresses) {
      const address = mustParseAddress(text)
      const holder = held.get(vn.fqName)?.find((block) => contains(prefixOf(block), address))
      const block = holder ?? blockOf(vn, node, address)
      if (holder !== undefined) holding.push(holder)
      else if (block !== undefined) missing.set(block.name, block)
    }
    if (holding.length === port.addresses.length) holders.set(port, holding)
  }
  return [...missing.values()]
}

/** Blocks that were found to hold the addresses of a port. */
const holders = new WeakMap<Port, readonly IpamBlock[]>()

/** By blocks that are there still: one that says something else is another object. */
function isHeld(port: Port, node: string, blocks: ReadonlyMap<string, IpamBlock>): boolean {
  return holders.get(port)?.every((block) => block.node === node && blocks.get(block.name) === block) === true
}
