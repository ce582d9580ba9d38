/** An EndpointSlice, as a proxy reads it. There are tens of thousands of endpoints: each takes no more room than what it says. Pure. */
import { familyOf } from '../../model/address.ts'
import { HOME_NAMESPACE } from '../../model/names.ts'
import type { Endpoint, EndpointSlice, ServiceProtocol, SlicePort } from '../../model/objects.ts'
import { type SchemaIssue, shorten } from '../../schema/check.ts'
import { intern } from './intern.ts'
import { isServed, notAnAddress, specialAddressIssue } from './service.ts'
import { sloppyAddress } from './sloppy-address.ts'

/** Whose endpoints they are. */
const SERVICE_LABEL = 'kubernetes.io/service-name'

interface NamedThing {
  readonly name: string
}

interface GivenEndpoint {
  readonly addresses: readonly string[]
  readonly conditions?: {
    readonly ready?: boolean | null
    readonly serving?: boolean | null
    readonly terminating?: boolean | null
  } | null
  readonly targetRef?: { readonly kind?: string; readonly namespace?: string; readonly name?: string } | null
  readonly nodeName?: string | null
  readonly zone?: string | null
  readonly hints?: {
    readonly forZones?: readonly NamedThing[] | null
    readonly forNodes?: readonly NamedThing[] | null
  } | null
}

export interface SliceManifest {
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly labels?: Readonly<Record<string, string>> | null
  }
  readonly addressType: 'IPv4' | 'IPv6' | 'FQDN'
  readonly ports?:
    | readonly {
        readonly name?: string | null
        readonly protocol?: ServiceProtocol | '' | null
        readonly port?: number | null
      }[]
    | null
  readonly endpoints?: readonly GivenEndpoint[] | null
}

export type DecodedSlice =
  | { readonly slice: EndpointSlice }
  | { readonly issues: readonly SchemaIssue[] }
  /** In order, and nothing that we serve: of no Service, of one that isn't served, or of names. */
  | undefined

/** Of a document that its schema accepts. */
export function decodeSlice({ metadata, addressType, ports, endpoints }: SliceManifest): DecodedSlice {
  const { name, namespace = HOME_NAMESPACE, labels } = metadata
  const service = labels?.[SERVICE_LABEL] ?? ''
  if (service === '' || addressType === 'FQDN' || !isServed(labels)) return undefined
  const family = addressType === 'IPv4' ? 4 : 6
  const issues: SchemaIssue[] = []
  const decoded: Endpoint[] = []
  for (const [index, endpoint] of (endpoints ?? []).entries()) {
    const field = `endpoints[${index}].addresses[0]`
    const [text = ''] = endpoint.addresses
    const address = sloppyAddress(text)
    const issue =
      address === undefined
        ? notAnAddress(field, text)
        : familyOf(address) !== family
          ? { field, value: shorten(text), message: `is not ${addressType}, as addressType says` }
          : specialAddressIssue(field, address)
    if (issue === undefined) decoded.push(decodeEndpoint(endpoint, address!, namespace))
    else issues.push(issue)
  }
  if (issues.length > 0) return { issues }
  return {
    slice: {
      namespace: intern(namespace),
      name,
      service,
      family,
      ports: (ports ?? []).flatMap((port): SlicePort | [] =>
        port.port == null || port.port === 0
          ? []
          : { name: intern(port.name ?? ''), protocol: port.protocol || 'TCP', port: port.port },
      ),
      endpoints: decoded,
    },
  }
}

/** What isn't said counts as ready, serving and not terminating. */
function decodeEndpoint(
  { conditions, targetRef, nodeName, zone, hints }: GivenEndpoint,
  address: string,
  namespace: string,
): Endpoint {
  const forZones = hints?.forZones ?? []
  const forNodes = hints?.forNodes ?? []
  // A pod of another namespace isn't this Service's to speak of.
  const isPod = targetRef?.kind === 'Pod' && (targetRef.namespace ?? namespace) === namespace
  return {
    address,
    isReady: conditions?.ready ?? true,
    isServing: conditions?.serving ?? true,
    isTerminating: conditions?.terminating ?? false,
    ...(nodeName != null && nodeName !== '' && { node: intern(nodeName) }),
    ...(zone != null && zone !== '' && { zone: intern(zone) }),
    ...(forZones.length > 0 && { hintedZones: forZones.map((one) => intern(one.name)) }),
    ...(forNodes.length > 0 && { hintedNodes: forNodes.map((one) => intern(one.name)) }),
    ...(isPod && targetRef.name !== undefined && { pod: targetRef.name }),
  }
}
