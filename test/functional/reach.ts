/** Who reaches whom: one-shot probes by ICMP, TCP and UDP, for tests of what networks join and part. */
import assert from 'node:assert/strict'
import type { TestLab, TestPod } from './lab.ts'

export interface Place {
  readonly name: string
  /** `pod/NAME` or `node/I`, as hack/lab takes it. */
  readonly where: string
  readonly addresses: readonly string[]
}

export const PORT = 7100

export function placeOf(pod: TestPod): Place {
  const addresses = [pod.ip4, pod.ip6].filter((address) => address !== '')
  return { name: pod.name, where: `pod/${pod.name}`, addresses }
}

/** Answers TCP and UDP on every address of the place with the client's address as it is seen there. */
const server = `
import selectors, socket, sys
port, select = int(sys.argv[1]), selectors.DefaultSelector()
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
        client.sendall(peer[0].encode())
        client.close()
      else:
        data, peer = key.fileobj.recvfrom(65536)
        key.fileobj.sendto(peer[0].encode(), peer)
    except OSError: pass
`

/** For each address and kind at once, one line: \`kind address seen-as\`, or nothing where no answer came within the timeout. */
const client = `
import socket, struct, sys, threading
port, timeout = int(sys.argv[1]), float(sys.argv[2])
def tcp(address, family):
  s = socket.socket(family, socket.SOCK_STREAM)
  s.settimeout(timeout)
  s.connect((address, port))
  return s.recv(100).decode()
def udp(address, family):
  s = socket.socket(family, socket.SOCK_DGRAM)
  s.settimeout(min(timeout, 1) / 2)
  s.connect((address, port))
  for attempt in range(max(2, int(timeout * 2))):
    s.send(b'hello')
    try: return s.recv(100).decode()
    except socket.timeout: pass
  raise OSError
def icmp(address, family):
  v6 = family == socket.AF_INET6
  s = socket.socket(family, socket.SOCK_DGRAM, socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP)
  s.settimeout(min(timeout, 1) / 2)
  s.connect((address, 0))
  for attempt in range(max(2, int(timeout * 2))):
    s.send(struct.pack('!BBHHH', 128 if v6 else 8, 0, 0, 0, attempt) + b'hello')
    try:
      s.recv(100)
      return '-'
    except socket.timeout: pass
  raise OSError
def probe(kind, address):
  try:
    seen = kind(address, socket.AF_INET6 if ':' in address else socket.AF_INET)
    sys.stdout.write(f'{kind.__name__} {address} {seen}\\n')
  except OSError: pass
threads = [threading.Thread(target=probe, args=(kind, address)) for address in sys.argv[3:] for kind in (tcp, udp, icmp)]
for thread in threads: thread.start()
for thread in threads: thread.join()
`

/** Lets every place answer on PORT, until the lab closes. */
export async function serve(lab: TestLab, places: readonly Place[]): Promise<void> {
  await Promise.all(places.map(({ where }) => lab.startServer(where, ['python3', '-c', server, String(PORT)])))
}

/** `tcp 10.0.0.1 seen-as` for each probe that was answered, sorted. */
export function answers(lab: TestLab, from: Place, to: readonly Place[], timeoutS = 1): string[] {
  const addresses = to.flatMap((place) => place.addresses)
  const script = `sysctl -qw net.ipv4.ping_group_range='0 0'; exec python3 -c "$0" "$@"`
  const { stdout, stderr, status } = lab.tryRun([
    'exec',
    from.where,
    '--',
    'sh',
    '-c',
    script,
    client,
    String(PORT),
    String(timeoutS),
    ...addresses,
  ])
  assert.equal(status, 0, stderr)
  return stdout
    .trim()
    .split('\n')
    .filter((line) => line !== '')
    .sort()
}

/** Asserts that every kind of traffic to every address is answered, by the client's own address; or that nothing is. */
export function assertReach(lab: TestLab, from: Place, to: readonly Place[], isWanted: boolean): void {
  const seen = answers(lab, from, to, isWanted ? 10 : 0.6)
  if (!isWanted) {
    assert.deepEqual(seen, [], `${from.name} reaches ${to.map(({ name }) => name).join(', ')}`)
    return
  }
  const wanted = to.flatMap(({ addresses }) =>
    addresses.flatMap((address) => {
      const own = from.addresses.find((one) => one.includes(':') === address.includes(':'))
      return [`icmp ${address} -`, `tcp ${address} ${own}`, `udp ${address} ${own}`]
    }),
  )
  assert.deepEqual(seen, wanted.sort(), `${from.name} -> ${to.map(({ name }) => name).join(', ')}`)
}
