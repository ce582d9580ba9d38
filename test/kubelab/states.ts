/** In which states nodes and pods are, as the API server has it. Pure. */

export interface KubernetesNode {
  readonly kind: 'Node'
  readonly metadata: { readonly name: string }
  readonly spec: { readonly podCIDRs?: readonly string[] }
  readonly status: {
    readonly conditions?: readonly { readonly type: string; readonly status: string; readonly message?: string }[]
  }
}

interface ContainerStatus {
  readonly name: string
  readonly containerID?: string
  readonly ready?: boolean
  readonly state?: { readonly [state: string]: { readonly reason?: string; readonly message?: string } | undefined }
}

export interface KubernetesPod {
  readonly kind: 'Pod'
  readonly metadata: {
    readonly name: string
    readonly namespace: string
    readonly ownerReferences?: readonly { readonly kind: string }[]
  }
  readonly spec?: { readonly nodeName?: string }
  readonly status: {
    readonly phase?: string
    readonly initContainerStatuses?: readonly ContainerStatus[]
    readonly containerStatuses?: readonly ContainerStatus[]
  }
}

type Item = KubernetesNode | KubernetesPod

/** One line for each state that something is in. A container that starts over and over comes to no new one. */
export function statesOf(items: readonly Item[]): string[] {
  return items.flatMap((item) => {
    if (item.kind === 'Node')
      return (item.status.conditions ?? []).map(({ type, status }) => `${item.metadata.name}: ${type} ${status}`)
    const { name } = item.metadata
    return [
      `${name}: ${item.status.phase} on ${item.spec?.nodeName}`,
      ...containersOf(item).map((container) => `${name}: ${container.name} ${stateOf(container)} ${container.ready}`),
    ]
  })
}

/** What is in the way of nodes that aren't Ready, in a line: a container that waits, what the kubelet says, a pod without a node. */
export function obstacleOf(items: readonly Item[]): string {
  if (items.length === 0) return 'the API server doesn’t answer'
  const pods = items.filter((item) => item.kind === 'Pod')
  for (const pod of pods) {
    const late = containersOf(pod).find(
      ({ ready, state }) => ready !== true && state?.['terminated']?.reason !== 'Completed',
    )
    if (late) return oneLine(`container ${late.name} of ${whereIs(pod)}: ${stateOf(late)} ${messageOf(late)}`)
  }
  for (const item of items) {
    const ready = item.kind === 'Node' && item.status.conditions?.find(({ type }) => type === 'Ready')
    if (ready && ready.status !== 'True') return oneLine(`${item.metadata.name}: ${ready.message ?? ''}`)
  }
  const homeless = pods.find(({ spec }) => spec?.nodeName === undefined)
  return homeless ? `pod ${whereIs(homeless)}` : ''
}

function whereIs({ metadata: { namespace, name }, spec }: KubernetesPod): string {
  return `${namespace}/${name} on ${spec?.nodeName ?? 'no node'}`
}

function messageOf({ state }: ContainerStatus): string {
  return Object.values(state ?? {}).find((details) => details?.message)?.message ?? ''
}

const LINE = 200

function oneLine(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ').trim()
  return line.length > LINE ? `${line.slice(0, LINE)}…` : line
}

function containersOf({ status }: KubernetesPod): ContainerStatus[] {
  return [...(status.initContainerStatuses ?? []), ...(status.containerStatuses ?? [])]
}

function stateOf({ state }: ContainerStatus): string {
  const [[name, details] = ['unknown', undefined]] = Object.entries(state ?? {})
  return details?.reason ? `${name} (${details.reason})` : name
}
