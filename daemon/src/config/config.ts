/**
 * The daemon's configuration: one YAML file, every key of which can be overridden by an environment variable
 * (`VROUTER_UNDERLAY_INTERFACE` for `underlay.interface`). schema.json is the published schema; load.ts reads and checks.
 */

export interface Config {
  /** Node name; default: the host name, lower case. */
  readonly node: string
  readonly cluster: { readonly name: string; readonly domain: string }
  readonly source: {
    readonly type: 'directory' | 'kubernetes'
    /** directory: the folder. */
    readonly path: string
    /** kubernetes: a kubeconfig file; empty: the pod's service account. */
    readonly kubeconfig: string
    /** kubernetes: URL of the API server, `https://10.0.0.1:6443`; empty: as the kubeconfig or the environment says. */
    readonly server: string
  }
  readonly underlay: {
    /** Fabric NIC; default: the one with the default route. */
    readonly interface: string
    /** Names of the devices that the daemon makes. */
    readonly vhost: string
    readonly agent: string
    /** Seconds to watch the gateway after the migration before it is kept. */
    readonly watchSeconds: number
    /** Gateway to watch; `auto` = the default route's; `none` = don't watch. */
    readonly gateway: string
  }
  readonly paths: {
    /** Records, ids, snapshots: survives reboots. */
    readonly state: string
    /** cni.sock lives here. */
    readonly run: string
    /** Folder in a bpffs. */
    readonly pins: string
    /** Folder of *.bpf.o. */
    readonly objects: string
    /** Where the conflist is written; empty: not written. */
    readonly cniConf: string
    /** Where the runtime's plugins lie: those of cni.chained are asked there which versions they speak. */
    readonly cniBin: string
    /** Where /proc/sys can be written. */
    readonly sysctl: string
  }
  /** What the conflist says besides our own plugin. */
  readonly cni: {
    /** Log file of the CNI binary; empty: it writes none, and tells the daemon of failures. */
    readonly logFile: string
    /** Plugins of others behind ours: portmap, bandwidth, tuning. */
    readonly chained: readonly ('portmap' | 'bandwidth' | 'tuning')[]
  }
  /** The REST API of Contrail's agent, for Contrail's own CNI plugin and tools. */
  readonly portApi: {
    readonly rest: {
      readonly enabled: boolean
      readonly address: string
      readonly port: number
      /** Where ports are kept as files; those of pods lie in its folder `vm`. */
      readonly portsDir: string
      /** Seconds from /syncports until ports that were not added again are removed; 0: never. */
      readonly staleSeconds: number
    }
  }
  readonly introspect: { readonly addresses: readonly string[]; readonly port: number }
  readonly limits: {
    readonly vifs: number
    readonly vrfs: number
    readonly nexthops: number
    readonly labels: number
    readonly routes: number
    /** Ports of Services. */
    readonly services: number
    /** Endpoints that they choose from. */
    readonly backends: number
    readonly flows4: number
    readonly flows6: number
    readonly flowsPerVif: number
    /** Packets per second and vif that may be trapped to the daemon. */
    readonly trapRate: number
    readonly trapBurst: number
  }
  readonly ageing: { readonly tcpSeconds: number; readonly otherSeconds: number }
  /** Pods that speak to addresses outside the cluster do so with the node's address. */
  readonly snat: {
    /** For VNs that don't say (`spec.fabricSNAT`). */
    readonly enabled: boolean
    /** Source ports and ICMP identifiers for it, `61000-65535`. */
    readonly ports: string
    /** Devices other than the underlay's by which it leaves, too; `auto` among them: hardware, VLANs, bonds and teams. */
    readonly interfaces: readonly string[]
    /** To link-local services, such as a cloud's metadata, too. */
    readonly linkLocal: boolean
  }
  readonly services: {
    /** Cluster IPs: what isn't a pod's there isn't outside either. */
    readonly clusterIPRanges: readonly string[]
    /** Whether Services are reached at what their owners write there. */
    readonly externalIPs: boolean
  }
  readonly tunnels: {
    /** IPv4 addresses, beside those of the nodes, from which tunnels are taken: gateways. */
    readonly peers: readonly string[]
    /** Tunnels are taken at UDP port 51234, too. */
    readonly oldPort: boolean
    /** DSCP of outer headers: `copy` (that of the packet inside), or 0 to 63. */
    readonly dscp: 'copy' | number
  }
  /** `/healthz`, `/readyz`, `/metrics`: for kubelet's probes and Prometheus. Port 0: not served. */
  readonly health: { readonly addresses: readonly string[]; readonly port: number }
  readonly defaultNetwork: {
    /** Subnets of the default pod VN; empty: no default network, namespaces must name one. */
    readonly subnets: readonly string[]
  }
  readonly log: { readonly level: 'trace' | 'debug' | 'info' | 'warn' | 'error' }
}
