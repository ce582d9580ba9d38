/**
 * Who made a route or a managed neighbour (`ip route`, `ip neigh` print `proto 118`): the letter v, not used in iproute2's rt_protos. That is how a
 * daemon with no memory knows its own.
 */
export const VROUTER_PROTOCOL = 118

/** On vhost0, a copy of a route that the kernel learnt from a router advertisement on the NIC. */
export const ADVERTISED_COPY_PROTOCOL = 119
