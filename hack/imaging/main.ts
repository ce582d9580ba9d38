/**
 * `hack/image`: the container image, without Docker and without a base image. See usage.
 *
 * Three layers, so that a node fetches only what changed: Debian's libraries, Node, and our own programs. What goes in has the times that
 * Debian gave it, or the time of the commit; so equal sources give an image of equal digest.
 */
import { execFileSync } from 'node:child_process'
import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { debianBase } from './base.ts'
import { bundledPackages, productEntries, strippedNode } from './bundles.ts'
import { writeImage } from './oci.ts'
import { sbom } from './sbom.ts'
import { type TarEntry, withFolders } from './tar.ts'

const REPOSITORY = 'kube-vrouter.dev/kube-vrouter'
const SBOM_IN_IMAGE = 'usr/share/kube-vrouter/sbom.spdx.json'

/** The npm package of the binary comes without Node's own text. */
const NODE_LICENSE = `Node.js ${process.version}: MIT, and the licences of what it includes, as
https://github.com/nodejs/node/blob/${process.version}/LICENSE says.
`

const usage = `hack/image: builds the container image as an archive, and its bill of materials beside it

  hack/image [--output FILE] [--name REPOSITORY:TAG]

  --output FILE    default: build/kube-vrouter.tar; the bill of materials is written beside it, as kube-vrouter.spdx.json
  --name NAME      default: ${REPOSITORY}:VERSION

What to do with it:
  ctr --namespace k8s.io images import build/kube-vrouter.tar
  docker load --input build/kube-vrouter.tar
  skopeo copy oci-archive:build/kube-vrouter.tar docker://REGISTRY/kube-vrouter:VERSION
`

async function main(argv: readonly string[]): Promise<number> {
  const { values } = parseArgs({
    args: [...argv],
    options: { output: { type: 'string' }, name: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
  })
  if (values.help) {
    process.stdout.write(usage)
    return 0
  }
  const root = resolve(import.meta.dirname, '../..')
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
  const name = values.name ?? `${REPOSITORY}:${version}`
  const output = resolve(values.output ?? join(root, 'build/kube-vrouter.tar'))
  const created = commitTime(root)

  const base = debianBase()
  const node = strippedNode(root)
  const bill = sbom({
    name: 'kube-vrouter',
    version,
    created,
    distribution: base.distribution,
    debian: base.packages,
    node: process.versions.node,
    npm: bundledPackages(root),
  })
  const nodeLayer: TarEntry[] = [
    { path: 'usr/bin/node', mode: 0o755, mtime: 0, content: { type: 'file', from: { file: node } } },
    {
      path: 'usr/share/doc/nodejs/copyright',
      mode: 0o644,
      mtime: 0,
      content: { type: 'file', from: { bytes: Buffer.from(NODE_LICENSE) } },
    },
  ]
  const product: TarEntry[] = [
    ...productEntries(root, node, created),
    {
      path: SBOM_IN_IMAGE,
      mode: 0o644,
      mtime: created,
      content: { type: 'file', from: { bytes: Buffer.from(bill) } },
    },
    {
      path: 'usr/share/doc/kube-vrouter/copyright',
      mode: 0o644,
      mtime: created,
      content: { type: 'file', from: { file: join(root, 'LICENSE') } },
    },
  ]
  mkdirSync(dirname(output), { recursive: true })
  const image = await writeImage(
    {
      name,
      created,
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      environment: { PATH: '/usr/sbin:/usr/bin', VROUTER_NODEJS_BINARY: '/usr/bin/node' },
      command: ['/usr/bin/vrouter'],
      labels: {
        'org.opencontainers.image.title': 'kube-vrouter',
        'org.opencontainers.image.version': version,
        'org.opencontainers.image.licenses': 'Apache-2.0',
        ...revision(root),
      },
      layers: [
        { createdBy: `${base.distribution} packages`, entries: withFolders(base.entries, 0) },
        { createdBy: `node ${process.versions.node}`, entries: withFolders(nodeLayer, 0) },
        { createdBy: `kube-vrouter ${version}`, entries: withFolders(product, created) },
      ],
    },
    output,
  )
  const billFile = `${output.replace(/\.tar$/, '')}.spdx.json`
  writeFileSync(`${billFile}.tmp`, bill)
  renameSync(`${billFile}.tmp`, billFile)
  const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`
  console.log(`${name}\n${image.digest}`)
  for (const { createdBy, size } of image.layers) console.log(`  ${megabytes(size).padStart(8)}  ${createdBy}`)
  return 0
}

/** $SOURCE_DATE_EPOCH, else the time of the commit; 0 outside of git. */
function commitTime(root: string): number {
  const { SOURCE_DATE_EPOCH } = process.env
  return Number(SOURCE_DATE_EPOCH || git(root, 'log', '-1', '--format=%ct') || 0)
}

function revision(root: string): Record<string, string> {
  const commit = git(root, 'rev-parse', 'HEAD')
  return commit === undefined ? {} : { 'org.opencontainers.image.revision': commit }
}

function git(root: string, ...args: string[]): string | undefined {
  try {
    return execFileSync('git', args, { cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim()
  } catch {
    return undefined
  }
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`hack/image: ${(error as Error).message}\n`)
  process.exitCode = 1
}
