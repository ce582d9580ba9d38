/**
 * VirtualNetworkRouters: routes leak between networks while both sides say so, on one node and across, and stop at once when they
 * don't; what ran over them stops, too.
 */
import assert from 'node:assert/strict'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually, type TestLab as Lab, skipIfMissing, TestLab, type TestPod } from './lab.ts'
import { assertReach, placeOf, serve } from './reach.ts'

const networks = `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {tier: shop}}
---
apiVersion: v1
kind: Namespace
metadata: {name: bank, labels: {tier: bank}}
---
apiVersion: vrouter.dev/v1alpha1
kind: VirtualNetwork
metadata: {name: web, namespace: shop, labels: {leak: "yes"}}
spec: {subnets: [{cidr: 10.61.0.0/16}, {cidr: "fd61::/64"}]}
---
apiVersion: vrouter.dev/v1alpha1
kind: VirtualNetwork
metadata: {name: db, namespace: shop, labels: {leak: "yes"}}
spec: {subnets: [{cidr: 10.62.0.0/16}, {cidr: "fd62::/64"}]}
---
apiVersion: vrouter.dev/v1alpha1
kind: VirtualNetwork
metadata: {name: plain, namespace: shop}
spec: {subnets: [{cidr: 10.63.0.0/16}]}
---
apiVersion: vrouter.dev/v1alpha1
kind: VirtualNetwork
metadata: {name: rival, namespace: shop, labels: {leak: "no"}}
spec: {subnets: [{cidr: 10.62.128.0/17}]}
---
apiVersion: vrouter.dev/v1alpha1
kind: VirtualNetwork
metadata: {name: vault, namespace: bank, labels: {leak: "yes"}}
spec: {subnets: [{cidr: 10.64.0.0/16}, {cidr: "fd64::/64"}]}
`

const router = (namespace: string, name: string, type: string, selector: string, imports = '') => `
apiVersion: vrouter.dev/v1alpha1
kind: VirtualNetworkRouter
metadata: {name: ${name}, namespace: ${namespace}, labels: {role: ${name}}}
spec: {type: ${type}, virtualNetworkSelector: ${selector}${imports}}
`
const imports = (role: string, tier: string) =>
  `, import: {virtualNetworkRouters: [{virtualNetworkRouterSelector: {matchLabels: {role: ${role}}}, namespaceSelector: {matchLabels: {tier: ${tier}}}}]}`

/** Sends the time to each address every 10 ms, and says so: `sent TIME`. Of what arrives it says `heard FROM TIME`, when it was sent. */
const chatter = `
import selectors, socket, sys, time
port, peers = int(sys.argv[1]), sys.argv[2:]
select = selectors.DefaultSelector()
sockets = {}
for family, any in ((socket.AF_INET, '0.0.0.0'), (socket.AF_INET6, '::')):
  s = socket.socket(family, socket.SOCK_DGRAM)
  if family == socket.AF_INET6: s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
  s.bind((any, port))
  s.setblocking(False)
  sockets[family] = s
  select.register(s, selectors.EVENT_READ)
while True:
  now = time.monotonic()
  for peer in peers:
    try: sockets[socket.AF_INET6 if ':' in peer else socket.AF_INET].sendto(str(now).encode(), (peer, port))
    except OSError: pass
  print('sent', now, flush=True)
  until = time.monotonic() + 0.01
  while (left := until - time.monotonic()) > 0:
    for key, _ in select.select(left):
      data, peer = key.fileobj.recvfrom(100)
      print('heard', peer[0], data.decode(), flush=True)
`

