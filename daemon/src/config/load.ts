/**
 * Reads the configuration: defaults of the schema, then the file, then the environment. What isn't known or can't be right is an
 * error that names file (or variable), key, value and remedy; all mistakes are reported at once.
 */

import { existsSync, readFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseDocument } from 'yaml'
import { MPLS_UDP_PORT, MPLS_UDP_PORT_OLD, VXLAN_UDP_PORT } from '../maps/constants.ts'
import { Schema } from '../schema/check.ts'
import { parsePortRange } from '../schema/port-range.ts'
import { distance } from '../schema/suggestion.ts'
import type { Config } from './config.ts'
import schemaJson from './schema.json' with { type: 'json' }

export const DEFAULT_FILE = '/etc/vrouter/vrouter.yaml'
const INSTALLED_OBJECTS = '/usr/lib/vrouter/bpf'

export interface ConfigIssue {
  /** File, or environment variable. */
  readonly from: string
  /** Key such as `limits.vifs`; empty: the whole file. */
  readonly key: string
  readonly value?: string
  readonly message: string
}

/** The configuration can't be used: `message` has one line for each mistake. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly code = 'CONFIG_INVALID'
  readonly remedy = 'Correct the configuration; `vrouter --help` lists every key.'
  readonly issues: readonly ConfigIssue[]

  constructor(issues: readonly ConfigIssue[], options?: ErrorOptions) {
    super(`the configuration is wrong:\n${issues.map((issue) => `  ${describeIssue(issue)}`).join('\n')}`, options)
    this.issues = issues
  }
}

function describeIssue({ from, key, value, message }: ConfigIssue): string {
  return `${from}: ${key === '' ? '' : `${key} `}${value === undefined ? '' : `(${value}) `}${message}`
}

type Json = Record<string, unknown>

interface Node {
  readonly type?: string | readonly string[]
  readonly description?: string
  readonly default?: unknown
  readonly properties?: Readonly<Record<string, Node>>
  readonly enum?: readonly string[]
}

const root = schemaJson as Node
let compiled: Schema | undefined

export interface LoadOptions {
  /** Default: $VROUTER_CONFIG, else /etc/vrouter/vrouter.yaml if that exists. */
  readonly file?: string
  readonly env?: Readonly<Record<string, string | undefined>>
}

/** Throws ConfigError. */
export function loadConfig({ file, env = process.env }: LoadOptions = {}): Config {
  const path = file ?? (env['VROUTER_CONFIG'] || (existsSync(DEFAULT_FILE) ? DEFAULT_FILE : undefined))
  const fromFile = path === undefined ? {} : readFile(path)
  const { values, names, issues } = readEnvironment(env)
  const merged = merge(merge(defaults(), fromFile), values) as Json
  compiled ??= new Schema(schemaJson)
  const found = compiled.check(merged).map(({ field, value, message }): ConfigIssue => {
    const from = names.get(field) ?? names.get(field.replace(/\[\d+\]$/, '')) ?? path ?? 'defaults'
    return { from, key: field, value, message }
  })
  if (issues.length + found.length > 0) throw new ConfigError([...issues, ...found])
  const config = merged as unknown as Config
  const fault = faultOfSnatPorts(config)
  if (fault !== undefined) {
    const from = names.get('snat.ports') ?? path ?? 'defaults'
    throw new ConfigError([{ from, key: 'snat.ports', value: JSON.stringify(config.snat.ports), message: fault }])
  }
  return config
}

/** Answers to a port of tunnels would be taken for tunnels, if they come from another node. */
function faultOfSnatPorts({ snat, tunnels }: Config): string | undefined {
  const { first, last } = parsePortRange(snat.ports)!
  const taken = [MPLS_UDP_PORT, VXLAN_UDP_PORT, ...(tunnels.oldPort ? [MPLS_UDP_PORT_OLD] : [])]
  const port = taken.find((one) => first <= one && one <= last)
  return port === undefined ? undefined : `must not hold ${port}, a port of tunnels between nodes`
}

function readFile(path: string): Json {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (cause) {
    const { code = String(cause) } = cause as NodeJS.ErrnoException
    throw new ConfigError([{ from: path, key: '', message: `cannot be read: ${code}` }], { cause })
  }
  const document = parseDocument(text, { prettyErrors: true })
  const [error] = document.errors
  if (error !== undefined) {
    throw new ConfigError([{ from: path, key: '', message: `is not YAML: ${error.message.split('\n')[0]}` }])
  }
  const value: unknown = document.toJS({ maxAliasCount: 100 }) ?? {}
  if (!isObject(value)) throw new ConfigError([{ from: path, key: '', message: 'must be a mapping of keys to values' }])
  return value
}

