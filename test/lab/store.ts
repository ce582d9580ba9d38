/** The store of a lab: the folder of manifests that all daemons of the lab watch. `apply` and `delete` keep one file per object. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { parseAllDocuments, stringify } from 'yaml'
import { writeWhole } from './files.ts'
import { labPaths } from './layout.ts'

interface Manifest {
  readonly apiVersion?: unknown
  readonly kind?: unknown
  readonly metadata?: { readonly name?: unknown; readonly namespace?: unknown }
}

function readManifests(file: string): Manifest[] {
  const text = file === '-' ? readFileSync(0, 'utf8') : readFileSync(file, 'utf8')
  const documents = parseAllDocuments(text)
  const manifests: Manifest[] = []
  for (const document of documents) {
    if (document.errors.length > 0) throw new Error(`${file}: ${document.errors[0]!.message}`)
    const manifest = document.toJS() as Manifest | null
    if (manifest !== null) manifests.push(manifest)
  }
  if (manifests.length === 0) throw new Error(`${file}: no object in it`)
  return manifests
}

function identity(file: string, manifest: Manifest): string {
  const { kind, metadata } = manifest
  if (typeof kind !== 'string' || kind === '')
    throw new Error(`${file}: kind: missing; every object needs a kind, such as VirtualNetwork`)
  if (typeof metadata?.name !== 'string' || metadata.name === '')
    throw new Error(`${file}: metadata.name: missing in a ${kind}`)
  const namespace = typeof metadata.namespace === 'string' ? metadata.namespace : kind === 'Namespace' ? '' : 'default'
  const parts = [kind.toLowerCase(), namespace, metadata.name].filter((part) => part !== '')
  const id = parts.join('-')
  if (!/^[a-z0-9.-]+$/.test(id))
    throw new Error(`${file}: ${kind} ${metadata.name}: names hold lower case letters, digits, '-' and '.' only`)
  return id
}

/** Networks are named by all others, namespaces only by pods. */
function rank({ kind }: Manifest): number {
  return kind === 'VirtualNetwork' ? 0 : 1
}

/** Writes every object of the files; returns their identities. The daemons check them: an object may still be set aside. */
export function apply(lab: string, files: readonly string[]): string[] {
  const folder = labPaths(lab).store
  mkdirSync(folder, { recursive: true })
  const objects = files.flatMap((file) =>
    readManifests(file).map((manifest) => ({ id: identity(file, manifest), manifest })),
  )
  // A daemon may look at any time: what is named by others comes first.
  for (const { id, manifest } of objects.toSorted((a, b) => rank(a.manifest) - rank(b.manifest))) {
    writeWhole(join(folder, `${id}.yaml`), stringify(manifest))
  }
  return objects.map(({ id }) => id)
}

export function remove(lab: string, files: readonly string[]): string[] {
  const folder = labPaths(lab).store
  const ids = files.flatMap((file) => readManifests(file).map((manifest) => identity(file, manifest)))
  for (const id of ids) {
    if (!existsSync(join(folder, `${id}.yaml`)))
      throw new Error(`${id}: not in the store; there are: ${list(lab).join(', ')}`)
  }
  for (const id of ids) rmSync(join(folder, `${id}.yaml`))
  return ids
}

export function list(lab: string): string[] {
  return readdirSync(labPaths(lab).store)
    .filter((entry) => entry.endsWith('.yaml'))
    .map((entry) => entry.slice(0, -'.yaml'.length))
}
