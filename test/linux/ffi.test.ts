import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { Worker } from 'node:worker_threads'
import { errnoName } from '@kube-vrouter/linux/errno'
import { isErrno, SystemError } from '@kube-vrouter/linux/errors'
import {
  allocate,
  close,
  duplicate,
  eventfd,
  eventfdDrain,
  eventfdSignal,
  gettid,
  O_RDWR,
  open,
  POLLIN,
  poll,
  read,
  syscall,
  write,
} from '@kube-vrouter/linux/ffi'

describe('calls into libc', () => {
  it('turn a failure into an error with its errno', () => {
    assert.throws(
      () => open('/no/such/file'),
      (error) => {
        assert.ok(error instanceof SystemError)
        assert.deepEqual(
          { code: error.code, errno: error.errno, syscall: error.syscall, message: error.message },
          {
            code: 'ENOENT',
            errno: 2,
            syscall: 'open',
            message: 'cannot open /no/such/file: ENOENT no such file or directory',
          },
        )
        assert.ok(isErrno(error, 'EEXIST', 'ENOENT'))
        assert.ok(!isErrno(error, 'EEXIST'))
        return true
      },
    )
    assert.throws(() => close(-1), { code: 'EBADF' })
  })

  it('read errno directly after the call, whatever the collector does', () => {
    for (let i = 0; i < 20_000; i++) {
      const wrong = i % 2 === 0
      try {
        if (wrong) close(-1)
        else open('/no/such/file')
        assert.fail('should have thrown')
      } catch (error) {
        assert.equal((error as SystemError).code, wrong ? 'EBADF' : 'ENOENT')
      }
      Buffer.alloc(1024)
    }
  })

  it('name the errors that Node names alike', () => {
    assert.equal(errnoName(17), 'EEXIST')
    assert.equal(errnoName(95), 'EOPNOTSUPP')
    assert.equal(errnoName(9999), 'E9999')
  })

  it('move bytes, and say when a descriptor would block', () => {
    const zero = open('/dev/zero', O_RDWR)
    const into = allocate(8)
    into.bytes.fill(1)
    assert.equal(read(zero, into), 8)
    assert.deepEqual(into.bytes, new Uint8Array(8))
    assert.equal(write(zero, new Uint8Array(3)), 3)
    const copy = duplicate(zero)
    close(zero)
    assert.equal(read(copy, into), 8)
    close(copy)
    const event = eventfd()
    assert.equal(read(event, into), -1)
    close(event)
  })

  it('wait for an eventfd', () => {
    const event = eventfd()
    assert.deepEqual(poll([{ fd: event, events: POLLIN }], 0), [0])
    assert.equal(eventfdDrain(event), false)
    eventfdSignal(event)
    eventfdSignal(event)
    assert.deepEqual(poll([{ fd: event, events: POLLIN }], 1000), [POLLIN])
    assert.equal(eventfdDrain(event), true)
    assert.deepEqual(poll([{ fd: event, events: POLLIN }], 0), [0])
    close(event)
  })

  it('make raw system calls', () => {
    const getpid = { x64: 39, arm64: 172 }[process.arch as string]
    assert.ok(getpid)
    assert.equal(syscall(getpid, []), BigInt(process.pid))
    assert.throws(() => syscall(getpid + 100_000, [], 'nosuchcall'), { code: 'ENOSYS', syscall: 'nosuchcall' })
  })

  it('work in a Worker, which is a thread of its own with its own errno', async () => {
    const source = `
      import { parentPort } from 'node:worker_threads'
      const { close, gettid } = await import(${JSON.stringify(import.meta.resolve('@kube-vrouter/linux/ffi'))})
      let code
      try { close(-1) } catch (error) { code = error.code }
      parentPort.postMessage({ code, tid: gettid() })`
    const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(source)}`))
    const answer = await new Promise<{ code: string; tid: number }>((resolve, reject) => {
      worker.once('message', resolve)
      worker.once('error', reject)
    })
    assert.equal(answer.code, 'EBADF')
    assert.notEqual(answer.tid, gettid())
    await worker.terminate()
  })

  it('keep back the one warning about node:ffi, and no other', () => {
    const script = `
      await import(${JSON.stringify(import.meta.resolve('@kube-vrouter/linux/ffi'))})
      process.emitWarning('something else is experimental', 'ExperimentalWarning')`
    const printed = execFileSync('sh', ['-c', '"$0" --input-type=module -e "$1" 2>&1', process.execPath, script], {
      encoding: 'utf8',
    })
    assert.doesNotMatch(printed, /FFI/)
    assert.match(printed, /something else is experimental/)
  })
})
