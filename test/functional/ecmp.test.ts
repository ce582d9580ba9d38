import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { parse, stringify } from 'yaml'
import { labPaths } from '../lab/layout.ts'
import { eventually, skipIfMissing, TestLab, type TestPod, twoTenants } from './lab.ts'

const SHARED = '10.1.0.200'
const FLOWS = 64

interface InterfaceManifest {
  readonly metadata: Record<string, unknown>
  readonly spec: { readonly uuid: string; readonly pod: { readonly name: string }; readonly label: number }
}

describe('an address that several pods of other nodes have', function () {
  this.timeout(120_000)
  let lab: TestLab
  let sender: TestPod
  let owners: TestPod[]

  before(function () {
    skipIfMissing(this)
    lab = TestLab.up(3)
    lab.apply(twoTenants)
    sender = lab.addPod('red-1', 1, 'red')
    owners = [lab.addPod('red-2', 2, 'red'), lab.addPod('red-3', 3, 'red')]
    for (const owner of owners) {
      assert.equal(lab.ping(sender, owner.ip4).status, 0)
      assert.equal(lab.inPod(owner, ['ip', 'addr', 'add', `${SHARED}/32`, 'dev', 'lo']).status, 0)
    }
  })

  after(() => lab?.close())

  /** The interface objects of the owners once more, each with the shared address and its pod's label. */
  function sharedInterfaces(): InterfaceManifest[] {
    const folder = join(labPaths(lab.name).store, 'published')
    return readdirSync(folder)
      .map((file) => parse(readFileSync(join(folder, file), 'utf8')) as InterfaceManifest & { kind: string })
      .filter(({ kind, spec }) => kind === 'VirtualMachineInterface' && spec.pod.name !== sender.name)
      .map((object, n) => ({
        ...object,
        metadata: { ...object.metadata, name: `shared-${n}` },
        spec: { ...object.spec, uuid: object.spec.uuid.replace(/^.{8}/, `0000000${n}`), addresses: [SHARED] },
      }))
  }

  /** Datagrams for a port that nobody listens on, since the pod started. */
  function heard(pod: TestPod): number {
    const rows = lab
      .inPod(pod, ['cat', '/proc/net/snmp'])
      .stdout.split('\n')
      .filter((line) => line.startsWith('Udp:'))
    const [names, values] = rows.map((line) => line.split(' '))
    return Number(values![names!.indexOf('NoPorts')])
  }

  it('is a composite nexthop, and its flows are shared out among them', async () => {
    // The owners' daemons would withdraw interfaces that none of their pods has.
    for (const node of ['2', '3']) lab.run(['daemon', node, 'kill'])
    lab.apply(
      sharedInterfaces()
        .map((object) => stringify(object))
        .join('---\n'),
    )
    const nexthop = await eventually(() => {
      const { route } = JSON.parse(lab.node(1, 'rt', '--get', `${SHARED}/32`, '--vrf', '2', '--json')) as {
        route: { programmedPrefixLength: number; nexthop: number }
      }
      return route.programmedPrefixLength === 32 && route.nexthop
    })
    const shown = lab.node(1, 'nh', '--get', String(nexthop))
    assert.match(shown, /Type:Composite/)
    for (const node of ['172.30.0.12', '172.30.0.13']) assert.ok(shown.includes(`Dip:${node}`), shown)

    // They refuse by ICMP, from an address that isn't theirs.
    lab.expectDrops('Invalid Source')
    const before = owners.map(heard)
    lab.inPod(sender, ['bash', '-c', `for i in {1..${FLOWS}}; do echo x >/dev/udp/${SHARED}/9; done`])
    const got = owners.map((owner, n) => heard(owner) - before[n]!)
    assert.equal(got[0]! + got[1]!, FLOWS, `${got}`)
    assert.ok(Math.min(...got) >= FLOWS / 4, `shared out ${got}`)
  })
})
