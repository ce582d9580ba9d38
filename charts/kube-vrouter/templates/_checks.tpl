{{/* What the schema of the values can't tell: it compares nothing. The daemons would refuse the same, over and over. */}}
{{- define "kube-vrouter.checks" -}}
{{- $config := include "kube-vrouter.config" . | fromYaml -}}
{{- $ports := splitList "-" $config.snat.ports -}}
{{- range (ternary (list 6635 4789 51234) (list 6635 4789) $config.tunnels.oldPort) -}}
{{- if and (le (int (first $ports)) .) (le . (int (last $ports))) -}}
{{- fail (printf "snat.ports: %s holds %d, a port of tunnels between nodes" $config.snat.ports .) -}}
{{- end -}}
{{- end -}}
{{- if gt (int (first $ports)) (int (last $ports)) -}}
{{- fail (printf "snat.ports: %s has its larger port first" $config.snat.ports) -}}
{{- end -}}
{{- include "kube-vrouter.checkSubnets" $config.defaultNetwork.subnets -}}
{{- range $field, $addresses := dict "introspect.addresses" $config.introspect.addresses "metrics.addresses" $config.health.addresses -}}
{{- range $addresses -}}
{{- $groups := include "kube-vrouter.groups" (list $field .) -}}
{{- end -}}
{{- end -}}
{{- with .Values.k8sServiceHost | trimPrefix "[" | trimSuffix "]" -}}
{{- if contains ":" . -}}
{{- $groups := include "kube-vrouter.groups" (list "k8sServiceHost" .) -}}
{{- end -}}
{{- end -}}
{{/* All of them listen on the node. */}}
{{- $taken := dict -}}
{{- range list (list "health.port" $config.health.port) (list "introspect.port" $config.introspect.port) (list "controller.health.port" .Values.controller.health.port) -}}
{{- $port := index . 1 | int | toString -}}
{{- if and (ne $port "0") (hasKey $taken $port) -}}
{{- fail (printf "%s: %s is %s already; they share the nodes' ports" (index . 0) $port (get $taken $port)) -}}
{{- end -}}
{{- $_ := set $taken $port (index . 0) -}}
{{- end -}}
{{- end }}

{{/* Subnets of one network: their host bits are zero, and none lies in another. */}}
{{- define "kube-vrouter.checkSubnets" -}}
{{- $subnets := . -}}
{{- range $index, $subnet := $subnets -}}
{{- if hasSuffix "!" (include "kube-vrouter.network" (list $subnet 128)) -}}
{{- fail (printf "ipam.podCIDRs: %s is no network: the bits behind its prefix aren't zero" $subnet) -}}
{{- end -}}
{{- range $other := slice $subnets 0 $index -}}
{{- $shorter := min (splitList "/" $subnet | last | int) (splitList "/" $other | last | int) -}}
{{- if eq (include "kube-vrouter.network" (list $subnet $shorter) | trimSuffix "!") (include "kube-vrouter.network" (list $other $shorter) | trimSuffix "!") -}}
{{- fail (printf "ipam.podCIDRs: %s and %s overlap" $other $subnet) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* Takes [subnet, most bits]: its address without the bits behind its prefix, or behind `most`; with a `!` at the end where such bits aren't zero. */}}
{{- define "kube-vrouter.network" -}}
{{- $parts := splitList "/" (index . 0) -}}
{{- $length := min (last $parts | int) (index . 1) -}}
{{- $mark := "" -}}
{{- range $index, $group := include "kube-vrouter.groups" (list "ipam.podCIDRs" (first $parts)) | splitList "," -}}
{{- $step := 1 -}}
{{- range until (int (sub 16 (min 16 (max 0 (sub $length (mul 16 $index)))))) -}}{{- $step = mul 2 $step -}}{{- end -}}
{{- if ne (mod (int64 $group) $step) 0 -}}{{- $mark = "!" -}}{{- end -}}
{{ div (int64 $group) $step }},
{{- end -}}
{{ $mark }}
{{- end }}

{{/* Takes [field, address]: the address as numbers of 16 bits with commas between, two for IPv4 and eight for IPv6. */}}
{{- define "kube-vrouter.groups" -}}
{{- $field := index . 0 -}}
{{- $address := index . 1 -}}
{{- $groups := list -}}
{{- if contains ":" $address -}}
{{- $halves := splitList "::" $address -}}
{{- range $index, $half := $halves -}}
{{- if eq $index 1 -}}
{{- $there := 0 -}}
{{- range $halves -}}{{- if . -}}{{- $there = add $there (len (splitList ":" .)) -}}{{- end -}}{{- end -}}
{{- range until (max 0 (sub 8 $there) | int) -}}{{- $groups = append $groups "0" -}}{{- end -}}
{{- end -}}
{{- if $half -}}{{- $groups = concat $groups (splitList ":" $half) -}}{{- end -}}
{{- end -}}
{{- $isWrong := or (ne (len $groups) 8) (gt (len $halves) 2) -}}
{{- range $groups -}}{{- if not (regexMatch "^[0-9A-Fa-f]{1,4}$" .) -}}{{- $isWrong = true -}}{{- end -}}{{- end -}}
{{- if $isWrong -}}
{{- fail (printf "%s: %s is no IPv6 address" $field $address) -}}
{{- end -}}
{{- range $index, $group := $groups -}}
{{ if $index }},{{ end }}{{ int64 (printf "0x%s" $group) }}
{{- end -}}
{{- else -}}
{{- $octets := splitList "." $address -}}
{{- add (mul 256 (index $octets 0 | int)) (index $octets 1 | int) }},{{ add (mul 256 (index $octets 2 | int)) (index $octets 3 | int) -}}
{{- end -}}
{{- end }}
