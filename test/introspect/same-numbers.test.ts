/** What the tools, the kernel's pages and the daemon's pages say of one thing is one number. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { join, resolve } from 'node:path'
import { type WholeNode, withWholeNode } from '../dataplane/whole-node.ts'

const repository = resolve(import.meta.dirname, '../..')

describe('numbers that several places show', function () {
  this.timeout(60_000)
  let node: WholeNode

  withWholeNode(
    (made) => {
      node = made
    },
    [
      ['one', 'red'],
      ['two', 'red'],
      ['three', 'blue'],
    ],
    (bare) => bare.run('ip', '-6', 'address', 'add', '2001:db8::11/64', 'dev', 'eth0', 'nodad'),
  )

  const page = async (name: string) => await (await fetch(`http://127.0.0.1:8085/Snh_${name}`)).text()
  /** Number of `value` by number of `key`, in each `struct`. */
  async function column(name: string, struct: string, key: string, value: string): Promise<Record<string, number>> {
    const text = await page(name)
    const structs = [...text.matchAll(new RegExp(`<${struct}>.*?</${struct}>`, 'gs'))].map(([one]) => one)
    const of = (one: string, field: string) => new RegExp(`<${field} [^>]*>(-?\\d+)</${field}>`).exec(one)?.[1]
    return Object.fromEntries(structs.map((one) => [of(one, key), Number(of(one, value))]))
  }
  // biome-ignore lint/suspicious/noExplicitAny: a tool's JSON
  function tool(...words: string[]): any {
    const program = join(repository, 'daemon/src/utilities/main.ts')
    const args = [
      '--disable-warning=ExperimentalWarning',
      program,
      ...words,
      '--json',
      '--pins',
      node.config.paths.pins,
    ]
    return JSON.parse(execFileSync(process.execPath, args, { encoding: 'utf8' }))
  }

  it('references of nexthops: nh, KNHReq and NhListReq', async () => {
    const records: { id: number; references: number }[] = tool('nh', '--list').nexthops
    const nh = Object.fromEntries(records.map(({ id, references }) => [id, references]))
    assert.ok(records.length > 10 && records.some(({ references }) => references > 1))
    assert.deepEqual(await column('KNHReq', 'KNHInfo', 'id', 'ref_cnt'), nh)
    assert.deepEqual(await column('NhListReq', 'NhSandeshData', 'nh_index', 'ref_count'), nh)
  })

  it('references of interfaces: vif and KInterfaceReq', async () => {
    const records: { id: number; references: number }[] = tool('vif', '--list').interfaces
    const vif = Object.fromEntries(records.map(({ id, references }) => [id, references]))
    assert.ok(records.some(({ references }) => references > 2))
    assert.deepEqual(await column('KInterfaceReq', 'KInterfaceInfo', 'idx', 'ref_cnt'), vif)
    for (const id of Object.keys(vif))
      assert.deepEqual(await column(`KInterfaceReq?if_id=${id}`, 'KInterfaceInfo', 'idx', 'ref_cnt'), { [id]: vif[id] })
  })

  it('addresses of vhost0, both: vif and ItfReq', async () => {
    const [, vhost] = tool('vif', '--list').interfaces
    assert.deepEqual([vhost.name, vhost.ip4, vhost.ip6], ['vhost0', '192.0.2.11', '2001:db8::11'])
    const text = await page('ItfReq?name=vhost0')
    assert.match(text, /<ip_addr [^>]*>192\.0\.2\.11</)
    assert.match(text, /<ip6_addr [^>]*>2001:db8::11</)
    assert.match(text, /<fixed_ip6_list [^>]*><list [^>]*><element>2001:db8::11</)
  })
})
