/** The command line of hack/test: which areas are wanted, or what is wrong with what was typed. Pure. */
import { parseArgs } from 'node:util'

export type Request =
  | { readonly verb: 'run'; readonly areas: readonly string[] }
  | { readonly verb: 'list' }
  /** Nothing more than looking at what was typed. */
  | { readonly verb: 'check' }

const HELP = 'hack/test --help tells what there is'

/** `known`: names of all areas. Throws an Error with one line for people. */
export function parseCommandLine(args: readonly string[], known: readonly string[]): Request {
  const { values, positionals } = parse(args)
  const areas = [...(values.only ?? []), ...positionals]
  const unknown = areas.filter((area) => !known.includes(area))
  if (unknown.length > 0)
    throw new Error(`there is no area ${unknown.join(', ')}: there are ${known.join(', ')}\n${HELP}`)
  if (values.list) return { verb: 'list' }
  return values.check ? { verb: 'check' } : { verb: 'run', areas: areas.length > 0 ? areas : known }
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        only: { type: 'string', multiple: true },
        list: { type: 'boolean' },
        check: { type: 'boolean' },
      },
    })
  } catch (error) {
    const [said] = (error as Error).message.split(/\. |\n/)
    throw new Error(`${said}\n${HELP}`)
  }
}
