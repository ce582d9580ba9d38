/** Comparing addresses as bytes, which is how packets carry them. Pure. */

/** True when the first `prefixLength` bits of both are the same. Addresses of different families never are. */
export function isInside(address: Uint8Array, network: Uint8Array, prefixLength: number): boolean {
  if (address.length !== network.length) return false
  const whole = prefixLength >> 3
  for (let i = 0; i < whole; i++) if (address[i] !== network[i]) return false
  const rest = prefixLength & 7
  return rest === 0 || (address[whole]! ^ network[whole]!) >> (8 - rest) === 0
}
