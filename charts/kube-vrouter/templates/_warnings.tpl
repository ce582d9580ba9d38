{{/* What in the values works, but probably not as meant. */}}
{{- define "kube-vrouter.warnings" -}}
{{- if not .Values.k8sServiceHost }}
- k8sServiceHost is empty: daemons find the API server by the address of the Service "kubernetes", which works only where kube-proxy, or
  something in its place, runs before there is a network. Set k8sServiceHost and k8sServicePort to an address of the API server itself.
{{- end }}
{{- if not .Values.ipam.podCIDRs }}
- ipam.podCIDRs is empty: pods whose namespace names no network can't start.
{{- end }}
{{- if and .Values.metrics.serviceMonitor.enabled (not .Values.metrics.enabled) }}
- metrics.serviceMonitor.enabled has no effect without metrics.enabled.
{{- end }}
{{- if eq .Values.image.tag "latest" }}
- image.tag is "latest": nodes may run different versions. Name a version, or better a digest.
{{- end }}
{{- if not .Values.cleanup.enabled }}
- cleanup.enabled is off: after `helm uninstall` nodes keep programs, vhost0 and the CNI configuration. `vrouter uninstall-node` on each
  of them removes all that.
{{- end }}
{{- if and .Values.crds.install (not .Values.crds.keep) }}
- crds.keep is off: `helm uninstall` deletes the CRDs, and with them every network of every tenant.
{{- end }}
{{- if lt (int .Values.controller.replicas) 2 }}
- controller.replicas is {{ .Values.controller.replicas }}: while its node is away nobody looks after networks, blocks and taints. Traffic isn't affected.
{{- end }}
{{- if .Values.vrouter.privileged }}
- vrouter.privileged is on: the daemon has more rights than it needs.
{{- end }}
{{- if and .Values.cni.skipBinaries .Values.cleanup.enabled }}
- cni.skipBinaries is on: the CNI binary stays on the nodes when kube-vrouter is uninstalled.
{{- end }}
{{- end }}
