/**
 * Run by disk-full.test.ts in a mount namespace of its own: fills a small file system under a source, and prints what happened as
 * JSON. `node fill-disk.ts FOLDER`, where FOLDER is an empty folder to mount on.
 */
import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DirectorySource } from '../../daemon/src/sources/directory/source.ts'

const [folder] = process.argv.slice(2) as [string]
execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', folder])

const object = {
  name: 'pod-1',
  namespace: 'default',
  uuid: '00000000-0000-5000-8000-000000000001',
  vn: 'default-domain:k8s-default:red',
  node: 'n1',
  pod: { name: 'pod-1', uid: 'u' },
  containerId: 'c'.repeat(64),
  ifname: 'eth0',
  mac: '02:00:00:00:00:01',
  addresses: ['10.1.0.5'],
  label: 20,
}

await using source = new DirectorySource({ path: folder, cluster: 'k8s', node: 'n1', debounceMs: 5 })
await source.start(() => {})
await source.publish({ kind: 'VirtualMachineInterface', object })

const filler = join(folder, 'filler')
for (let size = 64; size > 0; size--) {
  try {
    writeFileSync(filler, Buffer.alloc(size * 1024))
    break
  } catch {
    rmSync(filler, { force: true })
  }
}
const codeOf = (attempt: Promise<void>) =>
  attempt.then(
    () => 'done',
    (error: { code: string; message: string }) => `${error.code}: ${error.message.replace(folder, '')}`,
  )
const replaced = await codeOf(source.publish({ kind: 'VirtualMachineInterface', object: { ...object, label: 21 } }))
const block = { name: 'b', vn: object.vn, cidr: '10.1.0.0/26', node: 'n1' }
const created = await codeOf(source.publish({ kind: 'IPAMBlock', object: block }, { create: true }))
const file = join(folder, 'published/VirtualMachineInterface-pod-1.yaml')
const onDisk = JSON.parse(readFileSync(file, 'utf8')).spec.label
const inState = source.state().interfaces.get(object.uuid)?.label
const files = readdirSync(join(folder, 'published'))
rmSync(filler)
const retried = await codeOf(source.publish({ kind: 'IPAMBlock', object: block }, { create: true }))
process.stdout.write(JSON.stringify({ replaced, created, onDisk, inState, files, retried }))
