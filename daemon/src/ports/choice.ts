/** What a new attachment becomes: its network, addresses and MAC, from what the cluster and the runtime say of the pod. */

import { canonicalAddress, familyOf } from '../model/address.ts'
import { slipsOf } from '../model/annotations.ts'
import { modelError } from '../model/errors.ts'
import type { HostPort } from '../model/facts.ts'
import type { PodAddress } from '../model/ipam.ts'
import { interfaceUuid, podMac, tapName } from '../model/names.ts'
import {
  addressesOfPod,
  allowedAddressesOfPod,
  isListed,
  macOfPod,
  networkOfAttachment,
  networkOfPod,
} from '../model/namespace-network.ts'
import type { Address, FqName, Pod } from '../model/objects.ts'
import { ownerOfMac } from '../model/reserved-macs.ts'
import type { AllocateRequest } from '../port-api/messages.ts'
import type { Addresses } from './addresses.ts'
import { PortError } from './errors.ts'
import { describeHostPort, hostPortsOf, rivalOf } from './host-ports.ts'
import type { Settings } from './options.ts'
import type { PodName, PodReports } from './pod-reports.ts'
import type { PortTable } from './port-table.ts'
import type { PortRecord } from './records.ts'
import { routesWithin } from './routes.ts'

export class Choice {
  readonly #options: Pick<Settings, 'source' | 'cluster' | 'podMtu' | 'nodeAddresses' | 'now'>
  readonly #table: PortTable
  readonly #addresses: Addresses
  readonly #reports: PodReports

  constructor(
    options: Pick<Settings, 'source' | 'cluster' | 'podMtu' | 'nodeAddresses' | 'now'>,
    table: PortTable,
    addresses: Addresses,
    reports: PodReports,
  ) {
    this.#options = options
    this.#table = table
    this.#addresses = addresses
    this.#reports = reports
  }

  /** Takes addresses and enters the new port, so that nobody else gets them; the caller writes the record. */
  async run(request: AllocateRequest): Promise<PortRecord> {
    const { containerId, ifname, pod } = request
    const { source, cluster, podMtu, nodeAddresses, now } = this.#options
    const known = await this.#findPod(pod)
    if (known === undefined && source.knowsPods) {
      const message = `pod ${pod.namespace}/${pod.name} (uid ${pod.uid}) is not known here: it is new, or gone`
      throw PortError.of('POD_MISSING', message)
    }
    // What the cluster says of the pod counts before what the runtime passed on.
    const annotations = { ...request.annotations, ...known?.annotations }
    const labels = { ...request.labels, ...known?.labels }
    const reference = { namespace: pod.namespace, name: pod.name, ifname, annotations, labels }
    const network =
      request.virtualNetwork === undefined
        ? networkOfPod(reference, source.state(), cluster.name)
        : networkOfAttachment({ ...pod, ifname }, request.virtualNetwork, source.state(), cluster.name)
    if (!network.ok) throw PortError.ofModel(network.error)
    const twin = this.#table
      .all()
      .find(({ port }) => port.containerId === containerId && port.vn === network.vn.fqName)?.port
    if (twin !== undefined) {
      const message = `pod ${pod.namespace}/${pod.name} is in network ${twin.vn} already, with interface ${twin.ifname}`
      throw PortError.of('NETWORK_TWICE', message)
    }
    const isFirst = !this.#table.hasFirstOfPod(containerId)
    const isNamed =
      network.from === 'attachment' ||
      isListed(ifname, annotations, source.state().namespaces.get(pod.namespace)?.annotations)
    if (!isFirst && !isNamed) {
      const message = `nothing names a network for interface ${ifname} of pod ${pod.namespace}/${pod.name}, which has one already`
      throw PortError.of('NETWORK_UNNAMED', message)
    }
    if (isFirst) this.#reports.slips(pod, slipsOf('pod', reference))
    // Annotations are about the pod's first interface.
    const own = isFirst ? reference : { ...reference, annotations: {} }
    const wanted = request.addresses?.length ? addressesOfRequest(request.addresses) : addressesOfPod(own)
    if (!wanted.ok) throw PortError.ofModel(wanted.error)
    const allowed = allowedAddressesOfPod(own)
    if (!allowed.ok) throw PortError.ofModel(allowed.error)
    const asked = macOfPod(own)
    if (!asked.ok) throw PortError.ofModel(asked.error)
    const mac = request.mac ?? asked.mac
    const uuid = request.uuid ?? interfaceUuid(containerId, ifname)
    if (mac !== undefined) this.#checkMac(mac, network.vn.fqName, uuid)
    const enter = (addresses: readonly PodAddress[], more: readonly Address[]): PortRecord => {
      // Others may have had their turn meanwhile.
      if (mac !== undefined) this.#checkMac(mac, network.vn.fqName, uuid)
      const own = [...addresses.map(({ address }) => address)]
      const hostPorts = hostPortsOf(request.portMappings ?? [], own, nodeAddresses())
      if (hostPorts !== undefined) this.#checkHostPorts(hostPorts, pod)
      const record: PortRecord = {
        port: {
          uuid,
          containerId,
          ifname,
          namespace: pod.namespace,
          pod: { name: pod.name, uid: pod.uid },
          vn: network.vn.fqName,
          mac: mac ?? podMac(uuid),
          addresses: [...own, ...more],
          tap: tapName(containerId, ifname),
          mtu: podMtu(),
          labels,
          createdAt: new Date(now()).toISOString(),
          networkFrom: network.from,
          ...(!isFirst && { isSecondary: true }),
          ...(hostPorts !== undefined && { hostPorts }),
        },
        registered: false,
        netns: request.netns,
        ...(request.network !== undefined && { network: request.network }),
        ...(request.bandwidth && { bandwidth: request.bandwidth }),
        addresses,
        ...(!isFirst && { routes: routesWithin(network.vn, addresses) }),
      }
      this.#table.enter(record)
      return record
    }
    return this.#addresses.take(network.vn, { fixed: wanted.addresses, more: allowed.addresses }, enter)
  }

  async #findPod(pod: PodName): Promise<Pod | undefined> {
    try {
      return await this.#options.source.findPod(pod)
    } catch (error) {
      const message = `cannot ask what pod ${pod.namespace}/${pod.name} is to be: ${(error as Error).message}`
      throw PortError.of('SOURCE_AWAY', message, { cause: error })
    }
  }

  #checkHostPorts(wanted: readonly HostPort[], pod: PodName): void {
    const rival = rivalOf(wanted, pod, this.#table.all())
    if (rival === undefined) return
    const { namespace, pod: other } = rival.port
    throw PortError.of(
      'HOST_PORT_IN_USE',
      `${describeHostPort(rival.wanted)} is that of pod ${namespace}/${other.name}`,
    )
  }

  /** A pod that has the gateway's MAC, or that of another one of its network on whatever node, would take its frames. */
  #checkMac(mac: string, vn: FqName, uuid: string): void {
    const owner = ownerOfMac(mac)
    if (owner !== undefined) throw PortError.ofModel(modelError('MAC_RESERVED', `the MAC address ${mac} is ${owner}`))
    const other = this.#table.ownerOfMac(mac, vn, uuid)
    if (other === undefined) return
    const where = other.node === undefined ? '' : ` on node ${other.node}`
    const message = `pod ${other.namespace}/${other.pod.name}${where} has the MAC address ${mac} already, in ${vn}`
    throw PortError.of('MAC_IN_USE', message)
  }
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
