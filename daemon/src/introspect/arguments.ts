/**
 * Arguments of a request, read from the query by the rules that existing clients rely on (introspect reference 1.3): keys
 * match by prefix, an unknown key sets the first argument (so `?x=VALUE` works everywhere), bad values are never an error.
 */

export type ArgumentType = 'string' | 'bool' | 'i16' | 'i32' | 'u16' | 'u32'

export interface Argument<T = string | number | boolean> {
  readonly type: ArgumentType
  readonly default: T
}

/** In order of declaration. */
export type Arguments = Readonly<Record<string, Argument>>

export type ArgumentValues<A extends Arguments> = { readonly [K in keyof A]: A[K]['default'] }

export const text: Argument<string> = { type: 'string', default: '' }
export const flag: Argument<boolean> = { type: 'bool', default: false }
export const i32 = (value = 0): Argument<number> => ({ type: 'i32', default: value })
export const i16 = (value = 0): Argument<number> => ({ type: 'i16', default: value })
export const u32 = (value = 0): Argument<number> => ({ type: 'u32', default: value })
export const u16 = (value = 0): Argument<number> => ({ type: 'u16', default: value })
export const textWithDefault = (value: string): Argument<string> => ({ type: 'string', default: value })

/** `query`: what follows the first '?', undecoded. */
export function parseArguments<A extends Arguments>(declared: A, query: string): ArgumentValues<A> {
  const names = Object.keys(declared)
  const values: Record<string, string | number | boolean> = {}
  for (const name of names) values[name] = declared[name]!.default
  const tokens = query.split('&').filter((token) => token !== '')
  for (const token of tokens.slice(0, names.length)) {
    const [key, value] = token.split('=')
    if (value === undefined || value === '') continue
    const name = nameOf(key!, names)
    values[name] = toValue(declared[name]!.type, value)
  }
  return values as ArgumentValues<A>
}

/**
 * The argument that a key sets. The whole name wins: by prefix alone KRouteGetReq's `prefix_len` would set `prefix`, and couldn't
 * be asked for.
 */
function nameOf(key: string, names: readonly string[]): string {
  if (names.includes(key)) return key
  return names.find((name) => key.startsWith(name)) ?? names[0]!
}

function toValue(type: ArgumentType, value: string): string | number | boolean {
  switch (type) {
    case 'string':
      return percentDecode(value)
    case 'bool':
      return integerPrefix(value) !== 0n
    case 'i16':
      return Number(BigInt.asIntN(16, integerPrefix(value)))
    case 'i32':
      return Number(BigInt.asIntN(32, integerPrefix(value)))
    case 'u16':
      return Number(BigInt.asUintN(16, integerPrefix(value)))
    case 'u32':
      return Number(BigInt.asUintN(32, integerPrefix(value)))
    default: {
      const never: never = type
      return never
    }
  }
}

function integerPrefix(value: string): bigint {
  const digits = /^\s*([+-]?)(\d{1,20})/.exec(value)
  if (digits === null) return 0n
  const magnitude = BigInt(digits[2]!)
  return digits[1] === '-' ? -magnitude : magnitude
}

/** %XX only ('+' stays '+'); what isn't valid UTF-8 afterwards has U+FFFD in its place. */
function percentDecode(value: string): string {
  if (!value.includes('%')) return value
  const bytes = value.replaceAll(/%([0-9a-fA-F]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
  return Buffer.from(bytes, 'latin1').toString('utf8')
}

/** The numeric argument of pages that declare it as text: undefined when it isn't a decimal number. */
export function decimal(value: string): number | undefined {
  return /^\d{1,10}$/.test(value) ? Number(value) : undefined
}
