/** A runtime for what `hack/lab pod` doesn't do: calls the CNI binary for a container of the test's own making, or for a second interface of a lab's pod. */
import { nodePaths, podNetns } from '../lab/layout.ts'
import { cniBinary } from '../lab/node.ts'
import { type CniResult, findPod } from '../lab/pod.ts'
import type { TestLab } from './lab.ts'

export interface Attachment {
  readonly node: number
  readonly containerId: string
  readonly netns: string
  readonly ifname: string
  readonly namespace: string
  /** As the runtime calls it. */
  readonly podName: string
  readonly uid?: string
  /** Keys of the network configuration. */
  readonly config?: object
}

/** One more interface of a pod of the lab, in `network`; absent: the one that is named for it by annotation. */
export function secondInterface(lab: TestLab, podName: string, ifname: string, network?: string): Attachment {
  const { node, containerId, namespace, uid } = findPod(lab.name, podName)
  const config = { name: `net-${ifname}`, ...(network !== undefined && { network }) }
  return { node, containerId, netns: podNetns(podName), ifname, namespace, podName, uid, config }
}

/** The result of ADD, nothing for other commands. Throws what the binary says. */
export function callCni(lab: TestLab, command: 'ADD' | 'DEL' | 'CHECK', attachment: Attachment, more: object = {}) {
  const paths = nodePaths(lab.name, attachment.node)
  const { containerId, netns, ifname, namespace, podName, uid = '', config } = attachment
  const stdin = {
    ...{ cniVersion: '1.1.0', name: 'kube-vrouter', type: 'vrouter-cni', socket: paths.socket, stateDir: paths.state },
    ...config,
    ...more,
  }
  const environment = {
    CNI_COMMAND: command,
    CNI_CONTAINERID: containerId,
    CNI_NETNS: netns,
    CNI_IFNAME: ifname,
    CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=${namespace};K8S_POD_NAME=${podName};K8S_POD_UID=${uid}`,
  }
  const assignments = Object.entries(environment).map(([name, value]) => `${name}=${value}`)
  const outcome = lab.onNode(attachment.node, ['env', ...assignments, cniBinary], { input: JSON.stringify(stdin) })
  if (outcome.status !== 0)
    throw new Error(`CNI ${command} of ${podName} ${ifname}: ${outcome.stdout}${outcome.stderr}`)
  return (outcome.stdout === '' ? undefined : JSON.parse(outcome.stdout)) as CniResult
}
