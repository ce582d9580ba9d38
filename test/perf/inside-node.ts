/**
 * The part of hack/bench that runs inside a lab's mount namespace and on its first node: `hack/lab exec node/1 -- node …/inside-node.ts LAB COUNT SEA`.
 * Adds COUNT pods with the CNI binary, each after a run of the empty executable SEA, deletes them again, and prints both lists of wall times in ms.
 */
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { dirname } from 'node:path'
import { nodePaths } from '../lab/layout.ts'
import { cniBinary } from '../lab/node.ts'
import { run } from '../lab/shell.ts'

const [lab = '', countText = '', emptySea = ''] = process.argv.slice(2)
const node = nodePaths(lab, 1)

const config = JSON.stringify({
  cniVersion: '1.1.0',
  name: 'kube-vrouter',
  type: 'vrouter-cni',
  socket: node.socket,
  stateDir: node.state,
})

function timed(program: string, input: string, env: NodeJS.ProcessEnv): number {
  const start = performance.now()
  const { status, stdout, stderr } = spawnSync(program, { input, env, encoding: 'utf8' })
  const elapsedMs = performance.now() - start
  if (status !== 0) throw new Error(`${program} ended with ${status}: ${stdout}${stderr}`)
  return elapsedMs
}

function environment(command: string, pod: string, containerId: string): NodeJS.ProcessEnv {
  return {
    PATH: process.env['PATH'],
    CNI_COMMAND: command,
    CNI_CONTAINERID: containerId,
    CNI_NETNS: `/run/netns/${pod}`,
    CNI_IFNAME: 'eth0',
    CNI_PATH: dirname(cniBinary),
    CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=perf;K8S_POD_NAME=${pod};K8S_POD_INFRA_CONTAINER_ID=${containerId}`,
  }
}

const add: number[] = []
const empty: number[] = []
for (let at = 0; at < Number(countText); at++) {
  const pod = `add-${at}`
  const containerId = randomBytes(32).toString('hex')
  run(['ip', 'netns', 'add', pod])
  try {
    empty.push(timed(emptySea, '', { PATH: process.env['PATH'] }))
    add.push(timed(cniBinary, config, environment('ADD', pod, containerId)))
    timed(cniBinary, config, environment('DEL', pod, containerId))
  } finally {
    run(['ip', 'netns', 'del', pod])
  }
}
console.log(JSON.stringify({ add, empty }))
