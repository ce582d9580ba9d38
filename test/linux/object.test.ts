import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { BpfObject, VerifierError } from '@kube-vrouter/linux/bpf/object'
import {
  decodeSkbContext,
  encodeSkbContext,
  ids,
  linkCreateTcx,
  linkDetach,
  linkFdById,
  linkInfo,
  linkUpdate,
  MapType,
  mapFdById,
  mapInfo,
  programFdById,
  programInfo,
  programTestRun,
  queryTcx,
  TcxAttach,
} from '@kube-vrouter/linux/bpf/syscall'
import { close } from '@kube-vrouter/linux/ffi'
import { NetworkNamespace, withNamespace } from '@kube-vrouter/linux/namespace'
import { RouteSocket } from '@kube-vrouter/linux/netlink/route'
import { compile, describeBpfPrograms, eventually, temporaryFolder } from './lab.ts'

const u32 = (value: number) => new Uint8Array(Uint32Array.of(value).buffer)
const TC_ACT_UNSPEC = 0xffffffff
const TC_ACT_SHOT = 2

describeBpfPrograms('bpf objects', () => {
  let folder: ReturnType<typeof temporaryFolder>
  let count: string
  let refused: string

  before(() => {
    folder = temporaryFolder()
    count = compile('count', folder.path)
    refused = compile('refused', folder.path)
  })

  after(() => folder[Symbol.dispose]())

  const sum = (map: BpfMap) =>
    map.lookupPerCpu(u32(0))!.reduce((total, value) => total + Buffer.from(value).readBigUInt64LE(), 0n)

  it('are opened from a path or from memory, and tell what is in them', () => {
    using fromPath = BpfObject.open(count)
    assert.equal(fromPath.name, 'count')
    assert.deepEqual(fromPath.programNames().sort(), ['count', 'grow', 'twice'])
    assert.deepEqual(fromPath.mapNames().slice(0, 2).sort(), ['lengths', 'packets'])
    using fromMemory = BpfObject.open(readFileSync(count), { name: 'mem' })
    fromMemory.load()
    assert.equal(mapInfo(fromMemory.mapFd('lengths')).name, 'lengths')
  })

  it('set sizes and constants before they are loaded', () => {
    using object = BpfObject.open(count, {
      maxEntries: { lengths: 4321 },
      constants: { mark: 0xdeadbeef, drop: true, weight: -3n },
    }).load()
    assert.equal(mapInfo(object.mapFd('lengths')).maxEntries, 4321)
    const { retval, contextOut } = programTestRun(object.programFd('count'), {
      data: new Uint8Array(64),
      context: encodeSkbContext({}),
    })
    assert.equal(retval, TC_ACT_SHOT)
    assert.equal(decodeSkbContext(contextOut).mark, 0xdeadbeef)
    using packets = BpfMap.fromFd(object.mapFd('packets'))
    assert.equal(BigInt.asIntN(64, sum(packets)), -3n)
  })

  it('refuse constants and maps that they do not have, or that do not fit', () => {
    using object = BpfObject.open(count)
    assert.throws(() => object.setConstant('nosuch', 1), { code: 'ENOENT', message: /the object has no such constant/ })
    assert.throws(() => object.setConstant('drop', 256), RangeError)
    assert.throws(() => object.setConstant('mark', new Uint8Array(3)), RangeError)
    assert.throws(() => object.setMaxEntries('nosuch', 1), { code: 'ENOENT' })
    assert.throws(() => object.mapFd('lengths'), { message: /the object is not loaded/ })
    object.load()
    assert.throws(() => object.setConstant('mark', 2), { message: /the object is loaded/ })
    assert.throws(() => object.programFd('nosuch'), { code: 'ENOENT', message: /object count has no such program/ })
  })

  it('share a map that they are given', () => {
    using first = BpfObject.open(count).load()
    using second = BpfObject.open(count, { reuse: { packets: first.mapFd('packets') } }).load()
    assert.equal(mapInfo(second.mapFd('packets')).id, mapInfo(first.mapFd('packets')).id)
    assert.notEqual(mapInfo(second.mapFd('lengths')).id, mapInfo(first.mapFd('lengths')).id)
    for (const object of [first, second]) programTestRun(object.programFd('count'), { data: new Uint8Array(64) })
    using packets = BpfMap.fromFd(first.mapFd('packets'))
    assert.equal(sum(packets), 2n)
  })

  it('refuse a map of another layout', () => {
    using wrong = BpfMap.create({ type: MapType.PERCPU_ARRAY, keySize: 4, valueSize: 16, maxEntries: 1 })
    assert.throws(() => BpfObject.open(count, { reuse: { packets: wrong.fd } }), {
      code: 'EINVAL',
      message: 'cannot use the given map as packets: EINVAL its valueSize is 16, not 8',
    })
  })

  it('leave out programs on demand', () => {
    using object = BpfObject.open(refused)
    object.setAutoload('refused', false)
    object.load()
    assert.throws(() => object.programFd('refused'), { message: /program refused/ })
  })

  it('tell what the verifier refuses, in one line and in full', () => {
    using object = BpfObject.open(refused)
    assert.throws(
      () => object.load(),
      (error) => {
        assert.ok(error instanceof VerifierError)
        assert.equal(error.program, 'refused')
        assert.equal(error.code, 'EACCES')
        assert.match(error.summary, /^invalid access to packet, off=0 size=1/)
        assert.match(error.summary, /return packet\[0\];/)
        assert.equal(error.message, `cannot load program refused: EACCES ${error.summary}`)
        assert.match(error.log, /R1=ctx\(/)
        assert.match(error.log, /processed \d+ insns/)
        return true
      },
    )
  })

  it('keep the verifier’s log on demand', () => {
    using quiet = BpfObject.open(count).load()
    assert.equal(quiet.programLog(), '')
    using verbose = BpfObject.open(count, { logLevel: 1 }).load()
    assert.match(verbose.programLog(), /processed \d+ insns/)
    using again = BpfObject.open(count).load()
    assert.equal(again.programLog(), '')
    assert.match(verbose.programLog(), /processed \d+ insns/)
  })

  it('say what is wrong with a file, and print nothing themselves', () => {
    const script = `
      import { BpfObject } from ${JSON.stringify(import.meta.resolve('@kube-vrouter/linux/bpf/object'))}
      for (const source of [Buffer.from('no object'), '/no/such/object.bpf.o', ${JSON.stringify(refused)}]) {
        try { BpfObject.open(source).load() } catch (error) { console.log(error.code) }
      }`
    const { stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
    assert.equal(stdout, 'EINVAL\nENOENT\nEACCES\n')
    assert.equal(stderr, '')
  })

  it('close what they own, and only that', () => {
    const object = BpfObject.open(count).load()
    const id = mapInfo(object.mapFd('lengths')).id
    using kept = BpfMap.fromFd(object.mapFd('lengths'))
    object[Symbol.dispose]()
    object[Symbol.dispose]()
    assert.equal(kept.id, id)
    kept.update(u32(1), new Uint8Array(8))
    assert.throws(() => object.mapNames(), { code: 'EBADF', message: /it is closed/ })
  })

  it('pin their maps in a folder, and use those that are pinned there', () => {
    const child = fileURLToPath(new URL('./testdata/pins.ts', import.meta.url))
    const { status, stdout, stderr } = spawnSync(
      'unshare',
      ['--mount', '--propagation', 'private', process.execPath, child, count],
      { encoding: 'utf8' },
    )
    assert.equal(status, 0, `${stdout}${stderr}`)
  })
})

describeBpfPrograms('bpf programs', () => {
  let folder: ReturnType<typeof temporaryFolder>
  let object: BpfObject

  before(() => {
    folder = temporaryFolder()
    object = BpfObject.open(compile('count', folder.path)).load()
  })

  after(() => {
    object[Symbol.dispose]()
    folder[Symbol.dispose]()
  })

  it('tell their complexity and their maps', () => {
    const fd = object.programFd('count')
    const info = programInfo(fd)
    assert.equal(info.name, 'count')
    assert.equal(info.verifiedInsns, object.verifiedInsns('count'))
    assert.ok(info.verifiedInsns > 10 && info.verifiedInsns < 1000)
    assert.match(info.tag, /^[0-9a-f]{16}$/)
    assert.ok(info.mapIds.includes(mapInfo(object.mapFd('packets')).id))
    assert.ok(info.mapIds.includes(mapInfo(object.mapFd('lengths')).id))
  })

  it('are found by id, as maps are', () => {
    const { id } = programInfo(object.programFd('count'))
    const fd = programFdById(id)
    assert.equal(programInfo(fd).id, id)
    close(fd)
    assert.ok(Array.from(ids('program')).includes(id))
    const map = mapInfo(object.mapFd('packets')).id
    const mapFd = mapFdById(map)
    assert.equal(mapInfo(mapFd).id, map)
    close(mapFd)
    assert.ok(Array.from(ids('map')).includes(map))
    assert.throws(() => programFdById(0x7fffffff), { code: 'ENOENT' })
  })

  it('run on a packet that goes nowhere', () => {
    const data = Uint8Array.from({ length: 100 }, (_, i) => i)
    const run = programTestRun(object.programFd('count'), {
      data,
      repeat: 100,
      context: encodeSkbContext({ cb: [5, 0, 0, 0, 9], priority: 3 }),
    })
    assert.equal(run.retval, TC_ACT_UNSPEC)
    assert.deepEqual(run.dataOut, data)
    assert.ok(run.durationNs >= 0 && run.durationNs < 1_000_000)
    const context = decodeSkbContext(run.contextOut)
    assert.deepEqual([context.mark, context.priority, context.cb], [1, 3, [105, 0, 0, 0, 9]])
  })

  it('return a packet that has grown', () => {
    const data = new Uint8Array(60).fill(7)
    const { dataOut } = programTestRun(object.programFd('grow'), { data })
    assert.equal(dataOut.length, 74)
    assert.deepEqual(dataOut.subarray(14), data)
    assert.throws(() => programTestRun(object.programFd('grow'), { data, outputSize: 60 }), { code: 'ENOSPC' })
  })

  it('of type syscall take their argument and give it back', () => {
    const run = programTestRun(object.programFd('twice'), { context: Buffer.concat([u32(21), u32(0)]) })
    assert.equal(run.retval, 7)
    assert.deepEqual(run.contextOut, new Uint8Array(Buffer.concat([u32(21), u32(42)])))
  })

  it('are attached to a device, in order, replaced without a gap, and detached', () => {
    using stack = new DisposableStack()
    const ns = stack.use(NetworkNamespace.create())
    const route = stack.use(RouteSocket.open({ netns: ns }))
    const { index: ifindex } = route.createVeth({ name: 'eth0', peer: { name: 'eth1' } })
    const other = stack.use(BpfObject.open(compile('count', folder.path), { constants: { drop: 1 } }).load())
    const third = stack.use(BpfObject.open(compile('count', folder.path)).load())
    const [a, b, c] = [object, other, third].map((from) => from.programFd('count'))
    const idOf = (fd: number) => programInfo(fd).id
    const attach = (programFd: number, position?: Parameters<typeof linkCreateTcx>[0]['position']) => {
      const fd = withNamespace(ns, () => linkCreateTcx({ programFd, ifindex, attach: TcxAttach.INGRESS, position }))
      stack.defer(() => close(fd))
      return fd
    }
    const programs = () =>
      withNamespace(ns, () => queryTcx(ifindex, TcxAttach.INGRESS)).programs.map(({ programId }) => programId)

    assert.deepEqual(programs(), [])
    const first = attach(a!)
    assert.deepEqual(linkInfo(first), {
      type: 11,
      id: linkInfo(first).id,
      programId: idOf(a!),
      ifindex,
      attach: TcxAttach.INGRESS,
    })
    attach(b!, { where: 'before' })
    assert.deepEqual(programs(), [idOf(b!), idOf(a!)])
    attach(c!, { where: 'before', linkFd: first })
    assert.deepEqual(programs(), [idOf(b!), idOf(c!), idOf(a!)])
    assert.throws(() => attach(a!), { code: 'EEXIST' })

    const fourth = stack.use(BpfObject.open(compile('count', folder.path)).load()).programFd('count')
    assert.throws(() => linkUpdate(first, fourth, b), { code: 'EPERM' })
    linkUpdate(first, fourth, a)
    assert.deepEqual(programs(), [idOf(b!), idOf(c!), idOf(fourth)])

    const { revision } = withNamespace(ns, () => queryTcx(ifindex, TcxAttach.INGRESS))
    assert.ok(revision > 3n)
    assert.throws(
      () =>
        withNamespace(ns, () =>
          linkCreateTcx({ programFd: a!, ifindex, attach: TcxAttach.INGRESS, expectedRevision: 1n }),
        ),
      { code: 'ESTALE' },
    )
    const byId = linkFdById(linkInfo(first).id)
    linkDetach(byId)
    close(byId)
    assert.deepEqual(programs(), [idOf(b!), idOf(c!)])
    assert.equal(linkInfo(first).ifindex, 0)
    assert.throws(() => linkUpdate(first, fourth), { code: 'ENOLINK' })
  })

  it('see the packets of the device', async () => {
    using stack = new DisposableStack()
    const ns = stack.use(NetworkNamespace.create())
    const route = stack.use(RouteSocket.open({ netns: ns }))
    const { index, peerIndex } = route.createVeth({ name: 'eth0', peer: { name: 'eth1' } })
    const mine = stack.use(BpfObject.open(compile('count', folder.path)).load())
    const link = withNamespace(ns, () =>
      linkCreateTcx({ programFd: mine.programFd('count'), ifindex: peerIndex, attach: TcxAttach.INGRESS }),
    )
    stack.defer(() => close(link))
    route.setLink(index, { up: true })
    route.setLink(peerIndex, { up: true })
    using packets = BpfMap.fromFd(mine.mapFd('packets'))
    // A managed neighbour makes the kernel send an ARP request at once.
    route.addAddress({ index, address: '10.0.0.1', prefixLength: 24 })
    route.setNeighbour({ index, address: '10.0.0.2', managed: true })
    const total = () =>
      packets.lookupPerCpu(u32(0))!.reduce((sum, value) => sum + Buffer.from(value).readBigUInt64LE(), 0n)
    await eventually(() => total() > 0n, 'the request')
  })

  it('are refused for a device that is not there', () => {
    assert.throws(
      () => linkCreateTcx({ programFd: object.programFd('count'), ifindex: 0x7ffffff, attach: TcxAttach.INGRESS }),
      { code: 'ENODEV' },
    )
    assert.throws(() => queryTcx(0x7ffffff, TcxAttach.EGRESS), { code: 'ENODEV' })
  })
})
