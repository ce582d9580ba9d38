/** The underlay of a lab: one namespace with a bridge that is everybody's gateway, and a veth to every node. */
import { existsSync } from 'node:fs'
import { type NodePaths, underlay } from './layout.ts'
import { run } from './shell.ts'

export const fabricName = 'fabric'
export const fabricNetns = `/run/netns/${fabricName}`

function ip(...words: string[]): string {
  return run(['ip', ...words])
}

export function createFabric(): void {
  if (existsSync(fabricNetns)) throw new Error(`namespace ${fabricNetns} exists already: is another lab half up?`)
  ip('netns', 'add', fabricName)
  ip('-n', fabricName, 'link', 'set', 'lo', 'up')
  ip('-n', fabricName, 'link', 'add', 'br0', 'type', 'bridge')
  ip('-n', fabricName, 'addr', 'add', `${underlay.gateway4}/${underlay.prefixLength4}`, 'dev', 'br0')
  ip('-n', fabricName, 'addr', 'add', `${underlay.gateway6}/${underlay.prefixLength6}`, 'dev', 'br0', 'nodad')
  ip('-n', fabricName, 'link', 'set', 'br0', 'up')
}

/** Makes the namespace of a node with an `eth0` that has the node's addresses and default routes, as a machine has before we come. */
export function createNode(node: NodePaths): void {
  const { name } = node
  if (existsSync(node.netns)) throw new Error(`namespace ${node.netns} exists already`)
  ip('netns', 'add', name)
  run([
    'nsenter',
    `--net=${node.netns}`,
    'sysctl',
    '-qw',
    'net.ipv6.conf.default.accept_dad=0',
    'net.ipv4.conf.all.rp_filter=0',
    'net.ipv4.ip_forward=1',
  ])
  ip('-n', name, 'link', 'set', 'lo', 'up')
  ip('-n', name, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', name, 'netns', fabricName)
  ip('-n', name, 'link', 'set', 'eth0', 'mtu', String(underlay.mtu), 'up')
  ip('-n', fabricName, 'link', 'set', name, 'mtu', String(underlay.mtu), 'master', 'br0', 'up')
  ip('-n', name, 'addr', 'add', `${node.address4}/${underlay.prefixLength4}`, 'brd', '+', 'dev', 'eth0')
  ip('-n', name, 'addr', 'add', `${node.address6}/${underlay.prefixLength6}`, 'dev', 'eth0', 'nodad')
  ip('-n', name, 'route', 'add', 'default', 'via', underlay.gateway4)
  ip('-n', name, '-6', 'route', 'add', 'default', 'via', underlay.gateway6)
}
