/**
 * Beside kube-proxy: what the host's own address translation sends to pods is answered through the host, so that it is translated back;
 * also where the packet came in by a tunnel and goes back into one. Nothing leaves with a pod's own address.
 */
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { nodePaths } from '../lab/layout.ts'
import { skipBecause } from '../skip.ts'
import { type TestLab as Lab, skipIfMissing, TestLab, type TestPod } from './lab.ts'

const OUTSIDE = '198.51.100.9'

/** Of the machine, or of what hack/kubelab builds Kubernetes with. */
const kubelab = join(homedir(), '.cache/kube-vrouter/root')
const nft = ['/usr/sbin/nft', join(kubelab, 'usr/sbin/nft')].find((file) => existsSync(file))
const withLibraries = ['env', `LD_LIBRARY_PATH=${join(kubelab, 'usr/lib/x86_64-linux-gnu')}`]

/** A line for each connection: the address that it came from. */
const serve = `
import socket, sys
s = socket.create_server((sys.argv[1], int(sys.argv[2])))
print('ready', flush=True)
while True:
  client, peer = s.accept()
  client.sendall((peer[0] + '\\n').encode() + bytes(200000))
  client.close()
`
const ask = `
import socket, sys
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=30)
data = b''
while part := s.recv(65536): data += part
print(data.split(b'\\n')[0].decode(), len(data))
`
/** Prints every packet of the underlay's bridge whose source is the pod's address. */
const spy = `
import socket, sys
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
s.bind(('br0', 3))
print('ready', flush=True)
while True:
  frame = s.recv(65535)
  if frame[12:14] == b'\\x08\\0' and socket.inet_ntoa(frame[26:30]) in sys.argv[1:]: print('leaked', flush=True)
`

describe('node ports', function () {
  this.timeout(120_000)
  let lab: Lab
  let backend: TestPod
  let client: TestPod
  let leaked = ''
  const node = (index: number) => nodePaths('x', index).address4

  before(async function () {
    skipIfMissing(this)
    skipBecause(this, nft === undefined ? 'needs nft: apt-get install nftables' : undefined)
    lab = TestLab.up(2, { VROUTER_DEFAULT_NETWORK_SUBNETS: '10.200.0.0/16,fd20::/64' })
    lab.run(['exec', 'fabric', '--', 'ip', 'addr', 'add', `${OUTSIDE}/32`, 'dev', 'lo'])
    backend = lab.addPod('backend', 1, 'default')
    client = lab.addPod('client', 1, 'default')
    for (const port of ['8080', '8081'])
      await lab.startServer('pod/backend', ['python3', '-c', serve, backend.ip4, port])
    for (const index of [1, 2]) {
      lab.node(index, 'sysctl', '-qw', 'net.ipv4.ip_forward=1')
      lab.run(['exec', `node/${index}`, '--', ...withLibraries, nft!, '-f', '-'], {
        input: `
table ip nodeport {
  chain in {
    type nat hook prerouting priority dstnat;
    tcp dport 30080 dnat to ${backend.ip4}:8080;
    tcp dport 30081 dnat to ${backend.ip4}:8081;
  }
  chain out {
    type nat hook postrouting priority srcnat;
    tcp dport 8081 masquerade;
  }
}
`,
      })
    }
    const watch = await lab.startServer('fabric', ['python3', '-c', spy, backend.ip4, client.ip4])
    watch.stdout!.on('data', (text) => {
      leaked += String(text).trim() // the end of the first line may come by itself
    })
  })
  after(() => lab?.close())

  const connect = (where: string, address: string, port: number) => {
    const { stdout, stderr } = lab.tryRun(['exec', where, '--', 'python3', '-c', ask, address, String(port)])
    return stdout.trim() || stderr.slice(-300)
  }
  /** The client's address as the pod saw it, and all bytes. */
  const seen = (address: string, bytes = 200_000) => `${address} ${bytes + address.length + 1}`

  it('show a pod of the node the outside client’s own address, and its answers are translated back', () => {
    const from = connect('fabric', node(1), 30080)
    assert.match(from, /^172\.30\.0\.1 2000\d\d$|^198\.51\.100\.9 2000\d\d$/)
  })

  it('reach a pod on the node that the client itself is on, by another node', () => {
    assert.equal(connect('pod/client', node(2), 30081), seen(node(2)))
  })

  it('reach a pod on another node, from outside and from pods', () => {
    assert.equal(connect('fabric', node(2), 30081), seen(node(2)))
    assert.equal(connect('pod/client', node(1), 30081).split(' ')[1], seen(node(1)).split(' ')[1])
  })

  it('let nothing leave with a pod’s own address', () => assert.equal(leaked, ''))
})
