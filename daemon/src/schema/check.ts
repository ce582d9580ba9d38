/**
 * JSON Schema checks whose errors people can act on: which field, which value, what is wrong, and for an unknown field the one
 * that was probably meant. Used for manifests and for the configuration.
 */
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv'
import { formatCidr, networkOf, overlaps, parseAddress, parseCidr, parseCidrLoosely } from '../model/address.ts'
import { parsePortRange } from './port-range.ts'
import { suggestion } from './suggestion.ts'

export interface SchemaIssue {
  /** Path such as `spec.subnets[0].cidr`; empty: the whole. */
  readonly field: string
  /** The value as JSON, shortened. */
  readonly value?: string
  readonly message: string
}

const formats: Record<
  string,
  { readonly test: (text: string) => boolean; readonly description: (text: string) => string }
> = {
  ip: { test: (text) => parseAddress(text) !== undefined, description: () => 'an IPv4 or IPv6 address' },
  ipv4: { test: (text) => parseAddress(text)?.family === 4, description: () => 'an IPv4 address' },
  cidr: { test: (text) => parseCidr(text) !== undefined, description: describeCidr },
  'address-range': {
    test: isAddressRange,
    description: (text) =>
      parseCidrLoosely(text) === undefined
        ? 'a CIDR such as 192.0.2.64/28, or a range of one family such as 192.0.2.10-192.0.2.20'
        : describeCidr(text),
  },
  'pod-subnet': {
    test: (text) => {
      const prefix = parseCidr(text)
      return prefix !== undefined && prefix.length <= longestSubnet(prefix.family)
    },
    description: (text) =>
      parseCidr(text) === undefined ? describeCidr(text) : 'large enough for pods: at most /29 (IPv4), /125 (IPv6)',
  },
  'gateway-to-watch': {
    test: (text) => text === 'auto' || text === 'none' || parseAddress(text)?.family === 4,
    description: () => 'an IPv4 address, auto or none',
  },
  'port-range': {
    test: (text) => parsePortRange(text) !== undefined,
    description: () => 'the first and the last of a range of ports, 1-65535 at most',
  },
  device: {
    test: (text) => /^[^\s/:]{0,15}$/.test(text) && text !== '.' && text !== '..',
    description: () => "a device's name: at most 15 characters without spaces, / and :",
  },
  mac: {
    test: (text) => /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(text),
    description: () => 'a MAC such as 02:00:00:00:00:01',
  },
  uuid: {
    test: (text) => /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(text),
    description: () => 'a uuid in lower case',
  },
  'fq-name': {
    test: (text) => /^[^:\s]+:[^:\s]+:[^:\s]+$/.test(text),
    description: () => 'an FQ name <domain>:<project>:<name>',
  },
  'dns-label': {
    test: (text) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text),
    description: () => "a DNS label: at most 63 of a-z, 0-9 and '-', with a letter or digit at both ends",
  },
  'dns-name': {
    test: (text) => text.length <= 253 && /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$/.test(text),
    description: () => "a DNS name: at most 253 of a-z, 0-9, '-' and '.', with a letter or digit at both ends",
  },
}

/** A network, or two addresses of one family with a hyphen between them. */
function isAddressRange(text: string): boolean {
  if (parseCidr(text) !== undefined) return true
  const [first, last, ...rest] = text.split('-').map(parseAddress)
  return first !== undefined && last?.family === first.family && rest.length === 0
}

/** A longer one has no address left beside those that are reserved. */
export function longestSubnet(family: 4 | 6): number {
  return family === 4 ? 29 : 125
}

/** Keyword `disjoint`: the CIDRs of a list don't overlap. */
function isDisjoint(list: readonly unknown[]): boolean {
  const prefixes = list.flatMap((item) => parseCidr(String(item)) ?? [])
  return prefixes.every((prefix, i) => prefixes.slice(0, i).every((other) => !overlaps(prefix, other)))
}

function describeCidr(text: string): string {
  const loose = parseCidrLoosely(text)
  return loose === undefined
    ? 'a CIDR such as 10.1.0.0/16 or fd00:1::/64'
    : `a network: its host bits must be zero (${formatCidr(networkOf(loose))})`
}

/** A compiled schema. */
export class Schema {
  readonly json: object
  readonly #validate: ValidateFunction

  constructor(json: object) {
    this.json = json
    const ajv = new Ajv({ allErrors: true, verbose: true, strict: true, allowUnionTypes: true })
    for (const [name, { test }] of Object.entries(formats)) ajv.addFormat(name, test)
    ajv.addKeyword({
      keyword: 'disjoint',
      type: 'array',
      schemaType: 'boolean',
      validate: (_on: boolean, list: unknown[]) => isDisjoint(list),
    })
    this.#validate = ajv.compile(json)
  }

  /** What is wrong with the value; empty: nothing. */
  check(value: unknown): SchemaIssue[] {
    if (this.#validate(value)) return []
    return (this.#validate.errors ?? []).map(issueOf)
  }
}

function issueOf(error: ErrorObject): SchemaIssue {
  const field = fieldOf(error.instancePath)
  const value = shorten(error.data)
  const parent = error.parentSchema as { readonly properties?: object; readonly description?: string } | undefined
  switch (error.keyword) {
    case 'additionalProperties': {
      const key = String(error.params['additionalProperty'])
      const near = suggestion(key, Object.keys(parent?.properties ?? {}))
      const hint =
        near === undefined ? `known are ${Object.keys(parent?.properties ?? {}).join(', ')}` : `did you mean ${near}?`
      return {
        field: joined(field, key),
        value: shorten((error.data as never)?.[key]),
        message: `unknown field; ${hint}`,
      }
    }
    case 'required':
      return { field: joined(field, String(error.params['missingProperty'])), message: 'is required' }
    case 'format': {
      const format = formats[String(error.params['format'])]
      return { field, value, message: `is not ${format?.description(String(error.data)) ?? error.params['format']}` }
    }
    case 'enum': {
      const allowed = (error.params['allowedValues'] as unknown[]).map(String)
      const near = suggestion(String(error.data), allowed)
      return {
        field,
        value,
        message: `must be one of ${allowed.join(', ')}${near === undefined ? '' : `; did you mean ${near}?`}`,
      }
    }
    case 'const':
      return { field, value, message: `must be ${JSON.stringify(error.params['allowedValue'])}` }
    case 'type':
      return { field, value, message: `must be ${[error.params['type']].flat().join(' or ')}` }
    case 'disjoint':
      return { field, value, message: 'has networks that overlap' }
    case 'minItems':
      return { field, value, message: `must have at least ${error.params['limit']} item(s)` }
    default:
      return { field, value, message: error.message ?? `fails ${error.keyword}` }
  }
}

/** `/spec/subnets/0/cidr` as people write it: `spec.subnets[0].cidr`. */
function fieldOf(pointer: string): string {
  return pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
    .reduce((path, part) => (/^\d+$/.test(part) ? `${path}[${part}]` : joined(path, part)), '')
}

function joined(path: string, key: string): string {
  return path === '' ? key : `${path}.${key}`
}

/** A value as reports show it: whatever stands in a file, a line of the log stays a line. */
export function shorten(value: unknown): string | undefined {
  if (value === undefined) return undefined
  const text = JSON.stringify(value) ?? String(value)
  return text.length > 120 ? `${text.slice(0, 117)}...` : text
}
