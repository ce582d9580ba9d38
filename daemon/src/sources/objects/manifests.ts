/** From what a daemon publishes to the manifest that others read: `decode.ts` the other way round. Pure. */
import type { Published } from '../../model/objects.ts'
import { API_VERSIONS, SCHEMAS } from './decode.ts'

/** Every reader would set the object aside: it isn't written. */
export class UnreadableError extends Error {
  override readonly name = 'UnreadableError'
  readonly code = 'OBJECT_UNREADABLE'
}

/** Throws UnreadableError, naming field and value, for what `decode` refuses. */
export function manifestOf(published: Published): object {
  const manifest = manifestFor(published)
  const [issue] = SCHEMAS[published.kind].check(manifest)
  if (issue === undefined) return manifest
  const { kind, object } = published
  const value = issue.value === undefined ? '' : ` (${issue.value})`
  throw new UnreadableError(`${kind} ${object.name} is not published: ${issue.field}${value} ${issue.message}`)
}

function manifestFor(published: Published): object {
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
      const { name, address, address6, encapsulations, vrfLabels, vhostLabel, serviceLabel } = published.object
      const spec = {
        ...{ address, ...(address6 !== undefined && { address6 }), encapsulations, vrfLabels, vhostLabel },
        ...(serviceLabel !== undefined && { serviceLabel }),
      }
      return { apiVersion, kind, metadata: { name }, spec }
    }
    default:
      return published satisfies never
  }
}
