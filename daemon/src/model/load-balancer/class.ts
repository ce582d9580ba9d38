/** What Services say to get an address from us. */
export const LOAD_BALANCER_CLASS = 'vrouter.dev/load-balancer'

/** Addresses that the Service wants, separated by commas: one of each family at most. */
export const ADDRESSES_ANNOTATION = 'vrouter.dev/load-balancer-ips'

/** Services of one namespace that give the same key may share an address, as long as their ports differ. */
export const SHARING_ANNOTATION = 'vrouter.dev/load-balancer-sharing-key'
