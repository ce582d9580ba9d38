/**
 * Every failure that the daemon as a whole can report: stable code, message, and what the operator can do. (The port API and the
 * sources have tables of their own.)
 */

import { CodedError } from './ground/coded-error.ts'

interface Entry<V> {
  readonly message: (values: V) => string
  readonly remedy: string
}

function entry<V>(message: (values: V) => string, remedy: string): Entry<V> {
  return { message, remedy }
}

const TABLE = {
  NOT_PERMITTED: entry(
    (v: { attempted: string }) => `${v.attempted} isn't permitted`,
    'Run the daemon as root, or with CAP_BPF, CAP_NET_ADMIN, CAP_SYS_ADMIN and CAP_PERFMON; in a pod: securityContext.privileged.',
  ),
  KERNEL_TOO_OLD: entry(
    (v: { release: string }) => `kernel ${v.release} is older than 6.6`,
    'Boot a kernel of version 6.6 or later: the datapath attaches through tcx, which older ones lack.',
  ),
  PINS_NOT_BPFFS: entry(
    (v: { path: string }) => `${v.path} isn't in a bpf file system`,
    'Mount one (mount -t bpf bpf /sys/fs/bpf), or point paths.pins into one. `ip netns exec` hides /sys/fs/bpf: use nsenter --net.',
  ),
  OBJECTS_MISSING: entry(
    (v: { path: string }) => `the datapath object ${v.path} doesn't exist`,
    'Build it (npm run build:datapath), or point paths.objects at the folder of *.bpf.o files.',
  ),
  OBJECT_REJECTED: entry(
    (v: { object: string; reason: string }) => `cannot load ${v.object}: ${v.reason}`,
    'Report this with the verifier log (log.level: debug) and `uname -r`.',
  ),
  LIBBPF_MISSING: entry(
    (v: { reason: string }) => `libbpf.so.1 can't be loaded: ${v.reason}`,
    'Install libbpf (Debian: apt install libbpf1).',
  ),
  MAP_CREATE_FAILED: entry(
    (v: { map: string; entries: number; reason: string }) =>
      `cannot make map ${v.map} of ${v.entries} entries: ${v.reason}`,
    'Lower the limits in the configuration, or give the daemon more memory.',
  ),
  ATTACH_FAILED: entry(
    (v: { program: string; device: string; reason: string }) =>
      `cannot attach program ${v.program} to ${v.device}: ${v.reason}`,
    'See `bpftool net show`: another program may hold the device exclusively. The daemon keeps trying.',
  ),
  UNDERLAY_MISSING: entry(
    (v: { wanted: string }) => `there is no fabric interface ${v.wanted}`,
    'Set underlay.interface to the network card that joins the nodes.',
  ),
  UNDERLAY_NO_ADDRESS: entry(
    (v: { device: string }) => `${v.device} has no IPv4 address`,
    'Give the fabric interface the address of the node before the daemon starts.',
  ),
  DEVICE_FAILED: entry(
    (v: { device: string; reason: string }) => `cannot make or change device ${v.device}: ${v.reason}`,
    'Check that /dev/net/tun exists and that no other program uses the name.',
  ),
  STATE_NOT_WRITABLE: entry(
    (v: { path: string; reason: string }) => `cannot write ${v.path}: ${v.reason}`,
    'Free space on, or make writable, the file system of paths.state. Until then ids may change at the next restart.',
  ),
  STATE_CORRUPT: entry(
    (v: { path: string; reason: string; aside: string }) =>
      `${v.path} can't be used (${v.reason}) and was moved to ${v.aside}`,
    'Nothing needs doing: ids are taken over from the running datapath. Look for a failing disk if this repeats.',
  ),
  DAEMON_RUNNING: entry(
    (v: { what: string; holder: string }) => `another daemon has ${v.what}: ${v.holder}`,
    'Stop the daemon of this node first; the network goes on without it. In a cluster it is the container of the DaemonSet. A second vRouter on one machine needs paths.pins, paths.state and paths.run of its own.',
  ),
  DATAPLANE_FAILED: entry(
    (v: { reason: string }) => `the node can't be programmed: ${v.reason}`,
    'See the errors logged before this one.',
  ),
  VHOST_NIC_MISSING: entry(
    (v: { nic: string }) => `there is no network card ${v.nic}`,
    'Set underlay.interface to the network card that joins the nodes.',
  ),
  VHOST_NAME_TAKEN: entry(
    (v: { vhost: string; kind: string }) => `${v.vhost} exists already, and is a ${v.kind} that isn't ours`,
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
  CNI_FOLDER_NOT_WRITABLE: entry(
    (v: { file: string; reason: string }) => `cannot install ${v.file}: ${v.reason}`,
    "Name the folder of CNI plugins that the container runtime uses and that can be written (chart: cni.binPath); where the host's image has the same binary baked in: cni.skipBinaries.",
  ),
  CNI_FOLDER_NOEXEC: entry(
    (v: { folder: string }) => `nothing in ${v.folder} can be executed: it is mounted noexec`,
    'Mount it without noexec, or give the container runtime another folder of plugins (chart: cni.binPath).',
  ),
  CNI_PLUGIN_UNUSABLE: entry(
    (v: { file: string; reason: string }) => `the CNI binary can't be made of ${v.file}: ${v.reason}`,
    'The image is incomplete or damaged: fetch or build it again.',
  ),
  TABLE_FULL: entry(
    (v: { table: string; max: number }) => `table ${v.table} is full (${v.max} entries)`,
    'Raise the limit in the configuration and restart the daemon.',
  ),
} as const

export type ErrorCode = keyof typeof TABLE
type Values<C extends ErrorCode> = Parameters<(typeof TABLE)[C]['message']>[0]

export class VrouterError extends CodedError<ErrorCode> {
  override readonly name = 'VrouterError'

  static of<C extends ErrorCode>(code: C, values: Values<C>, options?: ErrorOptions): VrouterError {
    const { message } = TABLE[code] as unknown as Entry<Values<C>>
    return new VrouterError(code, message(values), TABLE[code].remedy, options)
  }
}

export function remedyOf(code: ErrorCode): string {
  return TABLE[code].remedy
}

/** The message of whatever was thrown. */
export function reasonOf(error: unknown): string {
  return Error.isError(error) ? error.message : String(error)
}
