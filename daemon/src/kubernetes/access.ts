/** How the API server is reached, and who we are there. */
import { readFileSync } from 'node:fs'
import { ApiError } from './errors.ts'

export interface Access {
  /** Bootstrap address of the API server. */
  readonly server: URL
  /** Name in its certificate, where that isn't the host of `server`. */
  readonly serverName?: string
  readonly isInsecure?: boolean
  readonly ca?: string
  readonly certificate?: string
  readonly key?: string
  /** Value of the header Authorization. */
  readonly authorization?: string
}

export function parseServer(text: string, where: string): URL {
  const url = URL.parse(text)
  if (url === null || (url.protocol !== 'https:' && url.protocol !== 'http:')) {
    throw new ApiError('CREDENTIALS_UNUSABLE', `${where}: ${text} is not a URL such as https://10.0.0.1:6443`)
  }
  return url
}

/** The text of a file of credentials. */
export function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (cause) {
    const { code = String(cause) } = cause as NodeJS.ErrnoException
    throw new ApiError('CREDENTIALS_UNUSABLE', `cannot read ${path}: ${code}`, { cause })
  }
}
