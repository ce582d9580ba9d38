/** The reference plugins bridge and host-local instead of ours, with static routes between the nodes: what measurements are compared with. */
import { join } from 'node:path'
import { run } from './command.ts'
import { enterLab } from './holder.ts'
import { type NodePaths, tools } from './layout.ts'
import { onNode } from './node.ts'
import type { NodeOptions } from './node-config.ts'

/** @param ranges the node's pod ranges, IPv4 first */
export function conflist(ranges: readonly string[]): string {
  const isIpv6 = (range: string) => range.includes(':')
  return JSON.stringify({
    cniVersion: '1.0.0',
    name: 'reference',
    plugins: [
      {
        type: 'bridge',
        bridge: 'cni0',
        isGateway: true,
        ipMasq: false,
        hairpinMode: true,
        ipam: {
          type: 'host-local',
          ranges: ranges.map((subnet) => [{ subnet }]),
          routes: ranges.map((range) => ({ dst: isIpv6(range) ? '::/0' : '0.0.0.0/0' })),
        },
      },
      { type: 'portmap', capabilities: { portMappings: true } },
    ],
  })
}

/** Routes on every other node and in the fabric (pods speak to the API server), and the conflist on each node: that makes it Ready. */
export async function installReferenceCni(
  lab: string,
  nodes: readonly NodePaths[],
  rangesOf: ReadonlyMap<string, readonly string[]>,
  { containerd }: NodeOptions,
): Promise<void> {
  for (const node of nodes) {
    const ranges = rangesOf.get(node.name) ?? []
    for (const range of ranges) {
      const via = range.includes(':') ? node.address6 : node.address4
      const others = nodes.filter((other) => other !== node).map((other) => onNode(other, [], containerd))
      for (const place of [...others, enterLab(lab)]) await run([...place, 'ip', 'route', 'replace', range, 'via', via])
    }
  }
  const plugins = join(tools.debian, 'usr/lib/cni')
  const script = `set -e; cd ${plugins}; cp bridge host-local loopback portmap /opt/cni/bin/; cat >/etc/cni/net.d/.new; mv /etc/cni/net.d/.new /etc/cni/net.d/10-reference.conflist`
  await Promise.all(
    nodes.map((node) =>
      run(onNode(node, ['sh', '-c', script], containerd), { input: conflist(rangesOf.get(node.name) ?? []) }),
    ),
  )
}
