/** What `vrfstats` prints (vRouter reference §3.5, meanings §4.2). Pure. */
import type { VrfStatsStruct } from '../maps/structs.ts'

const LINES: readonly (readonly (readonly [label: string, counter: keyof VrfStatsStruct])[])[] = [
  [
    ['Discards', 'discards'],
    ['Resolves', 'resolves'],
    ['Receives', 'receives'],
    ['L2 Receives', 'l2Receives'],
    ['Vrf Translates', 'vrfTranslates'],
    ['Unknown Unicast Floods', 'unknownUnicastFloods'],
  ],
  [
    ['Ecmp Composites', 'ecmpComposites'],
    ['L2 Mcast Composites', 'l2McastComposites'],
    ['Fabric Composites', 'fabricComposites'],
    ['Encap Composites', 'encapComposites'],
    ['Evpn Composites', 'evpnComposites'],
  ],
  [
    ['Udp Tunnels', 'udpTunnels'],
    ['Udp Mpls Tunnels', 'udpMplsTunnels'],
    ['Gre Mpls Tunnels', 'greMplsTunnels'],
    ['Vxlan Tunnels', 'vxlanTunnels'],
    ['Pbb Tunnels', 'pbbTunnels'],
    ['Mpls over Mpls Tunnels', 'mplsOverMplsTunnels'],
  ],
  [
    ['L2 Encaps', 'l2Encaps'],
    ['Encaps', 'encaps'],
  ],
  [
    ['GROs', 'gros'],
    ['Diags', 'diags'],
  ],
  [
    ['Arp Virtual Proxys', 'arpVirtualProxys'],
    ['Arp Virtual Stitchs', 'arpVirtualStitchs'],
    ['Arp Virtual Floods', 'arpVirtualFloods'],
    ['Arp Physical Stitchs', 'arpPhysicalStitchs'],
    ['Arp Tor Proxys', 'arpTorProxys'],
    ['Arp Physical Floods', 'arpPhysicalFloods'],
  ],
]

/** One VRF's record, with the blank line that ends it. Id -1 stands for traffic whose VRF was out of range. */
export function formatVrfStats(vrf: number, counters: VrfStatsStruct): string {
  const lines = LINES.map((line) => line.map(([label, counter]) => `${label} ${counters[counter]}`).join(', '))
  return `Vrf: ${vrf}\n${lines.join('\n')}\n\n`
}

/** True when `--dump` leaves the VRF out. */
export function hasNoTraffic(counters: VrfStatsStruct): boolean {
  return LINES.every((line) => line.every(([, counter]) => counters[counter] === 0n))
}
