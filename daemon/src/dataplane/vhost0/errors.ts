/** Every failure of the migration to vhost0 and back: stable code, message, and what the operator can do. */

interface Entry<V> {
  readonly message: (values: V) => string
  readonly remedy: string
}

function entry<V>(message: (values: V) => string, remedy: string): Entry<V> {
  return { message, remedy }
}

const TABLE = {
  VHOST_NIC_MISSING: entry(
    (v: { nic: string }) => `there is no network card ${v.nic}`,
    'Set underlay.interface to the network card that joins the nodes.',
  ),
  VHOST_NAME_TAKEN: entry(
    (v: { vhost: string; kind: string }) => `${v.vhost} exists already, and is a ${v.kind} instead of a TAP`,
    'Remove that device, or give vhost0 another name (underlay.vhost).',
  ),
  VHOST_DEVICE_FAILED: entry(
    (v: { vhost: string; reason: string }) => `cannot make ${v.vhost}: ${v.reason}`,
    'Check that /dev/net/tun exists (modprobe tun) and that the daemon has CAP_NET_ADMIN.',
  ),
  VHOST_SNAPSHOT_FAILED: entry(
    (v: { path: string; reason: string }) => `cannot write ${v.path}: ${v.reason}`,
    'Free space on, or make writable, the file system of paths.state. Without the record the migration is not begun.',
  ),
  VHOST_ATTACH_FAILED: entry(
    (v: { vhost: string; reason: string }) =>
      `the datapath isn't ready on ${v.vhost}, so the node stays on its network card: ${v.reason}`,
    'See the cause. The daemon tries again at its next start.',
  ),
  VHOST_MOVE_FAILED: entry(
    (v: { nic: string; vhost: string; reason: string }) =>
      `cannot move the node's addresses and routes from ${v.nic} to ${v.vhost} (all was put back): ${v.reason}`,
    'Report this with `ip -d address`, `ip route show table all` and the snapshot file of paths.state.',
  ),
  VHOST_GATEWAY_LOST: entry(
    (v: { address: string; vhost: string; seconds: number }) =>
      `${v.address} answered before the migration, and didn't within ${v.seconds} s on ${v.vhost}: all was put back`,
    'Look for MAC or port security on the switch or hypervisor, and for other programs on the network card (`bpftool net`). underlay.gateway names another address to watch, or none.',
  ),
  VHOST_RESTORE_FAILED: entry(
    (v: { nic: string; reason: string }) => `cannot put everything back on ${v.nic}: ${v.reason}`,
    'What could not be restored is in the log and in the snapshot file of paths.state; add it by hand.',
  ),
} as const

export type VhostErrorCode = keyof typeof TABLE
type Values<C extends VhostErrorCode> = Parameters<(typeof TABLE)[C]['message']>[0]

export class VhostError extends Error {
  override readonly name = 'VhostError'
  readonly code: VhostErrorCode
  readonly remedy: string

  private constructor(code: VhostErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
    this.remedy = TABLE[code].remedy
  }

  static of<C extends VhostErrorCode>(code: C, values: Values<C>, options?: ErrorOptions): VhostError {
    const { message } = TABLE[code] as unknown as Entry<Values<C>>
    return new VhostError(code, message(values), options)
  }
}
