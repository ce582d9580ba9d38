import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { close } from '@kube-vrouter/linux/ffi'
import {
  createNamed,
  deleteNamed,
  NetworkNamespace,
  namedPath,
  openSocketIn,
  withNamespace,
} from '@kube-vrouter/linux/namespace'
import { RouteSocket } from '@kube-vrouter/linux/netlink/route'
import { readSysctl, sysctlPath, writeSysctl } from '@kube-vrouter/linux/sysctl'
import { describeKernel, randomName } from './lab.ts'

function currentInode(): number {
  using current = NetworkNamespace.current()
  return current.inode
}

describeKernel('network namespaces', () => {
  it('are made new and empty, and leave this thread where it is', () => {
    const home = currentInode()
    using created = NetworkNamespace.create()
    assert.notEqual(created.inode, home)
    assert.equal(currentInode(), home)
    assert.equal(withNamespace(created, currentInode), created.inode)
    assert.equal(currentInode(), home)
  })

  it('are left again when the function throws', () => {
    const home = currentInode()
    using created = NetworkNamespace.create()
    assert.throws(
      () =>
        withNamespace(created, () => {
          throw new Error('from inside')
        }),
      /from inside/,
    )
    assert.equal(currentInode(), home)
  })

  it('nest', () => {
    using outer = NetworkNamespace.create()
    using inner = NetworkNamespace.create()
    withNamespace(outer, () => {
      withNamespace(inner, () => assert.equal(currentInode(), inner.inode))
      assert.equal(currentInode(), outer.inode)
    })
  })

  it('refuse asynchronous functions', () => {
    using created = NetworkNamespace.create()
    assert.throws(() => withNamespace(created, async () => 1), /synchronous/)
  })

  it('end the process when it cannot be brought back', () => {
    const script = `
      import { readdirSync, readlinkSync } from 'node:fs'
      import { close } from ${JSON.stringify(import.meta.resolve('@kube-vrouter/linux/ffi'))}
      import { NetworkNamespace, withNamespace } from ${JSON.stringify(import.meta.resolve('@kube-vrouter/linux/namespace'))}
      const created = NetworkNamespace.create()
      process.on('uncaughtException', () => {})
      const home = \`net:[\${NetworkNamespace.current().inode}]\`
      withNamespace(created, () => {
        // Closes every descriptor that could lead home.
        for (const fd of readdirSync('/proc/self/fd')) {
          try {
            if (readlinkSync('/proc/self/fd/' + fd) === home) close(Number(fd))
          } catch {}
        }
      })
      console.log('still here')`
    const child = spawnSync(process.execPath, ['--input-type=module', '-e', script], { encoding: 'utf8' })
    assert.equal(child.signal, 'SIGABRT')
    assert.match(child.stderr, /fatal: this thread is left in a foreign network namespace/)
    assert.doesNotMatch(child.stdout, /still here/)
  })

  it('are opened by path, pid and descriptor', () => {
    using byPid = NetworkNamespace.open({ pid: process.pid })
    using byPath = NetworkNamespace.open('/proc/self/ns/net')
    using byFd = NetworkNamespace.open({ fd: byPath.fd })
    assert.deepEqual([byPid.inode, byPath.inode, byFd.inode], Array(3).fill(currentInode()))
    assert.notEqual(byFd.fd, byPath.fd)
    assert.throws(() => NetworkNamespace.open('/run/netns/no-such-namespace'), { code: 'ENOENT' })
  })

  it('can have a name, as ip-netns gives them', () => {
    const name = randomName()
    {
      using created = createNamed(name)
      try {
        using opened = NetworkNamespace.open(namedPath(name))
        assert.equal(opened.inode, created.inode)
        assert.throws(() => createNamed(name), { code: 'EEXIST' })
        using again = NetworkNamespace.open(namedPath(name))
        assert.equal(again.inode, created.inode)
      } finally {
        deleteNamed(name)
      }
    }
    assert.equal(existsSync(namedPath(name)), false)
    assert.equal(readFileSync('/proc/self/mounts', 'utf8').includes(name), false)
    deleteNamed(name)
  })

  it('keep their sockets, wherever the user of them is', () => {
    using created = NetworkNamespace.create()
    using route = RouteSocket.open({ netns: created })
    assert.deepEqual(
      route.links().map(({ name }) => name),
      ['lo'],
    )
    assert.equal(route.link('lo')?.up, false)
    close(openSocketIn(created, 2, 2, 0))
  })
})

describeKernel('sysctls', () => {
  // The device exists only in there: a write that misses the namespace fails, instead of changing the machine.
  it('are those of the namespace, also of an interface with dots in its name', () => {
    using created = NetworkNamespace.create()
    using route = RouteSocket.open({ netns: created })
    const name = `${randomName()}.1`
    route.createVeth({ name, peer: { name: 'other' } })
    const key = ['net', 'ipv4', 'conf', name, 'rp_filter']
    writeSysctl(key, 2, created)
    assert.equal(readSysctl(key, created), '2')
    assert.throws(() => readSysctl(key), { code: 'ENOENT' })
  })

  it('say what failed', () => {
    using created = NetworkNamespace.create()
    assert.throws(() => readSysctl('net/ipv4/no_such'), {
      code: 'ENOENT',
      message: /cannot read \/proc\/sys\/net\/ipv4\/no_such/,
    })
    assert.throws(() => writeSysctl('net/ipv4/ip_forward', 'many', created), { code: 'EINVAL' })
  })

  it('cannot leave /proc/sys', () => {
    for (const key of ['../../etc/passwd', 'net//x', 'net/../kernel'])
      assert.throws(() => sysctlPath(key), { code: 'EINVAL' })
    assert.throws(() => sysctlPath(['net', 'a/b']), { code: 'EINVAL' })
  })
})
