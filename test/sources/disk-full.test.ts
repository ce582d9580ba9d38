import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { skipBecause } from '../skip.ts'

describe('publishing onto a full disk', () => {
  it('fails with DISK_FULL, changes nothing, leaves nothing half-written, and works again when there is room', function () {
    const unshare = ['--mount', '--propagation', 'private']
    const canMount = process.getuid!() === 0 && spawnSync('unshare', [...unshare, 'true']).status === 0
    skipBecause(this, canMount ? undefined : 'needs root and mount namespaces')
    const folder = mkdtempSync(join(tmpdir(), 'vrouter-disk-'))
    try {
      const program = join(import.meta.dirname, 'fill-disk.ts')
      const child = spawnSync('unshare', [...unshare, process.execPath, program, folder], {
        encoding: 'utf8',
        timeout: 120_000,
      })
      assert.equal(child.status, 0, child.stderr)
      assert.deepEqual(JSON.parse(child.stdout), {
        replaced: 'DISK_FULL: cannot write /published/VirtualMachineInterface-pod-1.yaml: ENOSPC',
        created: 'DISK_FULL: cannot write /published/IPAMBlock-b.yaml: ENOSPC',
        onDisk: 20,
        inState: 20,
        files: ['VirtualMachineInterface-pod-1.yaml'],
        retried: 'done',
      })
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