describe('route leaks', function () {
  this.timeout(120_000)
  let lab: Lab
  const pods = new Map<string, TestPod>()
  const place = (name: string) => placeOf(pods.get(name)!)
  /** Nodes know of a change at once; how long that takes is another test's matter. */
  const settles = (check: () => void) =>
    eventually(() => {
      check()
      return true
    }, 10_000)

  before(async function () {
    skipIfMissing(this)
    lab = TestLab.up(2, { VROUTER_SNAT_ENABLED: 'true' })
    // What is under way when a leak ends has a source that its network no longer knows, or meets entries of ended flows.
    lab.expectDrops('Discards', 'Flow Unusable (Eviction)', 'Flow Unusable', 'Invalid Source')
    lab.apply(networks)
    // Node 1 has pods of web and node 2 has pods of db; only web1 and db1 share a node.
    for (const [name, node, namespace, network] of [
      ['web1', 1, 'shop', 'shop/web'],
      ['db1', 1, 'shop', 'shop/db'],
      ['db2', 2, 'shop', 'shop/db'],
      ['plain1', 1, 'shop', 'shop/plain'],
      ['rival1', 1, 'shop', 'shop/rival'],
      ['vault2', 2, 'bank', 'bank/vault'],
    ] as const)
      pods.set(name, lab.addPod(name, node, namespace, '--annotation', `vrouter.dev/network=${network}`))
    await serve(lab, [...pods.values()].map(placeOf))
  })
  after(() => lab?.close())

  it('don’t exist before anybody asks for them', () => {
    assertReach(lab, place('web1'), [place('db1'), place('db2')], false)
  })

  it('join the networks of a mesh by label, both ways, on a node and across, IPv4 and IPv6; none without a label', async () => {
    lab.apply(router('shop', 'mesh', 'mesh', '{matchLabels: {leak: "yes"}}'))
    await settles(() => assertReach(lab, place('web1'), [place('db1'), place('db2')], true))
    assertReach(lab, place('db1'), [place('web1')], true)
    assertReach(lab, place('db2'), [place('web1')], true)
    assertReach(lab, place('web1'), [place('plain1'), place('vault2')], false)
  })

  it('show in introspect and rt whose routes they are', () => {
    const db2 = pods.get('db2')!.ip4
    const page = lab.fetch(1, `Snh_Inet4UcRouteReq?vrf_index=${vrfOf('web')}&src_ip=${db2}&prefix_len=32`)
    assert.match(page, /<dest_vn_list[^>]*><list[^>]*><element>default-domain:k8s-shop:db<\/element>/)
    assert.match(page, /<peer[^>]*>172\.30\.0\.12<\/peer>/)
    assert.match(lab.node(1, 'rt', '--dump', vrfOf('web')), new RegExp(`^${db2.replaceAll('.', '\\.')}/?32?\\s`, 'm'))
  })

  it('end at once, and so does what ran over them, in both directions', async () => {
    const talk = (name: string, ...to: string[]) => {
      const addresses = to.flatMap((one) => place(one).addresses)
      const child = lab.start(place(name).where, ['python3', '-c', chatter, '7200', ...addresses])
      /** When it sent last, and when what it heard last was sent, by the sender's address. */
      const talker = { sent: 0, heard: new Map<string, number>() }
      createInterface({ input: child.stdout! }).on('line', (line) => {
        const [what, ...rest] = line.split(' ')
        if (what === 'sent') talker.sent = Number(rest[0])
        else talker.heard.set(rest[0]!, Number(rest[1]))
      })
      return talker
    }
    const all = new Map([
      ['web1', talk('web1', 'db1', 'db2')],
      ['db1', talk('db1', 'web1')],
      ['db2', talk('db2', 'web1')],
    ])
    const pairs = [
      ['web1', 'db1'],
      ['web1', 'db2'],
      ['db1', 'web1'],
      ['db2', 'web1'],
    ] as const
    const lastHeard = ([at, of]: (typeof pairs)[number]) =>
      place(of).addresses.map((one) => all.get(at)!.heard.get(one))
    await eventually(() => pairs.every((pair) => lastHeard(pair).every((time) => time !== undefined)))
    lab.run(['delete', '-f', '-'], { input: router('shop', 'mesh', 'mesh', '{matchLabels: {leak: "yes"}}') })
    // The same clock as the senders'.
    const now = () => Number(process.hrtime.bigint()) / 1e9
    const areSending = (time: number) => eventually(() => [...all.values()].every(({ sent }) => sent > time))
    const isSilentSince = (time: number) => pairs.every((pair) => lastHeard(pair).every((heard) => heard! < time))
    let end = 0
    await eventually(async () => {
      end = now()
      await areSending(end + 1.5)
      return isSilentSince(end)
    })
    await areSending(now() + 3)
    assert.ok(isSilentSince(end), 'somebody was heard again')
    assertReach(lab, place('web1'), [place('db1'), place('db2')], false)
    assertReach(lab, place('db2'), [place('web1')], false)
  })

  it('are refused between networks that overlap, which the log says; the others go on', async () => {
    lab.expectLog(/routes are not leaked between it and/)
    lab.apply(router('shop', 'wide', 'mesh', '{matchExpressions: [{key: leak, operator: Exists}]}'))
    await settles(() => assertReach(lab, place('web1'), [place('db1'), place('db2')], true))
    assertReach(lab, place('rival1'), [place('db1')], false)
    const said = lab.logOf(1).map((line) => JSON.stringify(line))
    assert.ok(said.some((line) => /subnet 10\.62\.\d+\.0\S+ of \S+ overlaps 10\.62\./.test(line)))
    lab.run(['delete', '-f', '-'], { input: router('shop', 'wide', 'mesh', '{}') })
    await settles(() => assertReach(lab, place('web1'), [place('db1')], false))
  })

  it('cross namespaces when both sides consent, hub to spoke, and end when one of them takes it back', async () => {
    lab.apply(router('shop', 'hub', 'hub', '{matchLabels: {leak: "yes"}}', imports('spoke', 'bank')))
    await sleep(500)
    assertReach(lab, place('web1'), [place('vault2')], false)
    const spoke = router('bank', 'spoke', 'spoke', '{matchLabels: {leak: "yes"}}', imports('hub', 'shop'))
    lab.apply(spoke)
    await settles(() => assertReach(lab, place('web1'), [place('vault2')], true))
    assertReach(lab, place('vault2'), [place('web1'), place('db2')], true)
    assertReach(lab, place('web1'), [place('db1')], false)
    lab.run(['delete', '-f', '-'], { input: spoke })
    await settles(() => assertReach(lab, place('vault2'), [place('web1'), place('db2')], false))
  })

  it('hold over the death and the restart of daemons', async () => {
    lab.apply(router('shop', 'mesh', 'mesh', '{matchLabels: {leak: "yes"}}'))
    await settles(() => assertReach(lab, place('web1'), [place('db1'), place('db2')], true))
    for (const node of ['1', '2']) lab.run(['daemon', node, 'kill'])
    assertReach(lab, place('web1'), [place('db1'), place('db2')], true)
    for (const node of ['1', '2']) lab.run(['daemon', node, 'start'])
    assertReach(lab, place('db2'), [place('web1')], true)
  })

  function vrfOf(name: string): string {
    const page = lab.fetch(1, `Snh_VrfListReq?name=default-domain:k8s-shop:${name}:${name}`)
    return /<ucindex[^>]*>(\d+)</.exec(page)![1]!
  }
})
