import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Worker } from 'node:worker_threads'
import { NetworkNamespace } from '@kube-vrouter/linux/namespace'
import { type RouteEvent, RouteMonitor, type setWorkerEntry } from '@kube-vrouter/linux/netlink/monitor'
import { newAddress, RouteSocket } from '@kube-vrouter/linux/netlink/route'
import { buildSync } from 'esbuild'
import { describeKernel, eventually, temporaryFolder } from './lab.ts'

/** A namespace, a socket into it, and the path by which a Worker opens it. */
function lab(): Disposable & { route: RouteSocket; path: string; eth0: number } {
  const stack = new DisposableStack()
  const ns = stack.use(NetworkNamespace.create())
  const route = stack.use(RouteSocket.open({ netns: ns }))
  const { index: eth0 } = route.createVeth({ name: 'eth0', peer: { name: 'eth1' } })
  return { route, path: `/proc/${process.pid}/fd/${ns.fd}`, eth0, [Symbol.dispose]: () => stack.dispose() }
}

function summary(event: RouteEvent): string {
  switch (event.kind) {
    case 'link':
      return `${event.action} link ${event.link.name} ${event.link.up ? 'up' : 'down'}`
    case 'address':
      return `${event.action} address ${event.address.address}/${event.address.prefixLength}`
    case 'route':
      return `${event.action} route ${event.route.destination}/${event.route.prefixLength}`
    case 'neighbour':
      return `${event.action} neighbour ${event.neighbour.address} ${event.neighbour.mac}`
  }
}

