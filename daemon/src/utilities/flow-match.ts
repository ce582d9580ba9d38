/**
 * The filter of `flow -l --match`: `IP:port[,IP:port]`, `vrf N`, `proto tcp|udp|icmp|icmp6|sctp`, joined by `&`
 * (vRouter reference §3.6). IPv6 addresses stand in brackets, `*` means any address or port. Pure.
 */
import { addressFamily, formatAddress, parseAddress } from '@kube-vrouter/linux/address'
import { usageError } from './errors.ts'
import type { FlowEndpoint, FlowFilter, FlowView } from './format-flow.ts'

const PROTOCOLS: Readonly<Record<string, number>> = { icmp: 1, tcp: 6, udp: 17, icmp6: 58, sctp: 132 }

export function parseFlowMatch(text: string): FlowFilter {
  let filter: FlowFilter = {}
  for (const clause of text.split('&').map((part) => part.trim())) {
    const words = clause.split(/\s+/)
    if (words[0] === 'vrf' && words.length === 2 && /^\d+$/.test(words[1]!)) {
      filter = { ...filter, vrf: Number(words[1]) }
    } else if (words[0] === 'proto' && words.length === 2) {
      const protocol = PROTOCOLS[words[1]!]
      if (protocol === undefined)
        throw badMatch(`unknown protocol '${words[1]}', use one of ${Object.keys(PROTOCOLS).join(' ')}`)
      filter = { ...filter, protocol }
    } else {
      filter = { ...filter, ...parseEndpoints(clause) }
    }
  }
  return filter
}

function parseEndpoints(clause: string): Pick<FlowFilter, 'source' | 'destination'> {
  const [source, destination, ...more] = clause.split(',').map((part) => part.trim())
  if (!source || more.length > 0) throw badMatch(`cannot read '${clause}'`)
  return destination === undefined
    ? { source: parseEndpoint(source) }
    : { source: parseEndpoint(source), destination: parseEndpoint(destination) }
}

function parseEndpoint(text: string): FlowEndpoint {
  const found = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\*|\d+)$/.exec(text)
  if (!found) throw badMatch(`'${text}' is not ADDRESS:PORT (IPv6 in brackets, * for any)`)
  const address = found[1] ?? found[2]!
  const port = found[3]!
  if (address !== '*' && addressFamily(address) === undefined) throw badMatch(`'${address}' is not an IP address`)
  if (port !== '*' && Number(port) > 65535) throw badMatch(`port ${port} is above 65535`)
  return {
    ...(address === '*' ? {} : { address: formatAddress(parseAddress(address)) }),
    ...(port === '*' ? {} : { port: Number(port) }),
  }
}

function badMatch(problem: string): Error {
  return usageError(`flow: --match: ${problem}`)
}

/** One endpoint alone matches either side of a flow; two match source and destination. Address of `flow` in canonical form. */
export function flowMatches(filter: FlowFilter, flow: FlowView): boolean {
  if (filter.vrf !== undefined && filter.vrf !== flow.vrf) return false
  if (filter.protocol !== undefined && filter.protocol !== flow.protocol) return false
  const atSource = (endpoint: FlowEndpoint) => endpointMatches(endpoint, flow.source, flow.sourcePort)
  const atDestination = (endpoint: FlowEndpoint) => endpointMatches(endpoint, flow.destination, flow.destinationPort)
  if (filter.source && filter.destination) return atSource(filter.source) && atDestination(filter.destination)
  return !filter.source || atSource(filter.source) || atDestination(filter.source)
}

function endpointMatches(endpoint: FlowEndpoint, address: string, port: number): boolean {
  return (
    (endpoint.address === undefined || endpoint.address === address) &&
    (endpoint.port === undefined || endpoint.port === port)
  )
}