/** Every key of the schema that isn't a section, with its path. */
function* keys(node: Node = root, path: readonly string[] = []): Generator<{ path: readonly string[]; node: Node }> {
  for (const [name, child] of Object.entries(node.properties ?? {})) {
    if (child.properties !== undefined) yield* keys(child, [...path, name])
    else yield { path: [...path, name], node: child }
  }
}

/** `VROUTER_UNDERLAY_WATCH_SECONDS` for `underlay.watchSeconds`. */
export function environmentName(path: readonly string[]): string {
  return `VROUTER_${path.map((part) => part.replaceAll(/([a-z])([A-Z])/g, '$1_$2').toUpperCase()).join('_')}`
}

function defaults(): Json {
  const values: Json = {}
  for (const { path, node } of keys()) if (node.default !== undefined) put(values, path, structuredClone(node.default))
  put(values, ['node'], hostname().toLowerCase())
  put(values, ['paths', 'objects'], defaultObjects())
  return values
}

function defaultObjects(): string {
  const built = fileURLToPath(new URL('../../datapath/build', import.meta.url))
  return !existsSync(INSTALLED_OBJECTS) && existsSync(built) ? built : INSTALLED_OBJECTS
}

/** Values of the environment, the variable of each key, and the variables that can't be read. */
function readEnvironment(env: Readonly<Record<string, string | undefined>>) {
  const values: Json = {}
  const names = new Map<string, string>()
  const issues: ConfigIssue[] = []
  const known = new Map([...keys()].map((key) => [environmentName(key.path), key]))
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith('VROUTER_') || text === undefined || name === 'VROUTER_CONFIG') continue
    const key = known.get(name)
    if (key === undefined) {
      // Others may use the prefix (Kubernetes does, for a service of that name): only what looks like a slip is one.
      const near = [...known.keys()].find((candidate) => distance(name, candidate, 3) <= 2)
      if (near !== undefined) issues.push({ from: name, key: '', message: `is not known; did you mean ${near}?` })
      continue
    }
    const value = parseValue(text, key.node)
    if (value === undefined) {
      issues.push({
        from: name,
        key: key.path.join('.'),
        value: JSON.stringify(text),
        message: `must be ${typeName(key.node)}`,
      })
      continue
    }
    names.set(key.path.join('.'), name)
    put(values, key.path, value)
  }
  return { values, names, issues }
}

function parseValue(text: string, node: Node): unknown {
  // A word or a number.
  if (Array.isArray(node.type)) return /^-?\d{1,15}$/.test(text.trim()) ? Number(text) : text.trim()
  switch (node.type) {
    case 'integer':
      return /^-?\d{1,15}$/.test(text.trim()) ? Number(text) : undefined
    case 'boolean':
      return ['true', 'false'].includes(text.trim().toLowerCase()) ? text.trim().toLowerCase() === 'true' : undefined
    case 'array':
      return text
        .split(',')
        .map((part) => part.trim())
        .filter((part) => part !== '')
    default:
      return text
  }
}

function typeName(node: Node): string {
  if (node.enum !== undefined) return node.enum.join(' or ')
  switch (node.type) {
    case 'integer':
      return 'a whole number'
    case 'boolean':
      return 'true or false'
    case 'array':
      return 'a list, separated by commas'
    default:
      return 'text'
  }
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function put(target: Json, path: readonly string[], value: unknown): void {
  const [head, ...rest] = path as [string, ...string[]]
  if (rest.length === 0) {
    target[head] = value
    return
  }
  target[head] ??= {}
  put(target[head] as Json, rest, value)
}

/** Sections are merged, everything else is replaced. A section that is null in the file (a heading without keys) says nothing. */
function merge(base: unknown, over: unknown): unknown {
  if (!isObject(base)) return over
  if (over === null || over === undefined) return base
  if (!isObject(over)) return over
  const merged: Json = { ...base }
  for (const [key, value] of Object.entries(over)) merged[key] = merge(base[key], value)
  return merged
}

/** Every key with its meaning, default and variable, for `--help`. */
export function describeConfig(): string {
  const lines = ['Configuration keys (YAML), their environment variables and defaults:']
  let section: string | undefined
  for (const { path, node } of keys()) {
    if (path.length > 1 && path[0] !== section) {
      section = path[0]!
      lines.push('', `${section}:  ${root.properties?.[section]?.description ?? ''}`)
    }
    const fallback = node.default === undefined ? '' : ` [${JSON.stringify(node.default)}]`
    lines.push(`  ${path.join('.')}  (${environmentName(path)})${fallback}`, `      ${node.description ?? ''}`)
  }
  return `${lines.join('\n')}\n`
}
