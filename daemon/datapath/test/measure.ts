/**
 * What the datapath costs: instructions that the verifier walks per program and bytes of stack (complexity.json, checked by
 * complexity.test.ts), and nanoseconds per packet of the main paths (cost.json, of the machine it ran on; a record, not a limit).
 *
 * Run as a program it writes both: node daemon/datapath/test/measure.ts
 */
import { writeFileSync } from 'node:fs'
import { BpfObject } from '@kube-vrouter/linux/bpf/object'
import * as c from '../../src/maps/constants.ts'
import type { MapName } from '../../src/maps/definitions.ts'
import { A, B, Fixture, HOST, OUTSIDE, PEER, REMOTE, ROUTER_MAC } from './fixture.ts'
import { eth, mplsOverUdp, TCP_FLAG, tcp, udp } from './frames.ts'
import { BUILD, SIZES } from './node.ts'
import { deepestChain, frameSizes, ROUNDING, subprograms } from './stack-depth.ts'

export const COMPLEXITY_FILE = new URL('../complexity.json', import.meta.url).pathname
const COST_FILE = new URL('../cost.json', import.meta.url).pathname
/** Runs in one go. */
const REPEAT = 10_000
const ROUNDS = 50
const FIRST_PACKETS = 1000

export interface ProgramComplexity {
  /** That the verifier walks. */
  readonly instructions: number
  /** Bytes of the deepest chain of calls: in kernels that round frames up to 16, and in 6.6, which rounds to 32. */
  readonly stack: number
  readonly stackLinux66: number
}

export type Complexity = Record<string, ProgramComplexity>

/** Programs that the kernel calls, each with its object's name. */
export const ENTRIES = [
  ['tap', 'tap'],
  ['fabric', 'fabric'],
  ['outside', 'outside'],
  ['vhost', 'vhost'],
  ['agent', 'agent'],
  ['ageing', 'start_ageing'],
  ['ageing', 'age_now'],
  ['import', 'import_flows'],
  ['endpoints', 'end_flows'],
] as const

export function measureComplexity(node: Fixture): Complexity {
  return Object.fromEntries(
    ENTRIES.map(([object, program]) => [
      program,
      {
        instructions: node.objects.get(object)!.verifiedInsns(program),
        stack: stackOf(object, program, ROUNDING.compiled).bytes,
        stackLinux66: stackOf(object, program, ROUNDING.linux66).bytes,
      },
    ]),
  )
}

/** The deepest chain of calls of a program, and its functions with the bytes of their frames. */
export function stackOf(
  name: string,
  program: string,
  round: (bytes: number) => number,
): { readonly bytes: number; readonly frames: readonly string[] } {
  using object = BpfObject.open(`${BUILD}${name}.bpf.o`, { logLevel: 4 })
  // The log is that of one program.
  for (const other of object.programNames()) object.setAutoload(other, other === program)
  for (const map of object.mapNames()) if (map in SIZES) object.setMaxEntries(map, SIZES[map as MapName]!)
  object.load()
  const parts = subprograms(object.instructions(program))
  const sizes = frameSizes(object.programLog())
  const { bytes, frames } = deepestChain(parts, sizes, round)
  // What the kernel is given has no names: functions are told apart by their length.
  const functions = object.functions()
  const names = frames.map((start) => {
    const at = parts.findIndex((part) => part.start === start)
    const alike = functions.filter(({ length }) => length === parts[at]!.length).map((one) => one.name)
    return `${start === 0 ? program : alike.join('|')} ${sizes[at]}`
  })
  return { bytes, frames: names }
}

