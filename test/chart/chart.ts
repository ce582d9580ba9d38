/** What the tests of the chart share: helm, where it is; rendered objects; a golden file. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parse, parseAllDocuments } from 'yaml'
import { findHelm, type RenderOptions, render } from '../../hack/manifests/helm.ts'

export interface KubeObject {
  readonly apiVersion: string
  readonly kind: string
  readonly metadata: {
    readonly name: string
    readonly namespace?: string
    readonly labels?: Readonly<Record<string, string>>
    readonly annotations?: Readonly<Record<string, string>>
  }
  // biome-ignore lint/suspicious/noExplicitAny: tests look into objects of all kinds
  readonly [field: string]: any
}

/** For a `before` hook: skips the suite, with the reason in its title, where there is no helm. */
export function skipWithoutHelm(context: Mocha.Context): void {
  if (findHelm() !== undefined) return
  context.test!.parent!.title += ' (skipped: no helm; hack/kubelab builds it)'
  context.skip()
}

export function rendered(...set: readonly string[]): KubeObject[] {
  return objectsOf(render(findHelm()!, { set }))
}

export function renderedWith(options: RenderOptions): KubeObject[] {
  return objectsOf(render(findHelm()!, options))
}

export function objectsOf(text: string): KubeObject[] {
  return parseAllDocuments(text).flatMap((document) => {
    assert.deepEqual(document.errors, [])
    const object = document.toJS() as KubeObject | null
    return object === null ? [] : [object]
  })
}

export function one(objects: readonly KubeObject[], kind: string, name: string): KubeObject {
  const found = objects.filter((object) => object.kind === kind && object.metadata.name === name)
  assert.equal(found.length, 1, `${found.length} objects ${kind} ${name}`)
  return found[0]!
}

export function nameOf({ kind, metadata }: KubeObject): string {
  return `${kind} ${metadata.namespace === undefined ? '' : `${metadata.namespace}/`}${metadata.name}`
}

/** Compares with testdata/NAME; UPDATE_GOLDEN=1 writes it instead. */
export function assertGolden(name: string, text: string): void {
  const file = join(import.meta.dirname, 'testdata', name)
  if (process.env['UPDATE_GOLDEN'] === '1') {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
  }
  assert.equal(text, readFileSync(file, 'utf8'), `${file} (UPDATE_GOLDEN=1 writes it anew)`)
}

/** What `objects` have that `base` has not, and the other way round: one line for each field, `-` before it or `+`. */
export function differences(base: readonly KubeObject[], objects: readonly KubeObject[]): string {
  const before = fieldsOf(base)
  const after = fieldsOf(objects)
  return [...new Set([...before.keys(), ...after.keys()])]
    .sort()
    .flatMap((path) => {
      const [old, now] = [before.get(path), after.get(path)]
      if (old === now) return []
      return [...(old === undefined ? [] : [`- ${path} ${old}`]), ...(now === undefined ? [] : [`+ ${path} ${now}`])]
    })
    .join('\n')
    .concat('\n')
}

function fieldsOf(objects: readonly KubeObject[]): Map<string, string> {
  const fields = new Map<string, string>()
  const walk = (path: string, value: unknown) => {
    // Configurations inside of ConfigMaps are told field by field too.
    const text = /\.(vrouter\.yaml|daemonset\.json)$/.test(path) ? parse(value as string) : value
    if (typeof text !== 'object' || text === null || Object.keys(text).length === 0) {
      fields.set(path, JSON.stringify(text))
      return
    }
    for (const [key, child] of Object.entries(text)) {
      const name = (child as { name?: unknown } | null)?.name
      walk(Array.isArray(text) && typeof name === 'string' ? `${path}[${name}]` : `${path}.${key}`, child)
    }
  }
  for (const { kind, metadata, ...rest } of objects) {
    walk(nameOf({ kind, metadata, apiVersion: rest.apiVersion }), { metadata, ...rest })
  }
  return fields
}

/** Pod templates of everything that runs, by the name of their object; that of the clean-up included. */
export function podSpecs(objects: readonly KubeObject[]): Map<string, KubeObject['spec']> {
  const specs = new Map<string, KubeObject['spec']>()
  for (const object of objects) {
    if (object['spec']?.template?.spec !== undefined) specs.set(nameOf(object), object['spec'].template.spec)
    const nested = object['data']?.['daemonset.json'] as string | undefined
    if (nested === undefined) continue
    const daemonSet = JSON.parse(nested) as KubeObject
    specs.set(nameOf(daemonSet), daemonSet['spec'].template.spec)
  }
  return specs
}

export interface Container {
  readonly name: string
  readonly image: string
  readonly securityContext?: {
    readonly privileged?: boolean
    readonly readOnlyRootFilesystem?: boolean
    readonly capabilities?: { readonly add?: readonly string[]; readonly drop?: readonly string[] }
  }
  readonly volumeMounts?: readonly {
    readonly name: string
    readonly mountPath: string
    readonly mountPropagation?: string
    readonly readOnly?: boolean
  }[]
}

export function containersOf(spec: KubeObject['spec']): Container[] {
  return [...(spec.initContainers ?? []), ...spec.containers] as Container[]
}
