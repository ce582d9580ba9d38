/** Every failure that the model reports: stable code, and what the operator can do. The message names the objects. */

const REMEDIES = {
  NAMESPACE_MISSING: 'create the Namespace object, or correct the name',
  NETWORK_MISSING: 'create the VirtualNetwork, or correct the annotation that names it',
  NETWORK_ANNOTATION: 'write <name>, <namespace>/<name>, an FQ name, or {"domain": …, "project": …, "name": …}',
  NETWORKS_ANNOTATION:
    'write <network>@<interface>, separated by commas (blue@eth1, shop/green@eth2); the network of the whole pod is vrouter.dev/network',
  ANNOTATION_UNCLEAR: 'correct the key or its value; until then no pod starts where it may not have been meant to be',
  NO_DEFAULT_NETWORK: 'set defaultNetwork.subnets, or name a network on the namespace or the pod',
  ADDRESS_ANNOTATION: 'write one address of each family, separated by commas',
  ALLOWED_ADDRESSES: "write single addresses of the pod's network, separated by commas, 14 at most",
  MAC_ANNOTATION: 'write the MAC address of one station, such as 02:00:5e:10:00:01',
  MAC_RESERVED: 'choose another MAC address, such as 02:00:5e:10:00:01, or leave it out',
  SUBNET_EXHAUSTED: 'remove pods, release unused IPAMBlocks, or add a subnet to the VirtualNetwork',
  ADDRESS_OUTSIDE: 'choose an address inside a subnet of the VirtualNetwork',
  ADDRESS_RESERVED: 'choose another address: network, broadcast, gateway and service addresses are reserved',
  ADDRESS_IN_USE: 'choose another address, or delete the pod that holds it',
  ID_EXHAUSTED: 'raise the limit in the configuration, or remove what is no longer used',
  IDS_CORRUPT: 'remove the file; the ids are taken over from the kernel',
} as const

export type ModelErrorCode = keyof typeof REMEDIES

export interface ModelError {
  readonly code: ModelErrorCode
  readonly message: string
  readonly remedy: string
}

export function modelError(code: ModelErrorCode, message: string): ModelError {
  return { code, message, remedy: REMEDIES[code] }
}
