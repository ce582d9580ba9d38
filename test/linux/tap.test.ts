import assert from 'node:assert/strict'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { close, eventfd, eventfdSignal, sendto } from '@kube-vrouter/linux/ffi'
import { NetworkNamespace, openSocketIn } from '@kube-vrouter/linux/namespace'
import { RouteSocket } from '@kube-vrouter/linux/netlink/route'
import { writeSysctl } from '@kube-vrouter/linux/sysctl'
import { deleteTap, openTap, type Tap, TapReader, writeFrame } from '@kube-vrouter/linux/tap'
import { describeKernel } from './lab.ts'

const MAC = '02:00:00:00:00:01'

interface Lab extends Disposable {
  readonly ns: NetworkNamespace
  readonly route: RouteSocket
  readonly tap: Tap
  readonly wakeFd: number
}

/** A TAP that is up, has 10.0.0.1/24 and speaks only when spoken to. */
function lab(): Lab {
  const stack = new DisposableStack()
  const ns = stack.use(NetworkNamespace.create())
  const route = stack.use(RouteSocket.open({ netns: ns }))
  writeSysctl('net/ipv6/conf/default/disable_ipv6', 1, ns)
  const tap = openTap({ name: 'tap0', persist: false, netns: ns, mac: MAC, mtu: 1400 })
  stack.defer(() => close(tap.fd))
  const wakeFd = eventfd()
  stack.defer(() => close(wakeFd))
  route.setLink(tap.index, { up: true })
  route.addAddress({ index: tap.index, address: '10.0.0.1', prefixLength: 24 })
  route.setNeighbour({ index: tap.index, address: '10.0.0.2', mac: '02:00:00:00:00:02' })
  return { ns, route, tap, wakeFd, [Symbol.dispose]: () => stack.dispose() }
}

/** Sends UDP datagrams out of the TAP, each holding its number. */
function send(ns: NetworkNamespace, count: number): void {
  const socket = openSocketIn(ns, 2 /* AF_INET */, 2 /* SOCK_DGRAM */, 0)
  // struct sockaddr_in: 10.0.0.2, port 9.
  const destination = Uint8Array.of(2, 0, 0, 9, 10, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0)
  for (let i = 0; i < count; i++) sendto(socket, Buffer.from(`number ${i}`), 0, destination)
  close(socket)
}

/** An ARP request for 10.0.0.1 from 10.0.0.2. */
const ARP_REQUEST = Buffer.from(
  `ffffffffffff0200000000020806${'0001080006040001'}0200000000020a0000020000000000000a000001`.padEnd(120, '0'),
  'hex',
)

describeKernel('TAP devices', () => {
  it('are made in a namespace, with their MAC and MTU', () => {
    using it = lab()
    const link = it.route.link(it.tap.index)!
    assert.deepEqual(
      { name: link.name, kind: link.kind, mac: link.mac, mtu: link.mtu },
      { name: 'tap0', kind: 'tun', mac: MAC, mtu: 1400 },
    )
  })

  it('go with their descriptor unless they are persistent', () => {
    using ns = NetworkNamespace.create()
    using route = RouteSocket.open({ netns: ns })
    close(openTap({ name: 'passing', persist: false, netns: ns }).fd)
    const staying = openTap({ name: 'staying', persist: true, netns: ns })
    close(staying.fd)
    assert.equal(route.link('passing'), undefined)
    assert.equal(route.link('staying')?.index, staying.index)
    const again = openTap({ name: 'staying', persist: true, netns: ns })
    assert.equal(again.index, staying.index)
    assert.throws(() => openTap({ name: 'staying', persist: true, netns: ns }), {
      code: 'EBUSY',
      message: /^cannot open the TAP staying: EBUSY/,
    })
    close(again.fd)
    deleteTap('staying', ns)
    assert.equal(route.link('staying'), undefined)
    deleteTap('staying', ns)
  })

  it('have names that fit', () => {
    assert.throws(() => openTap({ name: 'sixteen-letters!', persist: false }), { code: 'EINVAL' })
  })

  it('carry frames both ways', () => {
    using it = lab()
    assert.equal(writeFrame(it.tap.fd, ARP_REQUEST), true)
    const reader = new TapReader({ fd: it.tap.fd, wakeFd: it.wakeFd })
    const frames: string[] = []
    reader.turn(
      2000,
      (frame) => frames.push(Buffer.from(frame).toString('hex')),
      () => {},
    )
    assert.equal(frames.length, 1)
    // An ARP reply from the TAP's MAC: 10.0.0.1 is at 02:…:01.
    assert.match(frames[0]!, /^020000000002020000000001080600010800060400020200000000010a0000010200000000020a000002/)
  })

  it('refuse frames while they are down', () => {
    using it = lab()
    it.route.setLink(it.tap.index, { up: false })
    assert.throws(() => writeFrame(it.tap.fd, ARP_REQUEST), { code: 'EIO' })
  })
})

describeKernel('the TAP reader', () => {
  it('drains at most a round before it looks for a wake', () => {
    using it = lab()
    send(it.ns, 10)
    const reader = new TapReader({ fd: it.tap.fd, wakeFd: it.wakeFd, round: 4 })
    const rounds = Array.from({ length: 4 }, () =>
      reader.turn(
        50,
        () => {},
        () => {},
      ),
    )
    assert.deepEqual(rounds, [4, 4, 2, 0])
  })

  it('stops where it is told to', () => {
    using it = lab()
    send(it.ns, 10)
    const reader = new TapReader({ fd: it.tap.fd, wakeFd: it.wakeFd })
    let frames = 0
    reader.run(
      () => {
        if (++frames === 3) reader.stop()
      },
      () => {},
    )
    assert.equal(frames, 3)
  })

  it('says that its device is gone', () => {
    using it = lab()
    const reader = new TapReader({ fd: it.tap.fd, wakeFd: it.wakeFd })
    it.route.deleteLink('tap0')
    assert.throws(
      () =>
        reader.run(
          () => {},
          () => {},
        ),
      { code: 'EBADFD' },
    )
  })

  it('takes a burst of 3000 packets in a Worker, and ends when woken', async () => {
    using it = lab()
    it.route.setLink(it.tap.index, { txqlen: 5000 })
    const tapModule = JSON.stringify(import.meta.resolve('@kube-vrouter/linux/tap'))
    const source = `
      import { parentPort, workerData } from 'node:worker_threads'
      const { TapReader } = await import(${tapModule})
      const reader = new TapReader(workerData)
      const numbers = []
      parentPort.postMessage('ready')
      reader.run((frame) => numbers.push(Buffer.from(frame.subarray(42)).toString()), () => reader.stop())
      parentPort.postMessage(numbers)`
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`), {
      workerData: { fd: it.tap.fd, wakeFd: it.wakeFd },
    })
    await once(worker, 'message')
    const answer = once(worker, 'message')
    send(it.ns, 3000)
    await sleep(100)
    eventfdSignal(it.wakeFd)
    const [numbers] = (await answer) as [string[]]
    assert.equal(numbers.length, 3000)
    assert.equal(new Set(numbers).size, 3000)
    await worker.terminate()
  })
})
