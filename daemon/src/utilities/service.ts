/** `service`: where Services are reached, which endpoints they choose from, and how often they did. */
import { addressFamily, formatAddress, parseAddress } from '@kube-vrouter/linux/address'
import { announcedKey } from '../maps/announced.ts'
import {
  backsOf,
  compareFronts,
  type KernelFront,
  listFronts,
  listRanges,
  type ServiceTables,
} from '../maps/services.ts'
import { responseError, usageError } from './errors.ts'
import {
  type FrontDetails,
  type FrontView,
  formatService,
  formatServices,
  type ServiceCounts,
  type ServiceDetails,
} from './format-service.ts'
import { numberOption, type Request, requireVerb, type Tool } from './tool.ts'

const usage = `Usage: service --dump [--vrf <vrf>]
       service --get <service>
       service --address <address> [--vrf <vrf>]
       service --help

--dump       Dumps the fronts of services: where they are reached
--get        Dumps the service port with the number <service>, with its backs
--address    Dumps what is reached at <address>, with its backs
--vrf        Of the service network, 0: the underlay (default: all)
--json       Prints JSON
--pins DIR   Folder of the vRouter's pins (default: VROUTER_PINS)
--help       Displays this help message
`

export const tool: Tool = {
  name: 'service',
  usage,
  usageStatus: 1,
  options: [
    { long: 'dump', short: 'b' },
    { long: 'get', short: 'g', takesValue: true },
    { long: 'address', short: 'a', takesValue: true },
    { long: 'vrf', short: 'v', takesValue: true },
    { long: 'help', short: 'h' },
  ],
  run,
}

const NOTHING_COUNTED: ServiceCounts = { connections: 0n, refused: 0n, dropped: 0n }

async function run(request: Request): Promise<void> {
  const verb = requireVerb(tool, request, ['dump', 'get', 'address'])
  const vrf = numberOption(tool, request, 'vrf')
  const service = numberOption(tool, request, 'get')
  const address = addressOption(request.options.get('address'))
  const { services, announced } = request.maps()
  const fronts: (KernelFront & Pick<FrontView, 'isAnnounced'>)[] = []
  for await (const slice of listFronts(services)) {
    fronts.push(
      ...slice.filter(
        (front) =>
          (vrf === undefined || front.vrf === vrf) &&
          (service === undefined || front.service === service) &&
          (address === undefined || front.address === address),
      ),
    )
  }
  fronts.sort(compareFronts)
  for (const [at, front] of fronts.entries())
    if (front.vrf === 0 && announced.get(announcedKey(front.address)) !== undefined)
      fronts[at] = { ...front, isAnnounced: true }
  const countsOf = (id: number) => services.stats.get(id) ?? NOTHING_COUNTED
  if (verb === 'dump') {
    const rows = fronts.map((front) => ({ ...front, ...countsOf(front.service) }))
    if (request.isJson) request.printJson({ fronts: rows })
    else request.print(formatServices(rows))
    return
  }
  if (fronts.length === 0) throw responseError('ENOENT')
  const found = await detailsOf(services, fronts, countsOf)
  if (request.isJson) request.printJson({ services: found })
  else request.print(found.map(formatService).join(''))
}

function addressOption(text: string | undefined): string | undefined {
  if (text === undefined) return undefined
  if (addressFamily(text) === undefined) throw usageError(`service: --address must be an address, not '${text}'`)
  return formatAddress(parseAddress(text))
}

async function detailsOf(
  services: ServiceTables,
  fronts: readonly KernelFront[],
  countsOf: (service: number) => ServiceCounts,
): Promise<ServiceDetails[]> {
  const byService = Map.groupBy(fronts, ({ service }) => service)
  const sources = new Map<number, string[]>([...byService.keys()].map((service) => [service, []]))
  for await (const slice of listRanges(services))
    for (const { service, source } of slice) sources.get(service)?.push(source)
  return [...byService].map(([service, own]) => ({
    service,
    ...countsOf(service),
    fronts: own.map((front): FrontDetails => {
      const family = addressFamily(front.address)!
      return {
        ...front,
        insideBacks: backsOf(services, front.inside, family),
        outsideBacks: backsOf(services, front.outside, family),
      }
    }),
    sources: sources.get(service)!.sort(),
  }))
}
