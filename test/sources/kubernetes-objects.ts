/** Objects of a small cluster for tests of the kubernetes source. */
import { randomUUID } from 'node:crypto'
import type { IpamBlock, VirtualMachineInterface, VirtualRouter } from '../../daemon/src/model/objects.ts'
import type { FakeObject } from './fake-api-server.ts'

export const NODE = 'node-1'
export const RED = 'default-domain:k8s-default:red'
const API = 'vrouter.dev/v1alpha1'

export const namespace = (name: string, annotations: Record<string, string> = {}): FakeObject => ({
  metadata: { name, annotations },
})

export const node = (name = NODE): FakeObject => ({ metadata: { name } })

export const network = (name: string, spec: object, metadata: object = {}): FakeObject => ({
  apiVersion: API,
  kind: 'VirtualNetwork',
  metadata: { name, namespace: 'default', ...metadata },
  spec,
})

export const pod = (
  name: string,
  more: { uid?: string; node?: string; annotations?: Record<string, string> } = {},
): FakeObject => ({
  metadata: { name, namespace: 'default', uid: more.uid ?? randomUUID(), annotations: more.annotations },
  spec: { nodeName: more.node ?? NODE, containers: [{ name: 'a', image: 'b' }] },
  status: { phase: 'Pending' },
})

export const vmiSpec = (index: number, nodeName: string) => ({
  uuid: uuid(index),
  network: RED,
  node: nodeName,
  pod: { name: `pod-${index}`, uid: uuid(index + 1_000_000) },
  containerId: index.toString(16).padStart(64, '0'),
  interface: 'eth0',
  mac: `02:00:00:${[index >> 16, (index >> 8) & 255, index & 255].map((byte) => byte.toString(16).padStart(2, '0')).join(':')}`,
  addresses: [`10.${1 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`],
  label: 16 + (index % 1000),
})

export const vmi = (index: number, nodeName = 'node-2', spec: object = {}): FakeObject => ({
  apiVersion: API,
  kind: 'VirtualMachineInterface',
  metadata: { name: `pod-${index}-x`, namespace: 'default' },
  spec: { ...vmiSpec(index, nodeName), ...spec },
})

export const blockObject = (name: string, cidr: string, nodeName: string): FakeObject => ({
  apiVersion: API,
  kind: 'IPAMBlock',
  metadata: { name },
  spec: { network: RED, cidr, node: nodeName },
})

export const block = (name: string, cidr: string, nodeName = NODE): IpamBlock => ({
  name,
  vn: RED,
  cidr,
  node: nodeName,
})

export const router = (name = NODE, address = '192.168.0.1'): VirtualRouter => ({
  name,
  address,
  encapsulations: ['MPLSoUDP'],
  vrfLabels: { [RED]: 17 },
  vhostLabel: 16,
})

export const ownInterface = (index: number, podUid = uuid(index + 1_000_000)): VirtualMachineInterface => {
  const { network: vn, interface: ifname, ...spec } = vmiSpec(index, NODE)
  return {
    ...spec,
    vn,
    ifname,
    name: `pod-${index}-x`,
    namespace: 'default',
    pod: { name: `pod-${index}`, uid: podUid },
  }
}

function uuid(index: number): string {
  return `00000000-0000-4000-8000-${index.toString(16).padStart(12, '0')}`
}
