/** Which ranges a cluster's Services have their addresses of: what its ServiceCIDRs say, or else the configuration. */
import type { Cidr } from '../../model/objects.ts'

/** Sorted, each once. */
export function serviceRanges(ofObjects: readonly Cidr[], configured: readonly Cidr[]): readonly Cidr[] {
  return [...new Set(ofObjects.length > 0 ? ofObjects : configured)].sort()
}
