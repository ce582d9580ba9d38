{{/* Labels of every object. Takes [root, component]. */}}
{{- define "kube-vrouter.labels" -}}
{{- $root := index . 0 -}}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version }}
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
{{ include "kube-vrouter.selector" . }}
{{- with $root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels that select pods. They can't change from one version to the next. */}}
{{- define "kube-vrouter.selector" -}}
app.kubernetes.io/name: kube-vrouter
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "kube-vrouter.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{ .repository }}@{{ .digest }}
{{- else -}}
{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* URL of the API server; empty: as the pod's environment says. */}}
{{- define "kube-vrouter.server" -}}
{{- with .Values.k8sServiceHost -}}
{{- $host := ternary (printf "[%s]" .) . (and (contains ":" .) (not (hasPrefix "[" .))) -}}
https://{{ $host }}:{{ $.Values.k8sServicePort }}
{{- end -}}
{{- end }}

{{/* Where health and metrics are served, separated by commas: on the loopback in any case, for kubelet's probes. */}}
{{- define "kube-vrouter.healthAddresses" -}}
{{- $addresses := ternary .Values.metrics.addresses list .Values.metrics.enabled -}}
{{- if not (or (has "0.0.0.0" $addresses) (has "::" $addresses)) -}}
{{- $addresses = append $addresses "127.0.0.1" | uniq -}}
{{- end -}}
{{ join "," $addresses }}
{{- end }}

{{/* The daemon's and the controller's vrouter.yaml. */}}
{{- define "kube-vrouter.config" -}}
{{- $values := .Values -}}
{{- $healthAddresses := include "kube-vrouter.healthAddresses" . | splitList "," -}}
{{- $config := dict
  "cluster" (dict "name" $values.cluster.name "domain" $values.cluster.domain)
  "source" (dict "type" "kubernetes" "server" (include "kube-vrouter.server" .))
  "underlay" (dict "interface" $values.underlay.interface "gateway" $values.underlay.gateway "watchSeconds" $values.underlay.watchSeconds)
  "paths" (dict "state" $values.paths.state "run" $values.paths.run "cniConf" $values.cni.confPath "cniBin" $values.cni.binPath "sysctl" "/host/proc/sys")
  "cni" (dict "chained" $values.cni.chained "logFile" $values.cni.logFile)
  "introspect" (dict "addresses" $values.introspect.addresses "port" $values.introspect.port)
  "snat" (dict "enabled" $values.snat.enabled "ports" $values.snat.ports "linkLocal" $values.snat.linkLocal)
  "services" (dict "clusterIPRanges" $values.services.clusterIPRanges)
  "tunnels" (dict "peers" $values.tunnels.peers "oldPort" $values.tunnels.oldPort)
  "health" (dict "addresses" $healthAddresses "port" $values.health.port)
  "defaultNetwork" (dict "subnets" $values.ipam.podCIDRs)
  "log" (dict "level" $values.logLevel)
-}}
{{- mergeOverwrite $config (deepCopy $values.config) | toYaml -}}
{{- end }}

{{/* What a container may that works on the node's network; each one is there for something. */}}
{{- define "kube-vrouter.capabilities" -}}
allowPrivilegeEscalation: false
capabilities:
  drop: [ALL]
  add:
    - NET_ADMIN # devices, routes, tcx programs
    - BPF # maps and programs
    - PERFMON # programs that read packets
    - SYS_ADMIN # entering the network namespaces of pods
readOnlyRootFilesystem: true
{{- end }}

{{/* What the daemon, its preflight and the clean-up see of the host. */}}
{{- define "kube-vrouter.kernelMounts" -}}
- name: bpf
  mountPath: /sys/fs/bpf
  mountPropagation: HostToContainer
- name: tun
  mountPath: /dev/net/tun
- name: sysctl
  mountPath: /host/proc/sys/net
{{- end }}

{{- define "kube-vrouter.kernelVolumes" -}}
- name: bpf
  hostPath: {path: /sys/fs/bpf, type: Directory}
- name: tun
  hostPath: {path: /dev/net/tun, type: CharDevice}
- name: sysctl
  hostPath: {path: /proc/sys/net, type: Directory}
{{- end }}
