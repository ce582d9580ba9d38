/** A migration or the way back that is killed at its nth step: `node killed.ts migrate|uninstall <n> <node name> <state folder>`. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { migrate } from '@kube-vrouter/daemon/vhost0/migrate'
import { uninstall } from '@kube-vrouter/daemon/vhost0/restore'
import { attachRedirects, detachRedirects, NIC, VHOST } from './fixture.ts'

const [what, step, name, stateDir] = process.argv.slice(2) as [string, string, string, string]
let left = Number(step)
const log = { info() {}, warn() {}, error() {} }
const options = {
  nic: NIC,
  vhost: VHOST,
  stateDir,
  watchSeconds: 2,
  gateway: 'auto',
  netns: `/run/netns/${name}`,
  log,
  hooks: {
    beforeMove: (devices: Parameters<typeof attachRedirects>[2]) => attachRedirects(name, stateDir, devices),
    detach: (devices: Parameters<typeof attachRedirects>[2]) => detachRedirects(name, devices),
    onStep: () => {
      if (left-- === 0) process.kill(process.pid, 'SIGKILL')
    },
  },
}
if (what === 'migrate') await migrate(options)
else await uninstall(options)
const snapshot = join(stateDir, 'vhost0-snapshot.json')
console.log(what === 'migrate' ? JSON.parse(readFileSync(snapshot, 'utf8')).phase : 'uninstalled')
