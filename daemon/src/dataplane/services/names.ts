/** What a port of a Service is called in messages. Pure. */
import type { ServicePortName } from '../../model/tables.ts'

/** Such as `Service default/web, port http (IPv4)`. */
export function describeService({ namespace, name, port, family }: ServicePortName): string {
  return `Service ${namespace}/${name}${port === '' ? '' : `, port ${port}`} (IPv${family})`
}
