/**
 * The same calls to our plugin and to `ptp` of Debian's containernetworking-plugins, which is built on the reference library: exit code, error code, message and
 * the shape of results must be the same. Each difference is listed with its reason, and is an error when it is there no longer.
 */

import assert from 'node:assert/strict'
import { join } from 'node:path'
import { type Call, clean, type Json, type Node, type Outcome } from './node.ts'
import { missingPlugins, pluginPath, plugins } from './reference.ts'
import { withNodes } from './suite.ts'

/** Version 1.1.1 of the reference plugins speaks these. */
const VERSIONS = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0']

describe('the CNI binary beside ptp', function () {
  this.timeout(60_000)
  let node: Node
  withNodes(
    (made) => {
      node = made
    },
    { needs: () => missingPlugins('ptp', 'host-local') },
  )

  function ptpConfig(cniVersion: string, more: object = {}): object {
    const ranges = [[{ subnet: '10.77.0.0/24' }], [{ subnet: 'fd00:77::/64' }]]
    const routes = [{ dst: '0.0.0.0/0' }, { dst: '::/0' }]
    const ipam = { type: 'host-local', ranges, routes, dataDir: join(node.folder, 'host-local') }
    return { cniVersion, name: 'net', type: 'ptp', ipam, ...more }
  }

  /** Runs both; each has pods of its own. */
  async function both(call: Call & { readonly version?: string; readonly more?: object }): Promise<[Outcome, Outcome]> {
    const { version = '1.0.0', more = {}, ...rest } = call
    const env = { ...rest.env, CNI_PATH: rest.env && 'CNI_PATH' in rest.env ? rest.env['CNI_PATH'] : plugins }
    const netns = call.netns ?? node.pod()
    const ours = await node.run({ config: node.config(version, more), ...rest, netns, env })
    const theirs = await node.run({
      config: ptpConfig(version, more),
      ...rest,
      netns: call.netns ?? node.pod(),
      env: { ...env, PATH: pluginPath },
      binary: join(plugins, 'ptp'),
    })
    return [ours, theirs]
  }

  /** Keys and types, with lists as the set of their elements' shapes. */
  function shapeOf(value: unknown): Json {
    if (Array.isArray(value)) return [...new Set(value.map((entry) => JSON.stringify(shapeOf(entry))))].sort()
    if (typeof value !== 'object' || value === null) return typeof value
    return Object.fromEntries(
      Object.entries(value)
        .map(([key, entry]) => [key, shapeOf(entry)])
        .sort(),
    )
  }

  /** What is ours and not theirs in a result, and why. */
  function withoutOurs(result: Json): Json {
    const copy = structuredClone(result)
    // We name the gateway of each route: pods of any network can have their own.
    const routes = [copy.routes, copy.ip4?.routes, copy.ip6?.routes].flatMap((list) => list ?? [])
    assert.ok(routes.every(({ gw }: Json) => gw))
    for (const route of routes) delete route.gw
    // We tell of the service address; ptp gives on what the configuration has, which is nothing here.
    assert.ok(copy.dns.nameservers.length > 0 && copy.dns.domain)
    copy.dns = {}
    return copy
  }

  for (const version of VERSIONS) {
    it(`gives results of the same shape in ${version}, and takes them back`, async () => {
      const pods = [node.pod(), node.pod()] as const
      const env = { CNI_PATH: plugins, PATH: pluginPath }
      const [ours, theirs] = await Promise.all([
        node.run({ command: 'ADD', netns: pods[0], config: node.config(version), env }),
        node.run({ command: 'ADD', netns: pods[1], config: ptpConfig(version), env, binary: join(plugins, 'ptp') }),
      ])
      assert.deepEqual([ours.exit, theirs.exit], [0, 0], ours.stdout + theirs.stdout)
      const [our, their] = [JSON.parse(ours.stdout), JSON.parse(theirs.stdout)]
      assert.deepEqual(shapeOf(withoutOurs(our)), shapeOf(their))
      assert.equal(our.cniVersion, their.cniVersion)
      // The tap comes first and has no sandbox; addresses point at the pod's interface.
      if (their.interfaces) {
        const outline = ({ interfaces, ips }: Json) => [
          interfaces.map(({ sandbox }: Json) => Boolean(sandbox)),
          ips.map((ip: Json) => [ip.interface, ip.version]),
        ]
        assert.deepEqual(outline(our), outline(their))
      }
      for (const [command, since] of [
        ['CHECK', '0.4.0'],
        ['DEL', '0.1.0'],
        ['DEL', '0.1.0'],
      ] as const) {
        if (version < since) continue
        const outcomes = await Promise.all([
          node.run({ command, netns: pods[0], config: node.config(version, { prevResult: our }), env }),
          node.run({
            ...{ command, netns: pods[1], config: ptpConfig(version, { prevResult: their }), env },
            binary: join(plugins, 'ptp'),
          }),
        ])
        for (const { exit, stdout } of outcomes) assert.deepEqual([exit, stdout], [0, ''], command)
      }
      assert.deepEqual(node.leftovers(), clean)
    })
  }

  const refusals: readonly [what: string, call: Call & { readonly version?: string; readonly more?: object }][] = [
    ['no container id', { command: 'ADD', env: { CNI_CONTAINERID: '' } }],
    ['no namespace', { command: 'ADD', netns: '' }],
    ['no interface name', { command: 'ADD', env: { CNI_IFNAME: '' } }],
    ['no interface name at DEL', { command: 'DEL', env: { CNI_IFNAME: '' } }],
    ['neither of three', { command: 'CHECK', netns: '', env: { CNI_CONTAINERID: '', CNI_IFNAME: '' } }],
    ['a container id with a slash', { command: 'ADD', containerId: 'a/b' }],
    ['a long interface name', { command: 'ADD', ifname: 'a234567890123456' }],
    ['an interface name ..', { command: 'ADD', ifname: '..' }],
    ['an interface name with a colon', { command: 'ADD', ifname: 'a:b' }],
    ['an interface name with a space', { command: 'DEL', ifname: 'a b' }],
    ['an unknown command', { command: 'EXPLODE' }],
    ['an unknown command with a bad configuration', { command: 'EXPLODE', stdin: '{"cniVersion":"1.0.0"}' }],
    ['a configuration without a name', { command: 'ADD', stdin: '{"cniVersion":"1.0.0"}' }],
    ['a configuration that is null', { command: 'DEL', stdin: 'null' }],
    ['a bad network name', { command: 'ADD', stdin: '{"cniVersion":"1.0.0","name":"a/b"}' }],
    ['a future version', { command: 'ADD', version: '9.0.0' }],
    ['a future version at DEL', { command: 'DEL', version: '9.0.0' }],
    ['a future version at CHECK', { command: 'CHECK', version: '9.0.0' }],
    ['an old version at CHECK', { command: 'CHECK', version: '0.3.1' }],
    ['a version in between at CHECK', { command: 'CHECK', version: '0.4.5' }],
    ['a short version', { command: 'ADD', version: '1.0' }],
  ]
  for (const [what, call] of refusals) {
    it(`refuses ${what} with the same words`, async () => {
      const [ours, theirs] = await both(call)
      const brief = ({ exit, stdout }: Outcome) => {
        const { code, msg } = JSON.parse(stdout)
        return { exit, code, msg }
      }
      assert.deepEqual(brief(ours), brief(theirs))
      assert.deepEqual(node.leftovers(), clean)
    })
  }

  it('refuses what is no JSON with the same code; the words are the parsers’ own', async () => {
    for (const stdin of ['', '{', '[]', '"x"', '{"name":7}', '{"name":"n","cniVersion":1}']) {
      const [ours, theirs] = await both({ command: 'ADD', stdin })
      const [our, their] = [JSON.parse(ours.stdout), JSON.parse(theirs.stdout)]
      assert.deepEqual([ours.exit, our.code], [theirs.exit, their.code], stdin)
      assert.equal(our.code, 6)
    }
  })

  it('does without an answer what ptp does: VERSION, no command, DEL of what is not there', async () => {
    const [version, theirVersion] = await both({ command: 'VERSION', stdin: '' })
    assert.deepEqual(shapeOf(JSON.parse(version.stdout)), shapeOf(JSON.parse(theirVersion.stdout)))
    const versions = JSON.parse(theirVersion.stdout).supportedVersions
    assert.deepEqual(JSON.parse(version.stdout).supportedVersions.slice(0, versions.length), versions)
    const [about, theirAbout] = await both({ command: '', env: { CNI_COMMAND: undefined } })
    assert.deepEqual([about.exit, about.stdout], [theirAbout.exit, theirAbout.stdout])
    const lastLine = ({ stderr }: Outcome) => stderr.trimEnd().split('\n').at(-1)!.split(':')[0]
    assert.equal(lastLine(about), lastLine(theirAbout))
    for (const netns of ['', '/run/netns/kv-no-such']) {
      const [del, theirDel] = await both({ command: 'DEL', netns })
      assert.deepEqual([del.exit, del.stdout], [theirDel.exit, theirDel.stdout])
    }
  })

  /** Where we differ, on purpose. */
  it('differs from ptp in these things only, for these reasons', async () => {
    const codes = async (call: Parameters<typeof both>[0]) =>
      (await both(call)).map(({ exit, stdout }) => (exit === 0 ? 0 : JSON.parse(stdout).code))
    // A namespace that is gone, or is none, has a code of its own: 999 tells an operator nothing.
    assert.deepEqual(await codes({ command: 'ADD', netns: '/run/netns/kv-no-such' }), [104, 999])
    assert.deepEqual(await codes({ command: 'ADD', netns: '/etc/hostname' }), [105, 999])
    // Nothing that we do needs CNI_PATH: people run the plugin by hand.
    assert.deepEqual(await codes({ command: 'DEL', env: { CNI_PATH: undefined } }), [0, 4])
    // A bad variable is told before a missing one, as the library does since 1.2; Debian's is older.
    const message = async (call: Parameters<typeof both>[0]) =>
      (await both(call)).map(({ stdout }) => JSON.parse(stdout).msg)
    assert.deepEqual(await message({ command: 'ADD', containerId: 'a/b', env: { CNI_IFNAME: '' } }), [
      'invalid characters in containerID',
      'required env variables [CNI_IFNAME] missing',
    ])
    // The pair that is there already has a code of its own, too.
    const netns = node.pod()
    const first = await node.run({ command: 'ADD', netns })
    assert.equal(first.exit, 0)
    assert.equal(JSON.parse((await node.run({ command: 'ADD', netns })).stdout).code, 101)
    // A DEL that names the plugin's own namespace still removes what is the node's: the pod would be stuck otherwise.
    const own = await both({ command: 'DEL', netns: node.netns })
    assert.equal(own[0].exit, 0)
    assert.equal(node.leftovers().taps.length, 0)
  })
})
