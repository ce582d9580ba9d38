/** Services in a lab: their manifests, servers that say who they are, and clients that say who answered. */
import assert from 'node:assert/strict'
import type { TestLab, TestPod } from './lab.ts'

/** What servers listen on; the port of Services is another one. */
export const TARGET = 8080
export const PORT = 80

export interface ServiceWanted {
  readonly name: string
  readonly namespace?: string
  readonly clusterIps: readonly string[]
  /** More keys of the spec. */
  readonly spec?: object
  readonly backs: readonly BackWanted[]
}

export interface BackWanted {
  /** A pod, or an address that no pod stands for. */
  readonly pod?: TestPod
  readonly addresses?: readonly string[]
  readonly node: number
  readonly conditions?: object
}

export function serviceRanges(...cidrs: readonly string[]): string {
  const [apiVersion, kind] = ['networking.k8s.io/v1', 'ServiceCIDR']
  return JSON.stringify({ apiVersion, kind, metadata: { name: 'kubernetes' }, spec: { cidrs } })
}

/** A Service and its slices, one of each family; with TCP and UDP on one port. */
export function serviceManifest({ name, namespace = 'default', clusterIps, spec, backs }: ServiceWanted): string {
  const port = (protocol: string) => ({ name: protocol.toLowerCase(), protocol })
  const service = {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace },
    spec: {
      type: 'ClusterIP',
      clusterIPs: clusterIps,
      ports: ['TCP', 'UDP'].map((protocol) => ({ ...port(protocol), port: PORT, targetPort: TARGET })),
      ...spec,
    },
  }
  const slices = ['IPv4', 'IPv6'].map((addressType) => ({
    apiVersion: 'discovery.k8s.io/v1',
    kind: 'EndpointSlice',
    metadata: {
      name: `${name}-${addressType.toLowerCase()}`,
      namespace,
      labels: { 'kubernetes.io/service-name': name },
    },
    addressType,
    ports: ['TCP', 'UDP'].map((protocol) => ({ ...port(protocol), port: TARGET })),
    endpoints: backs.flatMap(({ pod, addresses = [pod!.ip4, pod!.ip6], node, conditions }) =>
      addresses
        .filter((address) => address.includes(':') === (addressType === 'IPv6'))
        .map((address) => ({
          addresses: [address],
          nodeName: `node${node}`,
          conditions,
          ...(pod !== undefined && { targetRef: { kind: 'Pod', name: pod.name, namespace } }),
        })),
    ),
  }))
  return [service, ...slices].map((object) => JSON.stringify(object)).join('\n---\n')
}

/** Answers TCP and UDP on every address with its own name and the client's address as it is seen there. */
const server = `
import selectors, socket, sys
name, port, select = sys.argv[1], int(sys.argv[2]), selectors.DefaultSelector()
for family, any in ((socket.AF_INET, '0.0.0.0'), (socket.AF_INET6, '::')):
  for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
    s = socket.socket(family, kind)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    s.bind((any, port))
    if kind == socket.SOCK_STREAM: s.listen(64)
    select.register(s, selectors.EVENT_READ, kind)
print('ready', flush=True)
while True:
  for key, _ in select.select():
    try:
      if key.data == socket.SOCK_STREAM:
        client, peer = key.fileobj.accept()
        client.sendall(f'{name} {peer[0]}'.encode())
        client.close()
      else:
        data, peer = key.fileobj.recvfrom(65536)
        key.fileobj.sendto(f'{name} {peer[0]}'.encode(), peer)
    except OSError: pass
`

/** A line for each question: who answered, and as whom it saw us; or why there was no answer. */
const client = `
import socket, sys
kind, address, port, count, timeout = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5])
for i in range(count):
  try:
    s = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)
    s.settimeout(timeout)
    s.connect((address, port))
    if kind == 'udp': s.send(b'hello')
    print(s.recv(100).decode())
    s.close()
  except ConnectionRefusedError: print('refused')
  except socket.timeout: print('silence')
  except OSError as error: print(error)
`

export type Kind = 'tcp' | 'udp'

export function startServer(lab: TestLab, where: string, name: string): Promise<unknown> {
  return lab.startServer(where, ['python3', '-c', server, name, String(TARGET)])
}

export interface Question {
  readonly kind: Kind
  readonly address: string
  readonly port?: number
  readonly count?: number
  readonly timeoutS?: number
}

/** What each question was answered with. `where`: as hack/lab takes it. */
export function ask(
  lab: TestLab,
  where: string,
  { kind, address, port = PORT, count = 1, timeoutS = 10 }: Question,
): string[] {
  const words = [kind, address, String(port), String(count), String(timeoutS)]
  const { stdout, stderr, status } = lab.tryRun(['exec', where, '--', 'python3', '-c', client, ...words])
  assert.equal(status, 0, stderr)
  return stdout.trim().split('\n')
}

/** The answers that came, each once, sorted. */
export function answersOf(lab: TestLab, where: string, question: Question): string[] {
  return [...new Set(ask(lab, where, question))].sort()
}

/** Answers each datagram with itself, at every address. */
const echo = `
import socket, sys, threading
def serve(family, any):
  s = socket.socket(family, socket.SOCK_DGRAM)
  if family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
  s.bind((any, int(sys.argv[1])))
  while True:
    data, peer = s.recvfrom(65536)
    s.sendto(data, peer)
for one in ((socket.AF_INET, '0.0.0.0'), (socket.AF_INET6, '::')): threading.Thread(target=serve, args=one).start()
print('ready', flush=True)
`

export function startEcho(lab: TestLab, where: string, port: number = TARGET): Promise<unknown> {
  return lab.startServer(where, ['python3', '-c', echo, String(port)])
}

/** Sends one datagram, and prints `whole` when the very same comes back. Sends it again when it has been told that its packets are too large, or is told nothing. */
const exchange = `
import socket, sys
address, port, size, own = sys.argv[1], *map(int, sys.argv[2:])
s = socket.socket(socket.AF_INET6 if ':' in address else socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('', own))
s.settimeout(5)
data = bytes(i % 251 for i in range(size))
answer = 'silence'
for attempt in range(3):
  s.sendto(data, (address, port))
  try:
    answer = 'whole' if s.recv(65536) == data else 'another'
    break
  except TimeoutError: pass
print(answer)
`

export interface Exchange {
  readonly address: string
  readonly port?: number
  readonly bytes: number
  /** Default: one that is free. */
  readonly sourcePort?: number
}

/** `whole`, when an echo has brought a datagram back as it was; `another`; `silence`. */
export function exchanged(
  lab: TestLab,
  where: string,
  { address, port = PORT, bytes, sourcePort = 0 }: Exchange,
): string {
  const words = [address, port, bytes, sourcePort].map(String)
  return lab.run(['exec', where, '--', 'python3', '-c', exchange, ...words]).trim()
}
