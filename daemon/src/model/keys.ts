/**
 * Identity strings of `Ids`: what a number stands for, whatever the order in which things came. Kept on disk, so they don't change.
 */
import type { HostPort } from './facts.ts'
import type { Address, FqName, Mac, ServiceProtocol } from './objects.ts'
import type { ServicePortName } from './tables.ts'

export const vrfKey = (vrf: FqName) => vrf
export const vifKey = (port: string) => port
export const bridgeKey = (vrf: FqName, mac: Mac) => `${vrf} ${mac}`

export const servicePort = ({ namespace, name, port, family }: ServicePortName, protocol: ServiceProtocol) =>
  `${namespace}/${name} ${protocol} ${port} ${family}`

export const hostPort = (port: string, { hostPort, protocol, hostIp = '*' }: HostPort, family: 4 | 6) =>
  `${HOST_PORT}${port} ${protocol} ${hostIp} ${hostPort} ${family}`
const HOST_PORT = 'host-port '
/** Whether a number of kind `service` is a host port's. */
export const isHostPort = (key: string) => key.startsWith(HOST_PORT)

export const VHOST_LABEL = 'vhost'
export const SERVICE_LABEL = 'services'
export const vrfLabel = (vrf: FqName) => `vrf ${vrf}`
export const podLabel = (port: string) => `pod ${port}`

export const RECEIVE_POLICY = 'receive policy'
export const RECEIVE = 'receive'
export const RESOLVE = 'resolve'
export const AGENT = 'agent'
export const L2_RECEIVE = 'l2-receive'
export const SNAT = 'snat'
export const serviceNexthop = (vrf: FqName) => `service ${vrf}`
export const podNexthop = (port: string) => `pod ${port}`
export const podBridgeNexthop = (port: string) => `bridge ${port}`
export const vrfNexthop = (vrf: FqName) => `vrf ${vrf}`
export const tunnelNexthop = (destination: Address) => `tunnel ${destination}`
export const neighbourNexthop = (address: Address) => `neighbour ${address}`
export const compositeNexthop = (vrf: FqName, address: Address) => `composite ${vrf} ${address}`
