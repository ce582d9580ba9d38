/**
 * Whether a new pod is reachable from another node at the first packet: in the moment in which ADD has returned, one ping goes out from a pod of the
 * same network on the other node. Who waits for ADD is the CNI binary's caller: a script in its place hands the answer on, and then tells us.
 */
import { randomBytes } from 'node:crypto'
import type { Kubelab } from '../../kubelab/kubelab.ts'
import { type Api, now, type PodObject } from './api.ts'
import { NodeProgram, pidOfPod } from './on-node.ts'

const PLUGIN = '/opt/cni/bin/vrouter-cni'
const LOG = '/run/adds.log'
/** Where pods start, and where the pings come from. */
const HERE = 2
const THERE = 1

export interface FirstPackets {
  readonly pods: number
  readonly firstOfNetwork: number
  readonly lost: readonly string[]
  /** Milliseconds from the return of ADD to the ping. */
  readonly delaysMs: readonly number[]
}

export async function firstPackets(lab: Kubelab, api: Api, networks: number, pods: number): Promise<FirstPackets> {
  await using undo = new AsyncDisposableStack()
  const suffix = randomBytes(3).toString('hex')
  await replacePlugin(lab)
  undo.defer(() => restorePlugin(lab))

  const lost: string[] = []
  const delaysMs: number[] = []
  let probed = 0
  let firstOfNetwork = 0
  const probes = new Map<string, (isLost: boolean) => void>()
  const prober = undo.use(
    NodeProgram.script(lab, THERE, 'prober.ts', [], (line) => {
      const { address, isLost } = JSON.parse(line) as { address: string; isLost: boolean }
      probes.get(address)?.(isLost)
    }),
  )
  /** By pod: the process from whose network it is pinged. */
  const pingers = new Map<string, number>()
  undo.use(
    new NodeProgram(lab, HERE, ['sh', '-c', `touch ${LOG}; exec tail -n 0 -F ${LOG}`], (line) => {
      const [, at, name, address] = /^(\d+) .*K8S_POD_NAME=([^; ]+).*?"address": *"([0-9.]+)/.exec(line) ?? []
      const pid = pingers.get(name ?? '')
      if (pid === undefined || address === undefined) return
      prober.tell({ pid, address })
      delaysMs.push(now() - Number(at) / 1e6)
      probes.set(address, (isLost) => {
        probed++
        if (isLost) lost.push(`${name} ${address}`)
      })
    }),
  )

  const startAndProbe = async (namespace: string, name: string, pinger: number) => {
    pingers.set(name, pinger)
    const before = probed
    await api.startPod(namespace, name, `node${HERE}`)
    await api.until(`the ping to ${name}`, () => probed > before, 1).catch(() => undefined)
  }

  const shared = `first-${suffix}`
  await api.namespace(shared)
  await api.startPod(shared, 'pinger', `node${THERE}`)
  const sharedPinger = await processOf(lab, api, shared, 'pinger')
  for (let index = 0; index < pods; index++) await startAndProbe(shared, `pod-${suffix}-${index}`, sharedPinger)
  for (let index = 0; index < networks; index++) {
    const namespace = `first-${suffix}-${index}`
    await api.namespace(namespace, { 'vrouter.dev/isolation': 'true' })
    await api.startPod(namespace, 'pinger', `node${THERE}`)
    const pinger = await processOf(lab, api, namespace, 'pinger')
    await startAndProbe(namespace, `net-${suffix}-${index}-a`, pinger)
    firstOfNetwork++
    await startAndProbe(namespace, `net-${suffix}-${index}-b`, pinger)
  }
  const deadline = now() + 5000
  while (probed < pods + 2 * networks && now() < deadline) await new Promise((resolve) => setTimeout(resolve, 20))
  const namespaces = [shared, ...Array.from({ length: networks }, (_, index) => `first-${suffix}-${index}`)]
  await lab.kubectl(['delete', 'namespace', '--wait=true', ...namespaces], { timeoutMs: 180_000 })
  return { pods: probed, firstOfNetwork, lost, delaysMs }
}

async function processOf(lab: Kubelab, api: Api, namespace: string, name: string): Promise<number> {
  const pod = api.pod(namespace, name) as PodObject & { status: { containerStatuses?: { containerID: string }[] } }
  const id = pod.status.containerStatuses?.[0]?.containerID.replace(/^.*\/\//, '')
  if (id === undefined) throw new Error(`${namespace}/${name} has no container`)
  return await pidOfPod(lab, THERE, id)
}

async function replacePlugin(lab: Kubelab): Promise<void> {
  const script = `#!/bin/sh
[ "$CNI_COMMAND" = ADD ] || exec ${PLUGIN}.real
answer=$(${PLUGIN}.real)
status=$?
[ $status = 0 ] && echo "$(date +%s%N) $CNI_ARGS $(echo "$answer" | tr -d '\\n')" >>${LOG}
printf '%s' "$answer"
exit $status
`
  const command = `set -e; mv ${PLUGIN} ${PLUGIN}.real; cat >${PLUGIN}; chmod 755 ${PLUGIN}`
  const { status, stderr } = await lab.exec(HERE, ['sh', '-c', command], { input: script })
  if (status !== 0) throw new Error(stderr)
}

async function restorePlugin(lab: Kubelab): Promise<void> {
  await lab.exec(HERE, ['sh', '-c', `mv ${PLUGIN}.real ${PLUGIN}; rm -f ${LOG}`])
}
