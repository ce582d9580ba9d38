/** CHECK against a real daemon: what it finds in the kernel of a pod's program and tables. */

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { eventually, nodeProgram, skipIfMissing, TestLab, twoTenants } from '../functional/lab.ts'
import { nodePaths, repository } from '../lab/layout.ts'
import { skipBecause } from '../skip.ts'
import { binary, type Json, obstacle } from './node.ts'

describe('CHECK of a pod in the datapath', function () {
  this.timeout(90_000)
  let lab: TestLab
  before(function () {
    skipIfMissing(this)
    skipBecause(this, obstacle())
    lab = TestLab.up(1)
    lab.apply(twoTenants)
  })
  after(() => lab?.close())

  /** Runs the binary on node 1, right after `before`, a command of the shell. */
  function call(
    command: string,
    prevResult?: Json,
    before = 'true',
  ): { readonly exit: number; readonly stdout: string } {
    const { socket, state } = nodePaths(lab.name, 1)
    const config = { cniVersion: '1.1.0', name: 'net', type: 'vrouter-cni', socket, stateDir: state, prevResult }
    const env = `CNI_COMMAND=${command} CNI_CONTAINERID=checked CNI_NETNS=/run/netns/checked CNI_IFNAME=eth0 CNI_ARGS='K8S_POD_NAMESPACE=red;K8S_POD_NAME=checked'`
    const script = `${before}; printf '%s' '${JSON.stringify(config)}' | ${env} ${binary}; echo "exit $?"`
    const { stdout } = lab.onNode(1, ['sh', '-c', script])
    const [, output, exit] = /^([\s\S]*)exit (\d+)\n$/.exec(stdout)!
    return { exit: Number(exit), stdout: output! }
  }

  /** A new tap's program is a filter, later a link. */
  function takingOff(tap: string): string {
    const links = [nodeProgram, '--no-warnings', join(repository, 'test/functional/links.ts')]
    const link = /^(tap-\d+) [1-9]/m.exec(lab.node(1, ...links, 'list'))?.[1]
    return link === undefined
      ? `tc filter del dev ${tap} ingress >&2 || true`
      : `${[...links, 'detach', link].join(' ')} >&2 || true`
  }

  it('succeeds right after ADD and later, and names a program that somebody took off', async () => {
    lab.expectLog(/repair|was dead/)
    lab.expectLog(/CHECK failed: program tap is not attached|get failed: the daemon knows no attachment/)
    lab.node(1, 'ip', 'netns', 'add', 'checked')
    try {
      const added = call('ADD')
      assert.equal(added.exit, 0, added.stdout)
      const result = JSON.parse(added.stdout)
      assert.deepEqual(call('CHECK', result), { exit: 0, stdout: '' })
      // On a slow machine the daemon has put it back before it is asked.
      const failed = await eventually(() => {
        const checked = call('CHECK', result, takingOff(result.interfaces[0].name))
        return checked.exit === 1 ? checked : undefined
      })
      const { code, msg } = JSON.parse(failed.stdout)
      assert.deepEqual([code, msg], [103, `program tap is not attached to ${result.interfaces[0].name}`])
      // The tap gets a link when no pod has come for a while, and what lost its link another.
      await eventually(() => call('CHECK', result).exit === 0)
      assert.equal(call('DEL').exit, 0)
      assert.match(JSON.parse(call('CHECK', result).stdout).msg, /the daemon knows no attachment checked eth0/)
    } finally {
      call('DEL')
      lab.node(1, 'ip', 'netns', 'del', 'checked')
    }
  })
})