/** ns per packet. */
function measureCost(node: Fixture): Record<string, number> {
  const { ACK } = TCP_FLAG
  const tap = (packet: Buffer, dst = ROUTER_MAC) => eth(dst, A.mac, packet[0]! >> 4 === 4 ? 0x0800 : 0x86dd, packet)
  const tunnelled = (packet: Buffer) =>
    eth(HOST.mac, PEER.mac, 0x0800, mplsOverUdp({ src: PEER.ip4, dst: HOST.ip4, label: A.label }, packet))
  const cost: Record<string, number> = {}
  // A repeated run works on what the one before left: a bridged frame is left as it is, so it can be repeated for ever.
  const bridged = [
    ['established, IPv4 TCP, pod to pod', tcp(A.ip4, B.ip4, 1, 2, ACK), tcp(B.ip4, A.ip4, 2, 1, ACK)],
    ['established, IPv6 TCP, pod to pod', tcp(A.ip6, B.ip6, 1, 2, ACK), tcp(B.ip6, A.ip6, 2, 1, ACK)],
    ['established, IPv4 UDP, pod to pod', udp(A.ip4, B.ip4, 1, 2), udp(B.ip4, A.ip4, 2, 1)],
  ] as const
  for (const [name, packet, reply] of bridged) {
    const frame = tap(packet, B.mac)
    const answer = eth(A.mac, B.mac, packet[0]! >> 4 === 4 ? 0x0800 : 0x86dd, reply)
    node.fromPod(A, frame)
    node.fromPod(B, answer)
    node.fromPod(A, frame)
    cost[name] = median(() => node.send('tap', node.devices[A.vif]!, frame, {}, REPEAT).durationNs, ROUNDS)
  }
  const plain = (packet: Buffer) => eth(HOST.mac, PEER.mac, packet[0]! >> 4 === 4 ? 0x0800 : 0x86dd, packet)
  for (const [name, frame] of [
    ['the host’s, IPv4 TCP, from the NIC', plain(tcp(OUTSIDE.ip4, HOST.ip4, 443, 40000, ACK))],
    ['the host’s, IPv4 UDP, from the NIC', plain(udp(OUTSIDE.ip4, HOST.ip4, 53, 40000))],
    ['the host’s, IPv6 TCP, from the NIC', plain(tcp(OUTSIDE.ip6, HOST.ip6, 443, 40000, ACK))],
  ] as const)
    cost[name] = median(() => node.send('fabric', node.devices.fabric, frame, {}, REPEAT).durationNs, ROUNDS)
  // The others change the frame: each run is a call of its own, which costs some hundred ns by itself (cold caches, timestamps).
  cost['no route, one call'] = median(
    () => node.send('tap', node.devices[A.vif]!, tap(udp(A.ip4, '10.2.0.99', 1, 2)), {}, 1).durationNs,
  )
  let port = 1
  cost['first, IPv4 UDP, pod to pod, one call'] = median(
    () => node.fromPod(A, tap(udp(A.ip4, B.ip4, port++, 2))).durationNs,
  )
  cost['first, IPv6 UDP, pod to pod, one call'] = median(
    () => node.fromPod(A, tap(udp(A.ip6, B.ip6, port++, 2))).durationNs,
  )
  cost['first, IPv4 UDP, into a tunnel, one call'] = median(
    () => node.fromPod(A, tap(udp(A.ip4, REMOTE.ip4, port++, 2))).durationNs,
  )
  cost['established, IPv4 UDP, routed, one call'] = median(
    () => node.fromPod(A, tap(udp(A.ip4, B.ip4, 1, 2))).durationNs,
  )
  cost['established, IPv4 UDP, into a tunnel, one call'] = median(
    () => node.fromPod(A, tap(udp(A.ip4, REMOTE.ip4, 1, 2))).durationNs,
  )
  cost['established, IPv4 UDP, out of a tunnel, one call'] = median(
    () => node.fromFabric(tunnelled(udp(REMOTE.ip4, A.ip4, 2, 1))).durationNs,
  )
  for (const [family, pod, host, outside] of [
    ['IPv4', A.ip4, HOST.ip4, OUTSIDE.ip4],
    ['IPv6', A.ip6, HOST.ip6, OUTSIDE.ip6],
  ] as const) {
    node.fromPod(A, tap(tcp(pod, outside, 1, 443, ACK)))
    const { destinationPort } = node.flows().findLast(({ flow }) => flow.flags & c.FLOW_DNAT)!
    node.fromFabric(plain(tcp(outside, host, 443, destinationPort, ACK)))
    node.fromPod(A, tap(tcp(pod, outside, 1, 443, ACK)))
    cost[`first, ${family} UDP, SNAT, one call`] = median(
      () => node.fromPod(A, tap(udp(pod, outside, port++, 53))).durationNs,
    )
    cost[`established, ${family} TCP, SNAT to the outside, one call`] = median(
      () => node.fromPod(A, tap(tcp(pod, outside, 1, 443, ACK))).durationNs,
    )
    cost[`established, ${family} TCP, SNAT from the outside, one call`] = median(
      () => node.fromFabric(plain(tcp(outside, host, 443, destinationPort, ACK))).durationNs,
    )
  }
  return cost
}

function median(run: () => number, count = FIRST_PACKETS): number {
  const times = Array.from({ length: count }, run).sort((a, b) => a - b)
  return times[times.length >> 1]!
}

if (import.meta.main) {
  using node = new Fixture({
    sizes: { flow4: 65536, flow6: 65536, flow_slots: 131072, flow_free: 131072, flow_closed: 65536 },
  })
  const complexity = measureComplexity(node)
  node.enableSnat()
  const cost = measureCost(node)
  for (const [file, data] of [
    [COMPLEXITY_FILE, complexity],
    [COST_FILE, cost],
  ] as const) {
    writeFileSync(file, `${JSON.stringify(data, null, 2)}\n`)
    console.table(data)
  }
  for (const [object, program] of ENTRIES) console.log(stackOf(object, program, ROUNDING.linux66).frames.join(' → '))
}
