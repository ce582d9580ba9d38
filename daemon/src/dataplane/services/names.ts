/** What a port of a Service, or a host port, is called in messages. Pure. */
import type { ServicePortName } from '../../model/tables.ts'

/** Such as `Service default/web, port http (IPv4)`. */
export function describeService({ namespace, name, port, family, isPod }: ServicePortName): string {
  if (isPod) return `Pod ${namespace}/${name}, host port ${port} (IPv${family})`
  return `Service ${namespace}/${name}${port === '' ? '' : `, port ${port}`} (IPv${family})`
}
