/** What a node of a lab is made of, as texts: its first process's script, and the configuration of containerd, kubelet and kube-proxy. */
import { join } from 'node:path'
import { clusterDns, clusterRanges, type NodePaths, outside, repository, tools, underlay } from './layout.ts'

export interface NodeOptions {
  /** Name of the lab's cgroups. */
  readonly cgroup: string
  readonly containerd: 1 | 2
  readonly dualStack: boolean
  readonly kubeProxy: boolean
}

export const pauseImage = 'registry.k8s.io/pause:3.10'

/** On every node, in its own /etc. */
export const nodeFiles = {
  containerd: '/etc/containerd/config.toml',
  kubelet: '/etc/kubernetes/kubelet.yaml',
  kubeconfig: '/etc/kubernetes/kubelet.kubeconfig',
  proxy: '/etc/kubernetes/proxy.yaml',
  proxyKubeconfig: '/etc/kubernetes/proxy.kubeconfig',
  authority: '/etc/kubernetes/ca.crt',
  resolv: '/etc/kubernetes/resolv.conf',
} as const

/** The disk's folders; `etc` is laid over the machine's /etc. */
export const diskFolders = ['etc', 'etc.work', 'opt', 'var-lib', 'var-log', 'hold'] as const

/** PATH on a node: Kubernetes' programs, the containerd that is meant, our own tools. */
export function nodePath(containerd: 1 | 2): string {
  const folders = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']
  return [
    ...(containerd === 2 ? [tools.containerd2] : []),
    tools.bin,
    join(repository, 'daemon/dist/bin'),
    ...folders,
  ].join(':')
}

/**
 * The node's number 1. At its start /proc is the lab's, where 1 is the holder: by that it reaches the fabric. Everything that a machine keeps over a
 * reboot lies on the disk; /run, bpffs, interfaces and sysctls are new each time.
 */
export function initScript(node: NodePaths, options: NodeOptions): string {
  const { disk, name } = node
  const address = options.dualStack ? `${node.address4},${node.address6}` : node.address4
  return `set -eu
hostname ${name}
# As a machine has it before Kubernetes comes: an interface with addresses and default routes.
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv6.conf.default.accept_dad=0
ip link set lo up
# After a power loss the fabric's end of the old cable may linger for a moment.
nsenter --net=/proc/1/ns/net ip link delete ${name} 2>/dev/null || true
ip link add eth0 address ${node.mac} type veth peer name ${name} netns /proc/1/ns/net
nsenter --net=/proc/1/ns/net ip link set ${name} master br0 up
ip address add ${node.address4}/24 broadcast + dev eth0
ip -6 address add ${node.address6}/64 dev eth0 nodad
ip link set eth0 up
ip route add default via ${underlay.api4}
ip -6 route add default via ${underlay.api6}

mount -t proc proc /proc
# Its own /sys (who mounts it decides which interfaces are in it) with the machine's cgroups, and a bpffs.
mount --rbind /sys/fs/cgroup ${disk}/hold
mount -t sysfs sysfs /sys
mount --rbind ${disk}/hold /sys/fs/cgroup
mount -t bpf bpf /sys/fs/bpf
umount -l ${disk}/hold
# The machine's /usr with the Debian packages that this lab needs, and its /etc with the node's own files.
mount -t overlay -o lowerdir=${tools.debian}/usr:/usr overlay /usr
mount -t overlay -o lowerdir=/etc,upperdir=${disk}/etc,workdir=${disk}/etc.work overlay /etc
mount --bind ${disk}/opt /opt
mount --bind ${disk}/var-log /var/log
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/containerd /run/netns /run/lock /run/tmp
mount --bind ${disk}/var-lib /var/lib
# A machine that boots has another boot id. Here all have that of the one below, and a network namespace may get the number of the one before.
rm -f /var/lib/vrouter/vhost0-snapshot.json
mkdir -p /var/lib/containerd /var/lib/kubelet /var/lib/cni /var/lib/kube-proxy /var/log/pods /var/log/containers /opt/cni/bin
mount --make-rshared /

# Programs that are killed leave temporary files: they go with the node.
export PATH=${nodePath(options.containerd)} HOME=/root TMPDIR=/run/tmp
cd /
# What systemd does on a machine: start again what ends.
keep() {
  log=/var/log/$1.log
  shift
  while :; do
    "$@" >>$log 2>&1 || echo "$1 ended with $?" >>$log
    sleep 0.5
  done
}
keep containerd containerd --config ${nodeFiles.containerd} &
keep kubelet kubelet --config=${nodeFiles.kubelet} --kubeconfig=${nodeFiles.kubeconfig} --hostname-override=${name} --node-ip=${address} --v=2 &
${options.kubeProxy ? `keep kube-proxy kube-proxy --config=${nodeFiles.proxy} --v=2 &\n` : ''}set +e
echo up
# Orphans become children of number 1, and waiting takes them away.
while :; do sleep 3600 & wait $!; done
`
}

/** For containerd 1.6; containerd 2 reads it too and translates it by itself. */
export function containerdConfig(): string {
  return `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = 0
[grpc]
  address = "/run/containerd/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${pauseImage}"
  disable_apparmor = true
  # Without CAP_SYS_RESOURCE (as in a container) the kernel refuses the pause container's oom_score_adj, and runc dies of it.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
`
}

export function kubeletConfig(node: NodePaths, { cgroup }: NodeOptions): string {
  return `apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /${cgroup}/${node.name}
enforceNodeAllocatable: []
failSwapOn: false
failCgroupV1: false
clusterDNS: [${clusterDns.ip4}]
clusterDomain: cluster.local
resolvConf: ${nodeFiles.resolv}
maxPods: 250
registryPullQPS: 0
eventRecordQPS: 0
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: "0%", nodefs.available: "0%", nodefs.inodesFree: "0%", imagefs.available: "0%"}
nodeStatusUpdateFrequency: 5s
`
}

/** Its conntrack settings are none: they can't be written in a network namespace of its own. */
export function proxyConfig(node: NodePaths, { dualStack }: NodeOptions): string {
  return `apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
mode: nftables
clientConnection: {kubeconfig: ${nodeFiles.proxyKubeconfig}}
clusterCIDR: "${clusterRanges(dualStack).pods}"
hostnameOverride: ${node.name}
conntrack: {maxPerCore: 0, min: 0, tcpEstablishedTimeout: 0s, tcpCloseWaitTimeout: 0s}
healthzBindAddress: 0.0.0.0:10256
metricsBindAddress: 127.0.0.1:10249
`
}

export const resolvConf = `nameserver ${outside.address4}\n`
