/** Address families as this package names them (4, 6) and as the kernel numbers them. Pure. */

export type Family = 4 | 6

export const AF_UNSPEC = 0
export const AF_INET = 2
export const AF_INET6 = 10

export function afOf(family: Family | undefined): number {
  switch (family) {
    case 4:
      return AF_INET
    case 6:
      return AF_INET6
    case undefined:
      return AF_UNSPEC
  }
}

export function familyOfAddress(address: string): Family {
  return address.includes(':') ? 6 : 4
}

/** Undefined for families that this package doesn't speak (MPLS, bridge). */
export function familyOfAf(af: number): Family | undefined {
  return af === AF_INET ? 4 : af === AF_INET6 ? 6 : undefined
}

/** '0.0.0.0' or '::'. */
export function anyAddress(family: Family): string {
  return family === 4 ? '0.0.0.0' : '::'
}

/** Scopes of addresses and routes (rtnetlink.h). */
export const Scope = { UNIVERSE: 0, SITE: 200, LINK: 253, HOST: 254, NOWHERE: 255 } as const
