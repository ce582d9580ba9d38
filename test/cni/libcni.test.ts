/** The CNI binary under the reference library: cnitool (github.com/containernetworking/cni/cnitool), where the machine has one. */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { conflistText } from '@kube-vrouter/daemon/port-api/conflist'
import { binary, clean, Node, obstacle } from './node.ts'

/** Path of cnitool: from the variable CNITOOL, or found on the PATH. */
const cnitool = process.env['CNITOOL'] ?? 'cnitool'

describe('the CNI binary under libcni', function () {
  this.timeout(60_000)
  let node: Node | undefined
  before(async function () {
    const isThere = await new Promise((resolve) => execFile(cnitool, (error) => resolve(error?.code !== 'ENOENT')))
    const reason = obstacle() ?? (isThere ? undefined : 'needs cnitool on the PATH, or its path in CNITOOL')
    if (reason) {
      this.test!.parent!.title += ` (skipped: ${reason})`
      this.skip()
    }
    node = new Node()
  })
  after(async () => {
    await node?.[Symbol.asyncDispose]()
  })

  it('serves every verb with the conflist that the daemon writes', async () => {
    await node!.startDaemon()
    const netns = node!.pod()
    const folder = join(node!.folder, 'net.d')
    // libcni keeps its results under /var/lib/cni: in a mount namespace of its own, so the machine's are left alone
    const varLib = join(node!.folder, 'varlib')
    for (const path of [folder, varLib]) mkdirSync(path)
    const conflist = conflistText({ folder, socket: node!.socket, state: node!.state })
    writeFileSync(join(folder, '10-vrouter.conflist'), conflist)
    const verbs = ['status', 'add', 'check', 'gc', 'check', 'del', 'del', 'status']
    const script = `mount --bind ${varLib} /var/lib; for verb in ${verbs.join(' ')}; do "$0" $verb kube-vrouter ${netns} >/dev/null 2>&1; echo $verb $?; done`
    const enter = [
      `--net=${node!.netns}`,
      'unshare',
      '--mount',
      '--propagation',
      'private',
      'sh',
      '-c',
      script,
      cnitool,
    ]
    const env = { PATH: process.env['PATH'], CNI_PATH: dirname(binary), NETCONFPATH: folder }
    const output = await new Promise<string>((resolve, reject) =>
      execFile('nsenter', enter, { env }, (error, stdout) => (error ? reject(error) : resolve(stdout))),
    )
    const outcomes = output.trimEnd().split('\n')
    // cnitool names no valid attachments to gc, which libcni passes on as an empty list: the attachment is gone afterwards
    assert.deepEqual(outcomes, ['status 0', 'add 0', 'check 0', 'gc 0', 'check 1', 'del 0', 'del 0', 'status 0'])
    assert.deepEqual(node!.leftovers(), clean)
  })
})
