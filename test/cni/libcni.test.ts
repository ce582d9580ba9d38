/** The CNI binary under the reference library (github.com/containernetworking/cni/cnitool), alone and with plugins of others behind it. */

import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { askPlugin, chainOf } from '@kube-vrouter/daemon/port-api/chained-plugins'
import { conflistText } from '@kube-vrouter/daemon/port-api/conflist'
import { skipBecause } from '../skip.ts'
import { binary, clean, type Node } from './node.ts'
import { cnitool, missingCnitool, missingIptables, missingPlugins, pluginPath, plugins } from './reference.ts'
import { withNodes } from './suite.ts'

describe('the CNI binary under libcni', function () {
  this.timeout(60_000)
  let node: Node
  withNodes(
    (made) => {
      node = made
    },
    { needs: missingCnitool },
  )

  /** What each verb's exit code and output were. `between` runs after that verb, in the shell, in the node's namespace. */
  async function run(
    verbs: readonly string[],
    options: { readonly conflist: string; readonly netns: string; readonly env?: object; readonly between?: string },
  ): Promise<{ readonly outcomes: string[]; readonly output: string }> {
    const folder = join(node.folder, 'net.d')
    // libcni keeps its results under /var/lib/cni: in a mount namespace of its own, so the machine's are left alone
    const varLib = join(node.folder, 'varlib')
    for (const path of [folder, varLib]) mkdirSync(path)
    writeFileSync(join(folder, '10-vrouter.conflist'), options.conflist)
    const script = `mount --bind ${varLib} /var/lib; for verb in ${verbs.join(' ')}; do "$0" $verb kube-vrouter ${options.netns} 2>&1; printf "\\n= %s %s\\n" $verb $?; ${options.between ?? 'true'}; done`
    const enter = [
      `--net=${node.netns}`,
      ...['unshare', '--mount', '--propagation', 'private', '/bin/sh', '-c', script, cnitool],
    ]
    const env = { PATH: pluginPath, CNI_PATH: `${dirname(binary)}:${plugins}`, NETCONFPATH: folder, ...options.env }
    const output = await new Promise<string>((resolve, reject) =>
      execFile('/usr/bin/nsenter', enter, { env }, (error, stdout) => (error ? reject(error) : resolve(stdout))),
    )
    return { outcomes: [...output.matchAll(/^= (.*)$/gm)].map((match) => match[1]!), output }
  }

  it('serves every verb with the conflist that the daemon writes', async () => {
    const conflist = conflistText({ folder: '/x', socket: node.socket, state: node.state })
    const verbs = ['status', 'add', 'check', 'gc', 'check', 'del', 'del', 'status']
    const { outcomes } = await run(verbs, { conflist, netns: node.pod() })
    // cnitool names no valid attachments to gc, which libcni passes on as an empty list: the attachment is gone afterwards
    assert.deepEqual(outcomes, ['status 0', 'add 0', 'check 0', 'gc 0', 'check 1', 'del 0', 'del 0', 'status 0'])
    assert.deepEqual(node.leftovers(), clean)
  })

  // portmap's own CHECK of Debian 12 looks for a rule with host bits, which iptables doesn't keep: it fails behind any plugin.
  for (const [chained, verbs] of [
    [
      ['portmap', 'bandwidth', 'tuning'],
      ['status', 'add', 'del', 'del', 'status'],
    ],
    [
      ['bandwidth', 'tuning'],
      ['status', 'add', 'check', 'del', 'del', 'status'],
    ],
  ] as const) {
    it(`has ${chained.join(', ')} behind it, which find in its result what they need`, async function () {
      skipBecause(this, missingPlugins(...chained) ?? missingIptables())
      const netns = node.pod()
      // These speak 1.0.0 at most, and libcni 1.1.0: it takes the best of what the conflist claims.
      const chain = chainOf(await Promise.all(chained.map((name) => askPlugin(plugins, name))))
      assert.deepEqual([chain.plugins, chain.problems], [chained, []])
      const { versions } = chain
      const conflist = JSON.parse(
        conflistText({ folder: '/x', socket: node.socket, state: node.state, chained, versions }),
      )
      Object.assign(conflist.plugins.at(-1), { sysctl: { 'net.ipv4.conf.eth0.arp_filter': '1' }, mtu: 1400 })
      const capabilities = {
        // Spelled as containerd spells them.
        portMappings: [{ HostPort: 8080, ContainerPort: 80, Protocol: 'tcp', HostIP: '' }],
        bandwidth: { IngressRate: 8_000_000, IngressBurst: 8_000_000, EgressRate: 8_000_000, EgressBurst: 8_000_000 },
        mac: '02:00:00:00:00:77',
        ips: ['10.1.77.77'],
      }
      const { outcomes, output } = await run(verbs, {
        conflist: JSON.stringify(conflist),
        netns,
        env: { CAP_ARGS: JSON.stringify(capabilities) },
        between: `iptables -t nat -S; tc qdisc show; nsenter --net=${netns} ip -o link show eth0 || true`,
      })
      assert.deepEqual(
        outcomes,
        verbs.map((verb) => `${verb} 0`),
        output,
      )
      const states = output.split(/^= .*$/m).slice(1)
      const added = states[verbs.indexOf('add' as never)]!
      if (chained.includes('portmap' as never))
        assert.match(added, /--dport 8080 -j DNAT --to-destination 10\.1\.77\.77:80/)
      assert.match(added, /qdisc tbf .* dev tap[0-9a-f]{12} /)
      assert.match(added, /eth0@.* mtu 1400 .*02:00:00:00:00:77/)
      assert.doesNotMatch(states.at(-1)!, /8080|tbf|eth0@/)
      const { taps, records } = node.leftovers()
      assert.deepEqual([taps, records], [[], []])
    })
  }
})
