/** From what a daemon publishes to the manifest that others read: `decode.ts` the other way round. Pure. */
import type { Published } from '../../model/objects.ts'
import { API_VERSIONS } from './decode.ts'

export function manifestOf(published: Published): object {
  const apiVersion = API_VERSIONS[published.kind]
  const { kind } = published
  switch (kind) {
    case 'IPAMBlock': {
      const { name, vn, cidr, node } = published.object
      return { apiVersion, kind, metadata: { name }, spec: { network: vn, cidr, node } }
    }
    case 'VirtualMachineInterface': {
      const { name, namespace, uuid, vn, node, pod, containerId, ifname, mac, addresses, label } = published.object
      const spec = { uuid, network: vn, node, pod, containerId, interface: ifname, mac, addresses, label }
      return { apiVersion, kind, metadata: { name, namespace }, spec }
    }
    case 'VirtualRouter': {
      const { name, address, address6, encapsulations, vrfLabels, vhostLabel } = published.object
      const spec = { address, ...(address6 !== undefined && { address6 }), encapsulations, vrfLabels, vhostLabel }
      return { apiVersion, kind, metadata: { name }, spec }
    }
    default:
      return published satisfies never
  }
}
