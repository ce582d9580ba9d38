/** The CNI binary against the specification: every command in every version, and every way to call it wrongly. */

import assert from 'node:assert/strict'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { tapName } from '@kube-vrouter/daemon/model/names'
import { recordKey } from '@kube-vrouter/daemon/ports/records'
import { readSysctl, writeSysctl } from '@kube-vrouter/linux/sysctl'
import { tapName as pluginTapName } from '../../cni-plugin/src/attachment.ts'
import { recordKey as pluginRecordKey } from '../../cni-plugin/src/release.ts'
import { type Call, clean, failure, inPod, type Json, type Node, result } from './node.ts'
import { withNodes } from './suite.ts'

const VERSIONS = ['0.1.0', '0.2.0', '0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0']

describe('the CNI binary', function () {
  this.timeout(60_000)
  let node: Node
  withNodes((made) => {
    node = made
  })

  describe('VERSION', () => {
    for (const stdin of ['', '{}', '{"cniVersion":"0.4.0"}', '{"cniVersion":"9.9.9","name":7}']) {
      it(`answers ${stdin || 'an empty stdin'} without any other variable`, async () => {
        const env = { CNI_CONTAINERID: '', CNI_NETNS: 'dummy', CNI_IFNAME: 'dummy', CNI_ARGS: '', CNI_PATH: undefined }
        const answer = result(await node.run({ command: 'VERSION', stdin, env }))
        const asked = stdin === '' ? undefined : JSON.parse(stdin).cniVersion
        assert.deepEqual(answer, { cniVersion: asked ?? '1.1.0', supportedVersions: VERSIONS })
      })
    }

    it('refuses a stdin that is not JSON', async () => {
      assert.equal(failure(await node.run({ command: 'VERSION', stdin: 'x' })).code, 6)
    })
  })

  it('introduces itself when it is run by hand', async () => {
    const outcome = await node.run({ command: '', env: { CNI_COMMAND: undefined } })
    assert.deepEqual([outcome.exit, outcome.stdout], [0, ''])
    assert.match(outcome.stderr, /CNI protocol versions supported: 0\.1\.0,/)
  })

  for (const version of VERSIONS) {
    it(`attaches, checks and detaches a pod in ${version}`, async () => {
      const netns = node.pod()
      const config = node.config(version)
      const added = result(await node.run({ command: 'ADD', netns, config }))
      const [port] = node.ports!.all()
      const [ip4, ip6] = port!.addresses
      const isAtLeast = (minimum: string) => VERSIONS.indexOf(version) >= VERSIONS.indexOf(minimum)
      const dns = { nameservers: ['10.1.0.2', 'fd00:1::2'], domain: 'cluster.local' }
      if (isAtLeast('0.3.0')) {
        const family = (number: string) => (isAtLeast('1.0.0') ? {} : { version: number })
        const mtu = isAtLeast('1.1.0') ? { mtu: 1468 } : {}
        assert.deepEqual(added, {
          cniVersion: version,
          interfaces: [
            { name: port!.tap, mac: '00:00:5e:00:01:00', ...mtu },
            { name: 'eth0', mac: port!.mac, ...mtu, sandbox: netns },
          ],
          ips: [
            { ...family('4'), interface: 1, address: `${ip4}/16`, gateway: '10.1.0.1' },
            { ...family('6'), interface: 1, address: `${ip6}/64`, gateway: 'fd00:1::1' },
          ],
          routes: [
            { dst: '0.0.0.0/0', gw: '10.1.0.1' },
            { dst: '::/0', gw: 'fd00:1::1' },
          ],
          dns,
        })
      } else {
        assert.deepEqual(added, {
          cniVersion: version,
          ip4: { ip: `${ip4}/16`, gateway: '10.1.0.1', routes: [{ dst: '0.0.0.0/0', gw: '10.1.0.1' }] },
          ip6: { ip: `${ip6}/64`, gateway: 'fd00:1::1', routes: [{ dst: '::/0', gw: 'fd00:1::1' }] },
          dns,
        })
      }

      const after = node.config(version, { prevResult: added })
      for (const [command, since] of [
        ['CHECK', '0.4.0'],
        ['STATUS', '1.1.0'],
        ['GC', '1.1.0'],
      ] as const) {
        const outcome = await node.run({ command, netns, config: after })
        if (isAtLeast(since)) assert.equal(result(outcome), undefined)
        else assert.equal(failure(outcome).code, 1)
      }
      assert.equal(result(await node.run({ command: 'DEL', netns, config: after })), undefined)
      assert.deepEqual(node.leftovers(), clean)
      assert.deepEqual(
        inPod(netns, (pod) => pod.links().map(({ name }) => name)),
        ['lo'],
      )
    })
  }

  it('gives the pod its interface: name, MAC, MTU, addresses, routes, switches', async () => {
    const netns = node.pod()
    // the pod's namespace may insist on duplicate address detection
    writeSysctl('net/ipv6/conf/all/accept_dad', 1, netns)
    result(await node.run({ command: 'ADD', netns, ifname: 'net1', pod: ['default', 'web'] }))
    const [port] = node.ports!.all()
    // a dump, because asking for one link makes the kernel finish what ADD should have waited for
    const tap = node.inNode((route) => route.links().find(({ name }) => name === port!.tap))!
    assert.equal(tap.alias, 'default/web/net1')
    assert.deepEqual([tap.mac, tap.mtu, tap.up, tap.operstate], ['00:00:5e:00:01:00', 1468, true, 'up'])
    assert.equal(tap.index, port!.ifindex)
    assert.equal(port!.tap, pluginTapName('c1', 'net1'))
    assert.equal(readSysctl(['net', 'ipv6', 'conf', port!.tap, 'disable_ipv6'], node.netns), '1')
    inPod(netns, (pod) => {
      const link = pod.links().find(({ name }) => name === 'net1')!
      assert.deepEqual([link.mac, link.mtu, link.up, link.operstate], [port!.mac, 1468, true, 'up'])
      assert.equal(pod.link('lo')!.up, true)
      const addresses = pod
        .addresses({ index: link.index })
        .map(({ address, prefixLength, flags }) => [address, prefixLength, flags & 0x48])
      // none of them tentative or failed: the pod can use them at once
      assert.deepEqual(addresses.slice(0, 2), [
        [port!.addresses[0], 16, 0],
        [port!.addresses[1], 64, 0],
      ])
      const defaults = pod.routes({ table: 254 }).filter(({ prefixLength, gateway }) => prefixLength === 0 && gateway)
      assert.deepEqual(defaults.map(({ gateway }) => gateway).sort(), ['10.1.0.1', 'fd00:1::1'])
    })
    assert.equal(readSysctl('net/ipv6/conf/net1/accept_ra', netns), '0')
  })

  it('works in a namespace where IPv6 is switched off, for a network with IPv6 and one without', async () => {
    for (const [id, pod] of [
      ['c1', ['default', 'a']],
      ['c2', ['four', 'b']],
    ] as const) {
      const netns = node.pod()
      for (const scope of ['all', 'default']) writeSysctl(`net/ipv6/conf/${scope}/disable_ipv6`, 1, netns)
      result(await node.run({ command: 'ADD', containerId: id, netns, pod }))
      const families = inPod(netns, (route) =>
        route.addresses({ index: route.link('eth0')!.index }).map(({ address }) => address.includes(':')),
      )
      assert.deepEqual([...new Set(families)], id === 'c1' ? [false, true] : [false])
    }
  })

  it('keeps both ends down until the datapath is programmed', async () => {
    await node.stopDaemon()
    const netns = node.pod()
    let seen: unknown
    await node.startDaemon({
      programmed: async () => {
        const [port] = node.ports!.all()
        seen = [node.inNode((route) => route.link(port!.tap)!.up), inPod(netns, (pod) => pod.link('eth0')!.up)]
        return { vif: 3, vrf: 2 }
      },
    })
    result(await node.run({ command: 'ADD', netns }))
    assert.deepEqual(seen, [false, false])
  })

  it('passes pod, labels and annotations on, whatever else is in CNI_ARGS', async () => {
    const name = 'a'.repeat(253)
    const args = `;IgnoreUnknown=1;K8S_POD_NAME=${name};K8S_POD_NAMESPACE=default;odd=a=b;K8S_POD_UID=1-2;VROUTER_LABELS=app=web:tier=db;`
    const runtimeConfig = { 'io.kubernetes.cri.pod-annotations': { 'vrouter.dev/addresses': '10.1.7.7' } }
    result(
      await node.run({
        command: 'ADD',
        netns: node.pod(),
        args,
        config: node.config('1.1.0', { runtimeConfig, capabilities: { x: true } }),
      }),
    )
    const [port] = node.ports!.all()
    assert.deepEqual(
      [port!.pod, port!.labels],
      [
        { name, uid: '1-2' },
        { app: 'web', tier: 'db' },
      ],
    )
    assert.equal(port!.addresses[0], '10.1.7.7')
  })

  for (const length of [64, 200, 240, 255, 256, 5000]) {
    it(`serves a container id of ${length} characters with every command, with and without the daemon`, async () => {
      const containerId = `A${'b_.-'.repeat(length / 4 + 1)}`.slice(0, length)
      const netns = node.pod()
      for (const ifname of ['eth0', '---------------']) {
        const call = { containerId, netns, ifname }
        const config = (more = {}) => ({ ...call, config: node.config('1.1.0', more) })
        const prevResult = result(await node.run({ command: 'ADD', ...call }))
        assert.equal(failure(await node.run({ command: 'ADD', ...call })).code, 101)
        assert.equal(result(await node.run({ command: 'CHECK', ...config({ prevResult }) })), undefined)
        const valid = { 'cni.dev/valid-attachments': [{ containerID: containerId, ifname }] }
        assert.equal(result(await node.run({ command: 'GC', ...config(valid) })), undefined)
        assert.equal(node.ports!.all()[0]?.containerId, containerId)
        // The daemon that comes back knows it.
        await node.stopDaemon()
        await node.startDaemon()
        assert.equal(result(await node.run({ command: 'CHECK', ...config({ prevResult }) })), undefined)
        // Another id with the same beginning is another container.
        const other = { ...call, containerId: `${containerId}x`, netns: node.pod() }
        result(await node.run({ command: 'ADD', ...other }))
        await node.stopDaemon()
        assert.equal(result(await node.run({ command: 'DEL', ...call })), undefined)
        assert.equal(node.leftovers().deletes.length, 1)
        await node.startDaemon()
        assert.deepEqual(
          node.ports!.all().map((port) => port.containerId),
          [other.containerId],
        )
        const none = { 'cni.dev/valid-attachments': [] }
        assert.equal(result(await node.run({ command: 'GC', ...config(none) })), undefined)
        assert.deepEqual(node.leftovers(), clean)
      }
    })
  }

  describe('a second interface of a pod', () => {
    for (const [where, more] of [
      ['the configuration', { config: { network: 'blue' } }],
      ['args.cni', { config: { network: 'nowhere', args: { cni: { network: 'default/blue' } } } }],
      ['CNI_ARGS', { config: {}, args: 'VROUTER_NETWORK=default-domain:k8s-default:blue' }],
    ] as const) {
      it(`is in the network that ${where} names, beside the first one, in every command`, async () => {
        const netns = node.pod()
        const call = { containerId: 'c1', netns, ifname: 'eth1', ...('args' in more && { args: more.args }) }
        const config = (extra = {}) => node.config('1.1.0', { ...more.config, name: 'blue-net', ...extra })
        const first = result(await node.run({ command: 'ADD', netns }))
        const second = result(await node.run({ command: 'ADD', ...call, config: config() }))
        assert.deepEqual(
          second.ips.map(({ gateway }: Json) => gateway),
          ['10.7.0.1', 'fd00:7::1'],
        )
        assert.deepEqual([second.routes, second.dns], [[{ dst: '10.8.0.0/24', gw: '10.7.0.1' }], {}])
        const routes = inPod(netns, (pod) => {
          const of = (ifname: string) =>
            pod
              .routes({ oif: pod.link(ifname)!.index, table: 254 })
              .map(({ destination, prefixLength }) => `${destination}/${prefixLength}`)
              .filter((route) => !/^f[ef]/.test(route))
          return { eth0: of('eth0').sort(), eth1: of('eth1').sort() }
        })
        assert.deepEqual(routes, {
          eth0: ['0.0.0.0/0', '10.1.0.0/16', '::/0', 'fd00:1::/64'],
          eth1: ['10.7.0.0/24', '10.8.0.0/24', 'fd00:7::/64'],
        })
        const check = async () => {
          const checked = [
            { netns, config: node.config('1.1.0', { prevResult: first }) },
            { ...call, config: config({ prevResult: second }) },
          ]
          for (const one of checked) assert.equal(result(await node.run({ command: 'CHECK', ...one })), undefined)
        }
        await check()
        assert.equal(failure(await node.run({ command: 'ADD', ...call, config: config() })).code, 101)
        await node.stopDaemon()
        await node.startDaemon()
        await check()
        // Each network's GC looks after its own.
        const valid = { 'cni.dev/valid-attachments': [{ containerID: 'c1', ifname: 'eth0' }] }
        assert.equal(result(await node.run({ command: 'GC', config: node.config('1.1.0', valid) })), undefined)
        await check()
        assert.equal(result(await node.run({ command: 'GC', config: config(valid) })), undefined)
        assert.deepEqual(
          node.ports!.all().map(({ ifname }) => ifname),
          ['eth0'],
        )
        result(await node.run({ command: 'ADD', ...call, config: config() }))
        // The first one goes alone, and its successor has the default routes again.
        assert.equal(result(await node.run({ command: 'DEL', netns })), undefined)
        assert.deepEqual(
          inPod(netns, (pod) => pod.links().map(({ name }) => name)),
          ['lo', 'eth1'],
        )
        assert.equal(result(await node.run({ command: 'ADD', netns })).routes.length, 2)
        for (const one of [{ netns }, { ...call, config: config() }])
          assert.equal(result(await node.run({ command: 'DEL', ...one })), undefined)
        assert.deepEqual(node.leftovers(), clean)
      })
    }

    it('in the same network is refused in words, and the first stays as it is', async () => {
      const netns = node.pod()
      const first = result(await node.run({ command: 'ADD', netns }))
      const error = failure(await node.run({ command: 'ADD', netns, ifname: 'eth1' }))
      assert.equal(error.code, 100)
      assert.match(error.msg, /^pod default\/\S+ is in network \S+ already, with interface eth0$/)
      assert.match(error.details, /^NETWORK_TWICE: name another network .*VROUTER_NETWORK/)
      const config = node.config('1.1.0', { prevResult: first })
      assert.equal(result(await node.run({ command: 'CHECK', netns, config })), undefined)
      assert.equal(node.leftovers().taps.length, 1)
    })

    it('in a network that is no name of one is refused with the key', async () => {
      const netns = node.pod()
      result(await node.run({ command: 'ADD', netns }))
      const add = (more: object) => node.run({ command: 'ADD', netns, ifname: 'eth1', ...more })
      const wrong = failure(await add({ config: node.config('1.1.0', { network: 7 }) }))
      assert.deepEqual([wrong.code, /network is 7/.test(wrong.msg)], [7, true])
      const args = failure(await add({ config: node.config('1.1.0', { args: { cni: { network: [] } } }) }))
      assert.deepEqual([args.code, /args\.cni\.network is \[\]/.test(args.msg)], [7, true])
      const missing = failure(await add({ config: node.config('1.1.0', { network: 'nowhere' }) }))
      assert.match(missing.msg, /interface eth1 names default-domain:k8s-default:nowhere, which doesn't exist/)
    })
  })

  it('gives MAC and addresses that the runtime names, and records ports of the node and bandwidth', async () => {
    const netns = node.pod()
    const runtimeConfig = {
      mac: '02:00:00:00:00:0A',
      ips: ['10.1.3.3/16', 'fd00:1::33'],
      // As containerd writes them: its structs have no JSON tags.
      portMappings: [{ HostPort: 8080, ContainerPort: 80, Protocol: 'tcp', HostIP: '' }],
      bandwidth: { IngressRate: 1000, IngressBurst: 4294967295, EgressRate: 0, EgressBurst: 0 },
      'io.kubernetes.cri.pod-annotations': { 'vrouter.dev/addresses': '10.1.7.7' },
    }
    const added = result(await node.run({ command: 'ADD', netns, config: node.config('1.1.0', { runtimeConfig }) }))
    assert.deepEqual(
      added.ips.map(({ address }: Json) => address),
      ['10.1.3.3/16', 'fd00:1::33/64'],
    )
    assert.equal(added.interfaces[1].mac, '02:00:00:00:00:0a')
    assert.equal(
      inPod(netns, (pod) => pod.link('eth0')!.mac),
      '02:00:00:00:00:0a',
    )
    const record = JSON.parse(readFileSync(join(node.state, 'ports/c1-eth0.json'), 'utf8'))
    assert.deepEqual(record.port.hostPorts, [{ hostPort: 8080, containerPort: 80, protocol: 'tcp' }])
    assert.deepEqual(record.bandwidth, { ingressRate: 1000, ingressBurst: 4294967295 })
    const config = node.config('1.1.0', { prevResult: added, runtimeConfig })
    assert.equal(result(await node.run({ command: 'CHECK', netns, config })), undefined)

    // in args.cni and in CNI_ARGS, which count less; the MAC is taken in this network
    const args = { cni: { ips: ['10.1.4.4'], labels: [{ key: 'app', value: 'web' }] } }
    const second = { containerId: 'c2', netns: node.pod(), config: node.config('1.1.0', { args }) }
    const cniArgs = 'IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=p;IP=10.1.5.5;MAC=02:00:00:00:00:0a'
    const error = failure(await node.run({ command: 'ADD', ...second, args: cniArgs }))
    assert.equal(error.code, 11)
    assert.match(error.msg, /default\/\S+ has the MAC address 02:00:00:00:00:0a already/)
    const other = result(await node.run({ command: 'ADD', ...second, args: cniArgs.replace(':0a', ':0b') }))
    assert.deepEqual([other.ips[0].address, other.interfaces[1].mac], ['10.1.4.4/16', '02:00:00:00:00:0b'])
    assert.deepEqual(node.ports!.all().find(({ containerId }) => containerId === 'c2')!.labels, { app: 'web' })
    const outside = { containerId: 'c3', netns: node.pod(), args: 'IP=192.0.2.1' }
    assert.equal(failure(await node.run({ command: 'ADD', ...outside })).code, 100)
  })

  describe('ports of the node', () => {
    const asking = (...portMappings: object[]) => ({
      config: node.config('1.1.0', { runtimeConfig: { portMappings } }),
    })
    // go-cni of containerd 1.6 and 2.x: structs without JSON tags.
    const containerd = { HostPort: 8080, ContainerPort: 80, Protocol: 'tcp', HostIP: '' }
    const others: readonly (readonly [string, object])[] = [
      ['nerdctl', { ...containerd, HostIP: '0.0.0.0' }],
      ['the specification', { hostPort: 8080, containerPort: 80, protocol: 'TCP', hostIP: '192.0.2.11' }],
    ]
    for (const [who, mapping] of [['containerd', containerd] as const, ...others])
      it(`are taken as ${who} writes them, and are another pod's after DEL`, async () => {
        const netns = node.pod()
        const first = { netns, ...asking(mapping) }
        const added = result(await node.run({ command: 'ADD', ...first }))
        assert.equal(node.ports!.all()[0]!.hostPorts!.length, 1)
        const checked = node.config('1.1.0', { prevResult: added, runtimeConfig: { portMappings: [mapping] } })
        assert.equal(result(await node.run({ command: 'CHECK', netns, config: checked })), undefined)
        const args = 'IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=rival;K8S_POD_UID=u2'
        const second: Call = { command: 'ADD', containerId: 'c2', netns: node.pod(), args, ...asking(containerd) }
        const refused = failure(await node.run(second))
        assert.equal(refused.code, 11)
        assert.match(refused.msg, /host port 8080\/tcp is that of pod \S+\/\S+$/)
        assert.match(refused.details, /choose another hostPort/)
        result(await node.run({ command: 'DEL', ...first }))
        result(await node.run(second))
      })

    it('are kept by a daemon that starts again', async () => {
      const several = [containerd, { ...containerd, HostPort: 53, Protocol: 'udp', HostIP: '2001:db8::11' }]
      result(await node.run({ command: 'ADD', netns: node.pod(), ...asking(...several) }))
      const before = node.ports!.all()[0]!.hostPorts
      assert.equal(before!.length, 2)
      await node.stopDaemon()
      await node.startDaemon()
      assert.deepEqual(node.ports!.all()[0]!.hostPorts, before)
    })

    it('that can’t be served fail ADD with the reason, and nothing is left', async () => {
      const fails = async (mapping: object) =>
        failure(await node.run({ command: 'ADD', netns: node.pod(), ...asking({ ...containerd, ...mapping }) }))
      const sctp = await fails({ Protocol: 'sctp' })
      assert.match(sctp.msg, /host port 8080\/sctp leads to port 80 of the pod/)
      assert.match(sctp.details, /hostPort equal to the containerPort/)
      assert.match((await fails({ HostIP: '127.0.0.1' })).msg, /host port 8080\/tcp of 127\.0\.0\.1 can't lead to/)
      assert.deepEqual(node.ports!.all(), [])
      result(await node.run({ command: 'ADD', netns: node.pod(), ...asking({ ...containerd, HostPort: 0 }) }))
      assert.equal(node.ports!.all()[0]!.hostPorts, undefined)
    })
  })

  it('works without Kubernetes: no CNI_ARGS at all', async () => {
    result(await node.run({ command: 'ADD', netns: node.pod(), args: '' }))
    assert.deepEqual([node.ports!.all()[0]!.namespace, node.ports!.all()[0]!.pod.name], ['default', 'c1'])
  })

  it('puts its own behind what a plugin before it did', async () => {
    const prevResult = {
      cniVersion: '1.0.0',
      interfaces: [{ name: 'lo', sandbox: '/x' }],
      ips: [{ address: '127.0.0.1/8', interface: 0 }],
      routes: [{ dst: '192.0.2.0/24' }],
      dns: { nameservers: ['192.0.2.53'] },
    }
    const added = result(
      await node.run({ command: 'ADD', netns: node.pod(), config: node.config('1.0.0', { prevResult }) }),
    )
    assert.deepEqual(
      added.interfaces.map(({ name }: Json) => name),
      ['lo', node.ports!.all()[0]!.tap, 'eth0'],
    )
    assert.deepEqual(
      added.ips.map((ip: Json) => ip.interface),
      [0, 2, 2],
    )
    assert.deepEqual(added.routes.length, 3)
    assert.deepEqual(added.dns, prevResult.dns)
  })

  it('is not disturbed by what Node reads from the environment', async () => {
    const env = {
      NODE_OPTIONS: '--require /nonexistent.js',
      NODE_DEBUG: 'fs,net',
      NODE_PENDING_DEPRECATION: '1',
      NO_COLOR: '1',
    }
    const added = result(await node.run({ command: 'ADD', netns: node.pod(), env }))
    assert.equal(added.cniVersion, '1.1.0')
  })

  it('logs one JSON line a call where the configuration names a file, and works when it can not', async () => {
    const logFile = join(node.folder, 'cni.log')
    const config = node.config('1.1.0', { logFile, logLevel: 'info' })
    const netns = node.pod()
    result(await node.run({ command: 'ADD', netns, config }))
    failure(await node.run({ command: 'ADD', netns, config }))
    result(await node.run({ command: 'DEL', netns, config }))
    const lines = readFileSync(logFile, 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line))
    assert.deepEqual(
      lines.map(({ level, command, code }) => [level, command, code]),
      [
        ['info', 'ADD', undefined],
        ['error', 'ADD', 101],
        ['info', 'DEL', undefined],
      ],
    )
    result(await node.run({ command: 'ADD', netns, config: node.config('1.1.0', { logFile: '/proc/no/such' }) }))
  })

  describe('refuses', () => {
    const cases: readonly [what: string, call: Partial<Call>, code: number, message: RegExp][] = [
      ['an unknown command', { command: 'EXPLODE' }, 4, /^unknown CNI_COMMAND: EXPLODE$/],
      ['a lower-case command', { command: 'add' }, 4, /^unknown CNI_COMMAND: add$/],
      [
        'no container id',
        { env: { CNI_CONTAINERID: undefined } },
        4,
        /required env variables \[CNI_CONTAINERID\] missing/,
      ],
      ['no namespace', { env: { CNI_NETNS: '' } }, 4, /required env variables \[CNI_NETNS\] missing/],
      [
        'neither id nor interface',
        { env: { CNI_CONTAINERID: '', CNI_IFNAME: '' } },
        4,
        /\[CNI_CONTAINERID,CNI_IFNAME\] missing/,
      ],
      ['a container id with a path', { containerId: '../x' }, 4, /^invalid characters in containerID$/],
      ['an interface name too long', { ifname: 'a'.repeat(16) }, 4, /^interface name is too long$/],
      [
        'an interface name with a slash',
        { ifname: 'a/b' },
        4,
        /^interface name contains \/ or : or whitespace characters$/,
      ],
      [
        'an interface name with a space',
        { ifname: 'a b' },
        4,
        /^interface name contains \/ or : or whitespace characters$/,
      ],
      ['the interface name ..', { ifname: '..' }, 4, /^interface name is \. or \.\.$/],
      ['CNI_ARGS without =', { args: 'K8S_POD_NAME' }, 4, /^invalid CNI_ARGS$/],
      ['labels without =', { args: 'VROUTER_LABELS=a' }, 4, /VROUTER_LABELS$/],
      ['an empty stdin', { stdin: '' }, 6, /^error unmarshall network config: /],
      ['a cut stdin', { stdin: '{"name":"net"' }, 6, /^error unmarshall network config: /],
      ['a list on stdin', { stdin: '[]' }, 6, /not a JSON object/],
      ['no network name', { stdin: '{"cniVersion":"1.0.0"}' }, 7, /^missing network name$/],
      [
        'a network name with a slash',
        { stdin: '{"cniVersion":"1.0.0","name":"a/b"}' },
        7,
        /^invalid characters found in network name$/,
      ],
      ['an unknown version', { stdin: '{"cniVersion":"1.2.0","name":"n"}' }, 1, /incompatible CNI versions/],
      ['a version that is a number', { stdin: '{"cniVersion":1,"name":"n"}' }, 6, /cniVersion is 1/],
      [
        'a socket that is a number',
        { stdin: '{"name":"n","cniVersion":"1.0.0","socket":7}' },
        7,
        /socket is 7; wanted an absolute path/,
      ],
      [
        'a relative socket',
        { stdin: '{"name":"n","cniVersion":"1.0.0","socket":"cni.sock"}' },
        7,
        /socket is "cni.sock"/,
      ],
      ['a relative state folder', { stdin: '{"name":"n","cniVersion":"1.0.0","stateDir":"x"}' }, 7, /stateDir is "x"/],
      [
        'an unknown log level',
        { stdin: '{"name":"n","cniVersion":"1.0.0","logLevel":"loud"}' },
        7,
        /logLevel is "loud"/,
      ],
      [
        'a prevResult that is a string',
        { stdin: '{"name":"n","cniVersion":"1.0.0","prevResult":"x"}' },
        7,
        /prevResult is "x"/,
      ],
      [
        'a socket path too long',
        { stdin: `{"name":"n","cniVersion":"1.0.0","socket":"/${'x'.repeat(120)}"}` },
        7,
        /longer than 107/,
      ],
      ['a namespace that is not there', { netns: '/run/netns/kv-no-such' }, 104, /cannot open the network namespace/],
      ['a namespace that is a file', { netns: '/etc/hostname' }, 105, /not a network namespace/],
      ['a namespace that is a folder', { netns: '/etc' }, 105, /not a network namespace/],
      [
        'the node’s own namespace',
        { netns: '/proc/self/ns/net' },
        8,
        /^plugin's netns and netns from CNI_NETNS should not/,
      ],
      ['a pod of an unknown namespace', { pod: ['nowhere', 'x'] }, 11, /namespace nowhere doesn't exist/],
    ]
    for (const [what, call, code, message] of cases) {
      it(`${what}: code ${code}, nothing is left`, async () => {
        const netns = node.pod()
        const error = failure(await node.run({ command: 'ADD', netns, ...call }))
        assert.equal(error.code, code, JSON.stringify(error))
        assert.match(error.msg, message)
        assert.ok(error.details, 'says what can be done')
        assert.ok(VERSIONS.includes(error.cniVersion))
        assert.deepEqual(node.leftovers(), clean)
        assert.deepEqual(
          inPod(netns, (pod) => pod.links().length),
          1,
        )
      })
    }

    it('a version, naming both sides', async () => {
      const error = failure(await node.run({ command: 'ADD', netns: node.pod(), config: node.config('3.0.0') }))
      assert.match(error.details, /config is "3\.0\.0", plugin supports \["0\.1\.0"/)
    })
  })

  it('ignores keys that it does not know', async () => {
    const more = { ipMasq: true, dns: {}, args: { cni: {} }, future: [1], runtimeConfig: { portMappings: [] } }
    result(await node.run({ command: 'ADD', netns: node.pod(), config: node.config('1.0.0', more) }))
  })

  it('takes its own namespace when the runtime insists', async () => {
    const call = { netns: node.netns, env: { CNI_NETNS_OVERRIDE: '1' } }
    result(await node.run({ command: 'ADD', ...call }))
    result(await node.run({ command: 'DEL', ...call }))
    assert.deepEqual(node.leftovers(), clean)
  })

  it('computes the daemon’s name of the tap, and of a queued deletion', () => {
    for (const [id, ifname] of [
      ['c1', 'eth0'],
      ['a'.repeat(64), 'net1'],
      ['a'.repeat(225), 'eth0'],
      ['a'.repeat(226), 'eth0'],
      ['a'.repeat(184), '%%--%%--%%--%%-'],
    ] as const) {
      assert.equal(pluginTapName(id, ifname), tapName(id, ifname))
      assert.equal(pluginRecordKey({ containerId: id, ifname }), recordKey(id, ifname))
    }
  })

  describe('STATUS', () => {
    it('says 50 without a daemon and with one that is not ready, 51 when pods suffer', async () => {
      await node.stopDaemon()
      assert.equal(failure(await node.run({ command: 'STATUS' })).code, 50)
      await node.startDaemon({ readiness: () => ({ ready: false, message: 'not in sync', podsAffected: false }) })
      const error = failure(await node.run({ command: 'STATUS' }))
      assert.deepEqual([error.code, error.msg], [50, 'not in sync'])
      await node.stopDaemon()
      await node.startDaemon({ readiness: () => ({ ready: false, message: 'maps are gone', podsAffected: true }) })
      assert.equal(failure(await node.run({ command: 'STATUS' })).code, 51)
    })

    it('needs neither container nor namespace', async () => {
      const env = {
        CNI_CONTAINERID: undefined,
        CNI_NETNS: undefined,
        CNI_IFNAME: undefined,
        CNI_ARGS: undefined,
        CNI_PATH: undefined,
      }
      assert.equal(result(await node.run({ command: 'STATUS', env })), undefined)
    })
  })

  describe('GC', () => {
    const add = async (containerId: string, name = 'net') =>
      result(await node.run({ command: 'ADD', containerId, netns: node.pod(), config: { ...node.config(), name } }))
    const left = () =>
      node
        .ports!.all()
        .map(({ containerId }) => containerId)
        .sort()
    const gc = (more: object) => node.run({ command: 'GC', config: node.config('1.1.0', more) })

    it('removes what the list lacks, of its own network only', async () => {
      for (const id of ['keep', 'stale']) await add(id)
      await add('foreign', 'other')
      result(await gc({}))
      assert.deepEqual(left(), ['foreign', 'keep', 'stale'], 'without a list it knows nothing')
      result(await gc({ 'cni.dev/valid-attachments': [{ containerID: 'keep', ifname: 'eth0' }] }))
      assert.deepEqual(left(), ['foreign', 'keep'])
      result(await gc({ 'cni.dev/attachments': null }))
      assert.deepEqual(left(), ['foreign'])
      assert.equal(node.leftovers().taps.length, 1)
    })

    it('takes an empty list for none valid, and prefers the newer spelling', async () => {
      for (const id of ['a', 'b']) await add(id)
      const [a, b] = ['a', 'b'].map((containerID) => [{ containerID, ifname: 'eth0' }])
      // libcni writes both; what they say may differ in a list that somebody else made
      result(await gc({ 'cni.dev/valid-attachments': a, 'cni.dev/attachments': b }))
      assert.deepEqual(left(), ['a'])
      result(await gc({ 'cni.dev/attachments': a }))
      assert.deepEqual(left(), ['a'])
      result(await gc({ 'cni.dev/valid-attachments': [] }))
      assert.deepEqual(left(), [])
      assert.deepEqual(node.leftovers(), clean)
    })

    it('goes on past failures, and names them all', async () => {
      for (const id of ['a', 'b', 'c']) await add(id)
      await node.stopDaemon()
      // A daemon that refuses to release two of them, and nowhere to queue that.
      await node.startDaemon({}, (started) => ({
        allocate: (request) => started.allocate(request),
        register: (request) => started.register(request),
        get: (request) => started.get(request),
        list: (request) => started.list(request),
        status: () => started.status(),
        release: (request) =>
          request.containerId === 'b'
            ? started.release(request)
            : Promise.reject(Object.assign(new Error('busy'), { code: 'BUSY', retry: true })),
      }))
      const config = node.config('1.1.0', { 'cni.dev/valid-attachments': [], stateDir: '/proc/no/such' })
      const error = failure(await node.run({ command: 'GC', config }))
      assert.deepEqual([error.code, error.msg], [11, 'cannot remove 2 attachments'])
      assert.match(error.details, /^a eth0: .*; c eth0: /)
      assert.deepEqual(left(), ['a', 'c'])
      assert.deepEqual(node.leftovers().taps, [], 'the devices are gone in any case')
    })

    it('refuses a list that is none, and needs the daemon', async () => {
      assert.equal(failure(await gc({ 'cni.dev/valid-attachments': 'all' })).code, 7)
      assert.equal(failure(await gc({ 'cni.dev/valid-attachments': [{ containerID: 7 }] })).code, 7)
      await node.stopDaemon()
      assert.equal(failure(await gc({ 'cni.dev/valid-attachments': [] })).code, 11)
    })
  })

  describe('CHECK', () => {
    const damages: readonly [what: string, damage: (netns: string) => void, message: RegExp][] = [
      [
        'the address',
        (netns) =>
          inPod(netns, (pod) =>
            pod.deleteAddress({ ...pod.addresses({ index: pod.link('eth0')!.index, family: 4 })[0]! }),
          ),
        /lacks the address 10\.1\./,
      ],
      [
        'the link',
        (netns) => inPod(netns, (pod) => pod.setLink(pod.link('eth0')!.index, { up: false })),
        /eth0 is down/,
      ],
      [
        'the MAC',
        (netns) => inPod(netns, (pod) => pod.setLink(pod.link('eth0')!.index, { mac: '02:00:00:00:00:01' })),
        /has MAC 02:00:00:00:00:01/,
      ],
      ['the device', (netns) => inPod(netns, (pod) => pod.deleteLink('eth0')), /is gone/],
      [
        'the name',
        (netns) =>
          inPod(netns, (pod) => {
            const { index } = pod.link('eth0')!
            pod.setLink(index, { up: false })
            pod.setLink(index, { name: 'eth9' })
          }),
        /the pod has no interface eth0/,
      ],
      [
        'the route',
        (netns) =>
          inPod(netns, (pod) => {
            const route = pod.routes({ family: 4, table: 254 }).find(({ gateway }) => gateway)!
            pod.deleteRoute(route)
          }),
        /lacks the route 0\.0\.0\.0\/0/,
      ],
      [
        'the MTU',
        (netns) => inPod(netns, (pod) => pod.setLink(pod.link('eth0')!.index, { mtu: 9000 })),
        /eth0 has MTU 9000; it should be at most 1468/,
      ],
      [
        'the tap',
        () => node.inNode((route) => route.setLink(node.ports!.all()[0]!.ifindex!, { up: false })),
        /is down/,
      ],
      [
        'the daemon’s record',
        () => node.ports!.release({ op: 'release', containerId: 'c1', ifname: 'eth0' }),
        /knows no attachment/,
      ],
    ]
    for (const [what, damage, message] of damages) {
      it(`misses ${what}`, async () => {
        const netns = node.pod()
        const prevResult = result(await node.run({ command: 'ADD', netns }))
        const config = node.config('1.1.0', { prevResult })
        await damage(netns)
        const error = failure(await node.run({ command: 'CHECK', netns, config }))
        assert.equal(error.code, 103)
        assert.match(error.msg, message)
      })
    }

    it('names everything that differs, with what the daemon found in the datapath', async () => {
      await node.stopDaemon()
      const mismatches = ['program tap is not attached to tapX']
      await node.startDaemon({ verify: async () => ({ verified: [], mismatches }) })
      const netns = node.pod()
      const prevResult = result(await node.run({ command: 'ADD', netns }))
      inPod(netns, (pod) => {
        const { index } = pod.link('eth0')!
        pod.deleteAddress({ ...pod.addresses({ index, family: 4 })[0]! })
        pod.setLink(index, { mac: '02:00:00:00:00:01' })
      })
      const error = failure(await node.run({ command: 'CHECK', netns, config: node.config('1.1.0', { prevResult }) }))
      for (const part of [
        /lacks the address 10\.1\./,
        /has MAC 02:00:00:00:00:01; it should/,
        /program tap is not attached/,
      ])
        assert.match(error.msg, part)
    })

    it('accepts what another plugin added, and is patient with a daemon that is down', async () => {
      const netns = node.pod()
      const prevResult = result(await node.run({ command: 'ADD', netns }))
      inPod(netns, (pod) => {
        const { index } = pod.link('eth0')!
        pod.addAddress({ index, address: '192.0.2.1', prefixLength: 32 })
        pod.addRoute({ family: 4, destination: '198.51.100.0', prefixLength: 24, oif: index })
      })
      const config = node.config('1.1.0', { prevResult })
      assert.equal(result(await node.run({ command: 'CHECK', netns, config })), undefined)
      await node.stopDaemon()
      assert.equal(failure(await node.run({ command: 'CHECK', netns, config })).code, 11)
    })

    it('compares with the result of ADD, and needs one', async () => {
      const netns = node.pod()
      const prevResult = result(await node.run({ command: 'ADD', netns }))
      assert.equal(failure(await node.run({ command: 'CHECK', netns })).code, 7)
      prevResult.routes.push({ dst: '198.51.100.0/24', gw: '10.1.0.1' })
      prevResult.interfaces[1].mtu = 1400
      prevResult.ips[0].address = '10.1.99.99/16'
      const error = failure(await node.run({ command: 'CHECK', netns, config: node.config('1.1.0', { prevResult }) }))
      assert.match(error.msg, /prevResult lacks the address/)
      assert.match(error.msg, /lacks the route 198\.51\.100\.0\/24 via 10\.1\.0\.1 of prevResult/)
      assert.match(error.msg, /has MTU 1468; prevResult says 1400/)
    })
  })

  it('queues a file name that only root reads', async () => {
    await node.stopDaemon()
    result(await node.run({ command: 'DEL', containerId: 'x', ifname: 'a-b' }))
    assert.ok(existsSync(join(node.state, 'deletes/x-a%2db.json')))
    writeFileSync(join(node.state, 'deletes/junk'), '')
    await node.startDaemon()
    assert.deepEqual(node.leftovers().deletes, ['junk'])
  })
})
