/** Our own side: a lab of two nodes with three pods of one virtual network, made by hack/lab as anybody would. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { repository } from '../lab/layout.ts'
import { run } from '../lab/shell.ts'
import { OURS } from './figures.ts'
import type { Endpoint, Topology } from './topology.ts'

/** hack/lab without its setup, which hack/bench has done. */
const LAB = [process.execPath, join(repository, 'test/lab/main.ts')]

const MANIFEST = `apiVersion: vrouter.dev/v1alpha1
kind: VirtualNetwork
metadata: { name: perf, namespace: perf }
spec:
  subnets: [{ cidr: 10.64.0.0/16 }]
---
apiVersion: v1
kind: Namespace
metadata: { name: perf, annotations: { vrouter.dev/network: perf } }
`

/** A lab under a name of its own. */
export class Lab implements AsyncDisposable {
  readonly name = `perf-${randomBytes(3).toString('hex')}`
  readonly #anchors: ChildProcess[] = []

  /** Brings up the nodes and the network `perf`. */
  static up(nodes: number): Lab {
    const lab = new Lab()
    try {
      lab.run(['up', '--nodes', `${nodes}`])
      lab.run(['apply', '-f', '-'], MANIFEST)
    } catch (error) {
      lab.#down()
      throw error
    }
    return lab
  }

  run(words: readonly string[], input?: string): string {
    const end = words.indexOf('--')
    const at = end < 0 ? words.length : end
    const named = [...words.slice(0, at), '--name', this.name, ...words.slice(at)]
    return run([...LAB, ...named], { input, timeoutMs: 600_000 })
  }

  /** Adds a pod of the network and returns its first IPv4 address. */
  addPod(name: string, node: number): string {
    const output = this.run(['pod', 'add', name, '--node', `${node}`, '--namespace', 'perf'])
    const result = JSON.parse(output) as { ips: { address: string }[] }
    return result.ips[0]!.address.split('/')[0]!
  }

  /** `pod/NAME` or `node/I` as something that nsenter can enter from outside the lab: a process that sleeps in its namespace keeps the door open. */
  async endpoint(where: string, address: string): Promise<Endpoint> {
    const words = ['exec', '--name', this.name, where, '--', 'sh', '-c', 'echo $$; exec sleep 7200']
    const anchor = spawn(LAB[0]!, [...LAB.slice(1), ...words], { stdio: ['ignore', 'pipe', 'inherit'] })
    this.#anchors.push(anchor)
    const [line] = (await once(anchor.stdout, 'data')) as [Buffer]
    return { netns: `/proc/${Number(line.toString())}/ns/net`, address }
  }

  /** Ends what sleeps in the pods, too. */
  #down(): void {
    run([...LAB, 'down', '--name', this.name], { timeoutMs: 120_000 })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#down()
    for (const anchor of this.#anchors) anchor.kill('SIGKILL')
  }
}

/** Two pods on node 1, one on node 2. */
export async function productTopology(lab: Lab): Promise<Topology> {
  const ends: Endpoint[] = []
  for (const [at, node] of [1, 1, 2].entries()) ends.push(await lab.endpoint(`pod/p${at}`, lab.addPod(`p${at}`, node)))
  const [client, neighbour, remote] = ends
  return {
    name: OURS,
    sameNode: { client: client!, server: neighbour! },
    crossNode: { client: client!, server: remote! },
    [Symbol.dispose]: () => undefined,
  }
}
