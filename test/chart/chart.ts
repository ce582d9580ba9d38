/** What the tests of the chart share: helm, where it is; rendered objects; a golden file. */
import assert from 'node:assert/strict'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parse, parseAllDocuments } from 'yaml'
import { findHelm, type RenderOptions, render } from '../../hack/manifests/helm.ts'
import { skipBecause } from '../skip.ts'

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
  skipBecause(context, findHelm() === undefined ? 'no helm; hack/kubelab builds it' : undefined)
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

/**
 * What `objects` have that `base` has not (`+`), and the other way round (`-`): one line for each field, or for an object that is on one side
 * only. Checksums are left out, they change with everything.
 */
export function differences(base: readonly KubeObject[], objects: readonly KubeObject[]): string {
  const named = (all: readonly KubeObject[]) => new Map(all.map((object) => [nameOf(object), object]))
  const [before, after] = [named(base), named(objects)]
  const names = [...new Set([...before.keys(), ...after.keys()])].sort()
  const lines = names.flatMap((name) => {
    const [old, now] = [before.get(name), after.get(name)]
    if (old === undefined) return [`+ ${name}`]
    if (now === undefined) return [`- ${name}`]
    return fieldDifferences(name, old, now)
  })
  return lines.map((line) => `${line}\n`).join('')
}

function fieldDifferences(name: string, base: KubeObject, object: KubeObject): string[] {
  const [before, after] = [fieldsOf(base), fieldsOf(object)]
  return [...new Set([...before.keys(), ...after.keys()])].sort().flatMap((path) => {
    const [old, now] = [before.get(path), after.get(path)]
    if (old === now || path.endsWith('.checksum/config')) return []
    const line = (mark: string, value: string | undefined) =>
      value === undefined ? [] : [`${mark} ${name} ${path} ${value}`]
    return [...line('-', old), ...line('+', now)]
  })
}

/** By path; lists of things with names by their names. */
function fieldsOf(object: KubeObject): Map<string, string> {
  const fields = new Map<string, string>()
  const walk = (path: string, value: unknown) => {
    // Configurations inside of ConfigMaps are told field by field too.
    const inner = /^data\.(vrouter\.yaml|daemonset\.json)$/.test(path) ? parse(value as string) : value
    if (typeof inner !== 'object' || inner === null || Object.keys(inner).length === 0) {
      fields.set(path, JSON.stringify(inner))
      return
    }
    for (const [key, child] of Object.entries(inner)) {
      const name = (child as { name?: unknown } | null)?.name
      if (Array.isArray(inner)) walk(`${path}[${typeof name === 'string' ? name : key}]`, child)
      else walk(path === '' ? key : `${path}.${key}`, child)
    }
  }
  walk('', object)
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
