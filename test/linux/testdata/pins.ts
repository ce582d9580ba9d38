/** Run by object.test.ts in a mount namespace of its own: what is pinned on a bpf file system is found again. */

import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, readdirSync, rmdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { BpfMap } from '@kube-vrouter/linux/bpf/map'
import { BpfObject } from '@kube-vrouter/linux/bpf/object'
import { isPinned, MapType, mapInfo, objGet, objPin, programInfo } from '@kube-vrouter/linux/bpf/syscall'
import { close, mount, umount2 } from '@kube-vrouter/linux/ffi'

const object = process.argv[2]!
const root = mkdtempSync(join(tmpdir(), 'kv-bpffs-'))
mount('bpf', root, 'bpf', 0)
try {
  const pinDir = join(root, 'maps')
  const key = new Uint8Array(4)
  const value = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)
  {
    using first = BpfObject.open(object, { pinDir, maxEntries: { lengths: 99 } }).load()
    assert.deepEqual(readdirSync(pinDir).sort(), ['lengths', 'packets'])
    using lengths = BpfMap.fromFd(first.mapFd('lengths'))
    lengths.update(key, value)
    objPin(first.programFd('count'), join(root, 'count'))
    assert.throws(() => objPin(first.programFd('count'), join(root, 'count')), { code: 'EEXIST' })
  }

  // All descriptors are closed: only the pins keep it alive.
  using pinned = BpfMap.openPinned(join(pinDir, 'lengths'))
  assert.deepEqual(pinned.lookup(key), value)
  assert.equal(pinned.maxEntries, 99)
  using readOnly = BpfMap.openPinned(join(pinDir, 'lengths'), { readOnly: true })
  assert.deepEqual(readOnly.lookup(key), value)
  assert.throws(() => readOnly.update(key, value), { code: 'EPERM' })
  const program = objGet(join(root, 'count'))
  assert.equal(programInfo(program).name, 'count')
  close(program)
  assert.equal(isPinned(join(root, 'count')), true)
  assert.equal(isPinned(join(root, 'nosuch')), false)
  assert.throws(() => BpfMap.openPinned(join(root, 'nosuch')), { code: 'ENOENT', message: /cannot open the pinned object/ })

  // The next object uses what is pinned, with what is in it.
  using second = BpfObject.open(object, { pinDir, maxEntries: { lengths: 99 } }).load()
  assert.equal(mapInfo(second.mapFd('lengths')).id, pinned.id)

  // A pinned map that doesn't fit is refused, and named.
  using other = BpfObject.open(object, { pinDir, maxEntries: { lengths: 100 } })
  assert.throws(() => other.load(), { code: 'EINVAL', message: /lengths/ })

  using made = BpfMap.create({ type: MapType.ARRAY, keySize: 4, valueSize: 8, maxEntries: 1 })
  made.pin(join(root, 'made'))
  assert.equal(existsSync(join(root, 'made')), true)
  rmSync(join(root, 'made'))
} finally {
  umount2(root)
  rmdirSync(root)
}