describeKernel('the route monitor', () => {
  it('tells of links, addresses, routes and neighbours of another namespace, in order', async () => {
    using it = lab()
    await using monitor = new RouteMonitor({ netns: it.path })
    const seen: string[] = []
    monitor.on('event', (event) => seen.push(summary(event)))
    await monitor.ready
    const { route, eth0 } = it
    route.setLink(eth0, { up: true })
    route.addAddress({ index: eth0, address: '10.0.0.1', prefixLength: 24 })
    route.addRoute({
      family: 4,
      destination: '192.0.2.0',
      prefixLength: 24,
      gateway: '10.0.0.2',
      onlink: true,
      oif: eth0,
    })
    route.setNeighbour({ index: eth0, address: '10.0.0.2', mac: '02:00:00:00:00:02' })
    route.deleteNeighbour({ index: eth0, address: '10.0.0.2' })
    route.deleteRoute({ family: 4, destination: '192.0.2.0', prefixLength: 24 })
    route.deleteAddress({ index: eth0, address: '10.0.0.1', prefixLength: 24 })
    route.deleteLink(eth0)
    await eventually(() => seen.includes('del link eth0 down'), 'the end of the link')
    const wanted = [
      'new link eth0 up',
      'new address 10.0.0.1/24',
      'new route 10.0.0.0/24',
      'new route 192.0.2.0/24',
      'new neighbour 10.0.0.2 02:00:00:00:00:02',
      'del neighbour 10.0.0.2 undefined',
      'del route 192.0.2.0/24',
      'del address 10.0.0.1/24',
      'del link eth0 down',
    ]
    let from = 0
    for (const line of wanted) {
      const at = seen.indexOf(line, from)
      assert.notEqual(at, -1, `${line} is missing after ${seen[from - 1]} in\n${seen.join('\n')}`)
      from = at + 1
    }
  })

  it('goes on with another Worker when its own is killed, and has everything read anew', async () => {
    using it = lab()
    const workers: Worker[] = []
    const note = (message: unknown) => void workers.push((message as { worker: Worker }).worker)
    subscribe('worker_threads', note)
    try {
      await using monitor = new RouteMonitor({ netns: it.path, kinds: ['address'] })
      const seen: string[] = []
      monitor.on('event', (event) => seen.push(summary(event)))
      monitor.on('resync', () => seen.push('read anew'))
      monitor.on('error', (error) => seen.push(error.message))
      await monitor.ready
      const ended = workers[0]!.terminate()
      // It waits in the kernel, which lets it go when there is something to tell.
      it.route.addAddress({ index: it.eth0, address: '10.0.0.1', prefixLength: 24 })
      await ended
      it.route.addAddress({ index: it.eth0, address: '10.0.0.2', prefixLength: 24 })
      await eventually(() => seen.includes('read anew'), 'the news that something was missed')
      it.route.addAddress({ index: it.eth0, address: '10.0.0.3', prefixLength: 24 })
      await eventually(() => seen.includes('new address 10.0.0.3/24'), 'what came afterwards')
      assert.deepEqual(
        seen.filter((line) => !line.includes('10.0.0.1')),
        ['the monitor ended unexpectedly', 'read anew', 'new address 10.0.0.3/24'],
      )
      assert.equal(workers.length, 2)
    } finally {
      unsubscribe('worker_threads', note)
    }
  })

  it('subscribes to the kinds that are asked for only', async () => {
    using it = lab()
    await using monitor = new RouteMonitor({ netns: it.path, kinds: ['address'] })
    const kinds = new Set<string>()
    monitor.on('event', ({ kind }) => kinds.add(kind))
    const first = once(monitor, 'address')
    await monitor.ready
    it.route.setLink(it.eth0, { up: true })
    it.route.addAddress({ index: it.eth0, address: '10.0.0.1', prefixLength: 24 })
    await first
    assert.deepEqual([...kinds], ['address'])
  })

  it('asks for a fresh look when the kernel had to drop events, and goes on', async () => {
    using it = lab()
    await using monitor = new RouteMonitor({ netns: it.path, queueBytes: 2048 })
    let isLost = false
    monitor.once('resync', () => {
      isLost = true
    })
    const addresses: string[] = []
    monitor.on('address', ({ address }) => addresses.push(address.address))
    await monitor.ready
    // A Worker that gets a CPU at the right moments keeps up with a burst; hardly with many.
    let made = 0
    for (let burst = 0; burst < 20 && !isLost; burst++) {
      const all = Array.from({ length: 2000 }, (_, i) =>
        newAddress({ index: it.eth0, address: `10.1.${burst * 8 + (i >> 8)}.${i & 255}`, prefixLength: 32 }),
      )
      it.route.applyAll(all)
      made += all.length
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    await eventually(() => isLost, 'word that events were lost')
    assert.ok(addresses.length < made)
    // The Worker may still be behind, and so small a queue full: one of many gets through.
    let added = 0
    await eventually(() => {
      it.route.addAddress({ index: it.eth0, address: `10.2.${added >> 8}.${added++ & 255}`, prefixLength: 32 })
      return addresses.some((address) => address.startsWith('10.2.'))
    }, 'an address added afterwards')
  })

  it('says that a namespace cannot be opened', async () => {
    const monitor = new RouteMonitor({ netns: '/run/netns/no-such-namespace' })
    const failed = once(monitor, 'error')
    await assert.rejects(monitor.ready, {
      code: 'ENOENT',
      message: 'cannot open /run/netns/no-such-namespace: ENOENT no such file or directory',
    })
    const [error] = await failed
    assert.equal(error.code, 'ENOENT')
    await monitor.close()
  })

  it('is closed for good, and quietly', async () => {
    using it = lab()
    const monitor = new RouteMonitor({ netns: it.path })
    const heard: string[] = []
    monitor.on('event', (event) => heard.push(summary(event)))
    monitor.on('error', (error) => heard.push(String(error)))
    await monitor.ready
    await monitor.close()
    await monitor.close()
    it.route.setLink(it.eth0, { up: true })
    await new Promise((resolve) => setTimeout(resolve, 50))
    assert.deepEqual(heard, [])
  })

  it('keeps no process from ending', () => {
    const program = `
      import { RouteMonitor } from '@kube-vrouter/linux/netlink/monitor'
      const monitor = new RouteMonitor()
      await monitor.ready
      process.exit(7)`
    const words = ['--eval', program]
    const { status, signal } = spawnSync(process.execPath, words, { timeout: 60_000, killSignal: 'SIGKILL' })
    assert.deepEqual({ status, signal }, { status: 7, signal: null })
  })

  it('works when bundled into one file, which is also the Worker’s', async () => {
    using it = lab()
    using folder = temporaryFolder()
    const entry = join(folder.path, 'main.ts')
    const monitorModule = JSON.stringify(fileURLToPath(import.meta.resolve('@kube-vrouter/linux/netlink/monitor')))
    writeFileSync(
      entry,
      `import { isMonitorWorker, RouteMonitor, setWorkerEntry, startWorker } from ${monitorModule}
       if (isMonitorWorker()) startWorker()
       export { RouteMonitor, setWorkerEntry }`,
    )
    const bundle = join(folder.path, 'bundle.mjs')
    buildSync({
      entryPoints: [entry],
      outfile: bundle,
      bundle: true,
      platform: 'node',
      format: 'esm',
      logLevel: 'error',
    })
    const bundled: { RouteMonitor: typeof RouteMonitor; setWorkerEntry: typeof setWorkerEntry } = await import(bundle)
    bundled.setWorkerEntry(pathToFileURL(bundle))
    await using monitor = new bundled.RouteMonitor({ netns: it.path })
    const first = once(monitor, 'address')
    await monitor.ready
    it.route.addAddress({ index: it.eth0, address: '10.0.0.1', prefixLength: 24 })
    const [event] = await first
    assert.equal(event.address.address, '10.0.0.1')
  })
})
