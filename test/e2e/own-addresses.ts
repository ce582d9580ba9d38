/**
 * Watches the underlay of the shared cluster for as long as it lives: nothing may cross it with a pod's own address as its source, but inside
 * a tunnel. Whoever isn't a node, the gateway, the host outside or a link-local address is a pod. What pods answer the API server, which
 * reaches them by routes as a site's has to (docs/kubelab.md), is the one exception.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { enterFabric } from '../kubelab/fabric.ts'
import { outside, underlay } from '../kubelab/layout.ts'

/** Arguments: addresses of the API server, "-", networks whose addresses are no pod's. Prints a line for each packet that mustn't be. */
const spy = `
import ipaddress, socket, sys
at = sys.argv.index('-')
servers = {ipaddress.ip_address(text) for text in sys.argv[1:at]}
others = [ipaddress.ip_network(text, strict=False) for text in sys.argv[at + 1:]]
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.setsockopt(socket.SOL_SOCKET, 33, 64 << 20) # SO_RCVBUFFORCE
print('ready', flush=True)
verdicts = {}
while True:
  frame = s.recv(128)
  if frame[12:14] == b'\\x08\\0': source, destination, proto = frame[26:30], frame[30:34], frame[23]
  elif frame[12:14] == b'\\x86\\xdd': source, destination, proto = frame[22:38], frame[38:54], frame[20]
  else: continue
  isPod = verdicts.get(source)
  if isPod is None:
    address = ipaddress.ip_address(source)
    isPod = verdicts[source] = not any(address.version == each.version and address in each for each in others)
  if isPod and ipaddress.ip_address(destination) not in servers:
    print(ipaddress.ip_address(source), 'to', ipaddress.ip_address(destination), 'protocol', proto, flush=True)
`

export class OwnAddressWatch implements Disposable {
  readonly #child: ChildProcess
  #seen = ''

  private constructor(child: ChildProcess) {
    this.#child = child
  }

  /** @param lab a cluster of hack/kubelab */
  static async start(lab: string): Promise<OwnAddressWatch> {
    const { subnet4, subnet6, api4, api6 } = underlay
    const others = [
      subnet4,
      subnet6,
      `${outside.address4}/24`,
      `${outside.address6}/64`,
      'fe80::/10',
      '::/128',
      '0.0.0.0/32',
      '127.0.0.0/8',
      '::1/128',
    ]
    const [program, ...args] = [...enterFabric(lab), 'python3', '-c', spy, api4, api6, '-', ...others]
    const child = spawn(program!, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    const watch = new OwnAddressWatch(child)
    const ended = once(child, 'exit').then(() => {
      throw new Error('the watch over the underlay did not start')
    })
    await Promise.race([once(child.stdout!, 'data'), ended])
    ended.catch(() => {})
    child.stdout!.on('data', (text) => {
      watch.#seen += text
    })
    return watch
  }

  /** Packets seen since the last call, one a line; empty as it must be. @throws when nobody watches any more */
  take(): string {
    if ((this.#child.exitCode ?? this.#child.signalCode) !== null)
      throw new Error('the watch over the underlay has ended')
    const seen = this.#seen.trim()
    this.#seen = ''
    return seen
  }

  [Symbol.dispose](): void {
    this.#child.kill('SIGKILL')
  }
}
