/** What a human needs when something went wrong in a lab, as files in a folder. Nothing of it may fail: what can't be had says why in its file. */
import { copyFileSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import type { ClusterNode, TestCluster } from './cluster.ts'
import type { Outcome } from './command.ts'

const kinds =
  'ipamblocks,virtualrouters,virtualnetworks,virtualmachineinterfaces,virtualnetworkrouters,loadbalancerpools'

const questions: Readonly<Record<string, readonly string[]>> = {
  'nodes.txt': ['get', 'nodes', '-o', 'wide'],
  'nodes.yaml': ['get', 'nodes', '-o', 'yaml'],
  'pods.txt': ['get', 'pods', '-A', '-o', 'wide'],
  'pods.yaml': ['get', 'pods', '-A', '-o', 'yaml'],
  'events.txt': ['get', 'events', '-A', '--sort-by=.lastTimestamp'],
  'vrouter-objects.yaml': ['get', kinds, '-A', '-o', 'yaml'],
  'controller.log': [
    'logs',
    '-n',
    'kube-vrouter',
    '-l',
    'app.kubernetes.io/component=controller',
    '--tail=-1',
    '--prefix',
  ],
}

/** Every VRF that an interface is in, and that of the underlay. */
const routeTables = `for vrf in $( (echo 0; vif --list | sed -n 's/.* Vrf:\\([0-9]*\\) .*/\\1/p') | sort -nu); do
  [ "$vrf" = 65535 ] || for family in inet inet6 bridge; do rt --dump "$vrf" --family "$family"; done
done`

const nodeQuestions: Readonly<Record<string, readonly string[]>> = {
  'vif.txt': ['vif', '--list'],
  'rt.txt': ['sh', '-c', routeTables],
  'nh.txt': ['nh', '--list'],
  'flow.txt': ['flow', '-l'],
  'service.txt': ['service', '--dump'],
  'dropstats.txt': ['dropstats'],
  'links.txt': ['ip', '-d', 'address'],
  'routes.txt': ['sh', '-c', 'ip route show table all; ip -6 route show table all'],
  'neighbours.txt': ['ip', 'neighbour'],
  'processes.txt': ['ps', '-ef'],
  'mounts.txt': ['cat', '/proc/self/mountinfo'],
  'cni.txt': ['sh', '-c', 'ls -l /opt/cni/bin /etc/cni/net.d; cat /etc/cni/net.d/*'],
}

export async function dump(lab: TestCluster, folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true })
  const cluster = Object.entries(questions).map(([file, question]) =>
    keep(join(folder, file), () => lab.tryKubectl(question, { timeoutMs: 15_000 })),
  )
  await Promise.all([...cluster, ...lab.nodes.map((node) => dumpNode(lab, node, join(folder, node.name)))])
  for (const source of lab.logFolders) copyLogs(source, join(folder, 'lab'))
}

async function dumpNode(lab: TestCluster, node: ClusterNode, folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true })
  for (const [file, question] of Object.entries(nodeQuestions))
    await keep(join(folder, file), () => lab.exec(node.number, question, { timeoutMs: 15_000 }))
  await keep(join(folder, 'daemon.log'), async () => ({
    status: 0,
    stdout: await lab.daemonLogs(node.number),
    stderr: '',
  }))
  // By way of the node: its disk may be a tmpfs that only the lab sees.
  for (const log of ['containerd', 'kubelet', 'kube-proxy'])
    await keep(join(folder, `${log}.log`), () => lab.exec(node.number, ['cat', `/var/log/${log}.log`]))
}

async function keep(file: string, ask: () => Promise<Outcome>): Promise<void> {
  let text: string
  try {
    const { status, stdout, stderr } = await ask()
    text = stdout + stderr + (status === 0 ? '' : `(exit ${status})\n`)
  } catch (error) {
    text = `${error instanceof Error ? error.message : String(error)}\n`
  }
  writeFileSync(file, text)
}

function copyLogs(source: string, folder: string): void {
  if (!existsSync(source)) return
  mkdirSync(folder, { recursive: true })
  for (const entry of readdirSync(source).filter((name) => /\.(log|console)$/.test(name)))
    copyFileSync(join(source, entry), join(folder, basename(entry)))
}
