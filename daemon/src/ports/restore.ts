/**
 * Records that can't be read, or are gone, come back from the interface objects that this node published: the state folder may be lost
 * under pods that run.
 */

import { contains, mustParseAddress } from '../model/address.ts'
import { moreAddresses } from '../model/interfaces.ts'
import type { PodAddress } from '../model/ipam.ts'
import { tapName } from '../model/names.ts'
import type { VirtualMachineInterface, VirtualNetwork } from '../model/objects.ts'
import { prefixOf } from '../model/prefix-of.ts'
import type { Settings } from './options.ts'
import { describe, keyOf, type PortTable } from './port-table.ts'
import type { CorruptRecord, PortRecord } from './records.ts'
import { routesWithin } from './routes.ts'

type Options = Pick<Settings, 'source' | 'node' | 'linkIndex' | 'log' | 'podMtu' | 'now'>

/** Interfaces that this node published, whose taps are there and whose records are not. */
export async function restoreLost(options: Options, table: PortTable): Promise<void> {
  const { source, node, linkIndex, log } = options
  const { interfaces, virtualNetworks } = source.state()
  const lost = [...interfaces.values()].filter(
    (vmi) =>
      vmi.node === node &&
      table.get(keyOf(vmi)) === undefined &&
      linkIndex(tapName(vmi.containerId, vmi.ifname)) !== undefined,
  )
  // Of several interfaces of a pod the first has the default routes.
  for (const vmi of lost.sort((one, other) => (one.ifname < other.ifname ? -1 : 1))) {
    const vn = virtualNetworks.get(vmi.vn)
    if (vn === undefined) continue
    const { port } = await restoreFrom(vmi, vn, options, table)
    log.warn(describe(port), 'a port record is lost; it was restored from the interface that this node published')
  }
}

/** Rebuilds a corrupt record from the interface object that this node published for it, or says that it is lost. */
export async function restoreCorrupt(corrupt: CorruptRecord, options: Options, table: PortTable): Promise<void> {
  const { source, node, log } = options
  const fields = { file: corrupt.file, movedTo: corrupt.movedTo, reason: corrupt.reason }
  const { interfaces, virtualNetworks } = source.state()
  const vmi = interfaces.values().find((one) => one.node === node && keyOf(one) === corrupt.key)
  const vn = vmi && virtualNetworks.get(vmi.vn)
  if (!vmi || !vn) {
    log.error(fields, 'a port record is corrupt and was set aside; its pod has no network until it is made anew')
    return
  }
  const record = await restoreFrom(vmi, vn, options, table)
  log.warn(
    { ...fields, ...describe(record.port) },
    'a port record was corrupt; it was restored from the interface that this node published',
  )
}

async function restoreFrom(
  vmi: VirtualMachineInterface,
  vn: VirtualNetwork,
  { podMtu, now }: Options,
  table: PortTable,
): Promise<PortRecord> {
  const record = recordOfInterface(vmi, vn, podMtu(), now(), !table.hasFirstOfPod(vmi.containerId))
  table.set(record)
  await table.records.writeDurably(record)
  return record
}

function recordOfInterface(
  vmi: VirtualMachineInterface,
  vn: VirtualNetwork,
  mtu: number,
  now: number,
  isFirst: boolean,
): PortRecord {
  // Its own are the first of each family.
  const more = moreAddresses(vmi.addresses)
  const own = vmi.addresses.filter((address) => !more.includes(address))
  const addresses = own.flatMap((address): PodAddress[] => {
    const subnet = vn.subnets.find((one) => contains(prefixOf(one), mustParseAddress(address)))
    return subnet
      ? [{ address, prefixLength: prefixOf(subnet).length, gateway: subnet.gateway, service: subnet.service }]
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
      ...(!isFirst && { isSecondary: true }),
    },
    registered: true,
    netns: '',
    addresses,
    ...(!isFirst && { routes: routesWithin(vn, addresses) }),
  }
}
