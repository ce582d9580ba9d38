import { strict as assert } from 'node:assert'
import { isNoexec, mountOptions } from './mount-flags.ts'

const mountinfo = `22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:21 / /opt rw,nosuid,noexec - ext4 /dev/sdb1 rw
24 23 0:22 / /opt/cni/bin rw,nodev - tmpfs tmpfs rw
25 22 0:23 / /mnt/with\\040space ro,noexec - tmpfs tmpfs rw
26 22 0:24 / /srv rw - tmpfs tmpfs rw
27 26 0:25 / /srv rw,noexec - tmpfs tmpfs rw
`

describe('flags of a mount', () => {
  for (const [path, options] of [
    ['/opt/cni/bin', 'rw,nodev'],
    ['/opt/cni/bin/deeper', 'rw,nodev'],
    ['/opt/cni/binaries', 'rw,nosuid,noexec'],
    ['/opt', 'rw,nosuid,noexec'],
    ['/usr/lib', 'rw,relatime'],
    ['/mnt/with space/x', 'ro,noexec'],
    ['/srv/x', 'rw,noexec'],
  ] as const) {
    it(`are ${options} for ${path}`, () => assert.equal(mountOptions(mountinfo, path).join(), options))
  }

  it('are read of this system', () => assert.equal(typeof isNoexec('/tmp'), 'boolean'))
})
