/** Follows the addresses of the API servers: EndpointSlices of the Service `default/kubernetes`. */

import type { BackOffOptions } from '../ground/back-off.ts'
import type { Log } from '../log.ts'
import type { ApiClient } from './client.ts'
import type { EndpointAddress } from './endpoints.ts'
import type { KubeObject } from './objects.ts'
import { Reflector } from './reflector.ts'

interface Slice {
  readonly endpoints?: readonly {
    readonly addresses?: readonly string[]
    readonly conditions?: { readonly ready?: boolean }
  }[]
  readonly ports?: readonly { readonly name?: string; readonly port?: number }[]
}

/** A reflector that hands what it finds to `client.endpoints`; to be started and disposed of by the caller. */
export function followApiServers(client: ApiClient, log: Log, backOff?: BackOffOptions): Reflector {
  const slices = new Map<string, readonly EndpointAddress[]>()
  const tell = () => client.endpoints.set([...slices.values()].flat())
  let listed = new Map<string, readonly EndpointAddress[]>()
  return new Reflector({
    client,
    resource: { group: 'discovery.k8s.io', version: 'v1', plural: 'endpointslices' },
    namespace: 'default',
    labelSelector: 'kubernetes.io/service-name=kubernetes',
    backOff,
    log,
    handler: {
      beginList: () => {
        listed = new Map()
      },
      listed: (slice) => listed.set(slice.metadata.name, addressesOf(slice)),
      endList: () => {
        slices.clear()
        for (const [name, addresses] of listed) slices.set(name, addresses)
        tell()
      },
      changed: (slice) => {
        slices.set(slice.metadata.name, addressesOf(slice))
        tell()
      },
      removed: (slice) => {
        slices.delete(slice.metadata.name)
        tell()
      },
    },
  })
}

export function addressesOf(object: KubeObject): EndpointAddress[] {
  const { endpoints, ports } = object as unknown as Slice
  const port = (ports ?? []).find(({ name }) => name === undefined || name === '' || name === 'https')?.port
  if (port === undefined) return []
  return (endpoints ?? [])
    .filter(({ conditions }) => conditions?.ready !== false)
    .flatMap(({ addresses = [] }) => addresses.map((host) => ({ host, port })))
}
