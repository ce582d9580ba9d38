/** The underlay of a lab: a bridge that is every node's gateway and the API server's address, and a host outside of the cluster behind it. */
import { join } from 'node:path'
import { isRunning, readProcess } from '../lab/process.ts'
import { run } from './command.ts'
import { enter, enterLab, startNamespaces } from './holder.ts'
import { type LabPaths, labPaths, outside, tools, underlay } from './layout.ts'

/** Run in the fabric's network namespace. */
const fabricScript = `set -e
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.accept_dad=0
ip link add br0 type bridge
ip address add ${underlay.api4}/24 dev br0
ip -6 address add ${underlay.api6}/64 dev br0 nodad
ip link set br0 up
`

/** Run as number 1 of the outside host's namespaces, which lie inside the lab's: there /proc/1 is the holder until a new /proc is mounted. */
const outsideScript = `set -e
hostname outside
sysctl -qw net.ipv6.conf.default.accept_dad=0
ip link set lo up
ip link add eth0 type veth peer name outside netns /proc/1/ns/net
ip address add ${outside.address4}/24 dev eth0
ip -6 address add ${outside.address6}/64 dev eth0 nodad
ip link set eth0 up
ip route add ${underlay.subnet4} via ${outside.gateway4}
ip -6 route add ${underlay.subnet6} via ${outside.gateway6}
nsenter --net=/proc/1/ns/net sh -e <<'END'
ip address add ${outside.gateway4}/24 dev outside
ip -6 address add ${outside.gateway6}/64 dev outside nodad
ip link set outside up
END
mount -t proc proc /proc
exec ${join(tools.bin, 'nettool')} serve
`

export async function createFabric(name: string, paths: LabPaths, signal?: AbortSignal): Promise<void> {
  await run([...enterLab(name), 'bash', '-c', fabricScript], { signal })
  await startNamespaces(
    ['--mount', '--net', '--pid', '--uts'],
    ['bash', '-c', outsideScript],
    join(paths.root, 'outside.log'),
    outsideFile(name),
    enterLab(name),
  )
}

function outsideFile(lab: string): string {
  return join(labPaths(lab).root, 'outside.pid')
}

/** Puts a command onto the underlay, where the node's wires come together. */
export function enterFabric(lab: string): string[] {
  return enterLab(lab)
}

/** Puts a command onto the host outside of the cluster. */
export function enterOutside(lab: string): string[] {
  const id = readProcess(outsideFile(lab))
  if (id === undefined || !isRunning(id)) throw new Error(`the host outside of lab ${lab} has ended`)
  return [...enter(id.pid, ['mount', 'net', 'pid', 'uts']), 'env', `PATH=${tools.bin}:${process.env['PATH'] ?? ''}`]
}
