{{/* Labels of every object. Call with a dict: root, component ("" for objects of no component). */}}
{{- define "virtualcluster.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
{{ include "virtualcluster.selector" . }}
{{- end }}

{{/* The labels by which a Deployment or Service finds its pods. */}}
{{- define "virtualcluster.selector" -}}
app.kubernetes.io/part-of: virtualcluster
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/name: {{ . }}
{{- end }}
{{- end }}

{{/* The components that are installed, as a JSON list. */}}
{{- define "virtualcluster.components" -}}
{{- $components := list "vc-manager" "syncer" "vn-agent" -}}
{{- if .Values.gateway.enabled -}}
{{- $components = append $components "vc-gateway" -}}
{{- end -}}
{{- toJson $components -}}
{{- end }}

{{/* Component name -> key of its values. */}}
{{- define "virtualcluster.valuesKey" -}}
{{- get (dict "vc-manager" "vcManager" "syncer" "syncer" "vn-agent" "vnAgent" "vc-gateway" "gateway") . -}}
{{- end }}

{{/* Component name -> kind of its configuration. */}}
{{- define "virtualcluster.configKind" -}}
{{- get (dict "vc-manager" "VCManagerConfiguration" "syncer" "SyncerConfiguration" "vn-agent" "VNAgentConfiguration" "vc-gateway" "GatewayConfiguration") . -}}
{{- end }}

{{/* The configuration file of a component. Call with a dict: root, component. */}}
{{- define "virtualcluster.config" -}}
{{- $values := index .root.Values (include "virtualcluster.valuesKey" .component) -}}
{{- $base := dict
      "apiVersion" "config.virtualcluster.io/v1alpha1"
      "kind" (include "virtualcluster.configKind" .component) -}}
{{- if ne .component "vc-gateway" -}}
{{- $_ := set $base "leaderElection" (dict "leaderElect" true "resourceNamespace" .root.Release.Namespace) -}}
{{- end -}}
{{- if eq .component "vc-manager" -}}
{{- $_ := set $base "platformNamespace" .root.Release.Namespace -}}
{{- else if eq .component "vn-agent" -}}
{{- $_ := set $base "platformNamespace" .root.Release.Namespace -}}
{{- else if and (eq .component "syncer") (gt (int $values.replicas) 1) -}}
{{- $_ := set $base "sharding" (dict "enabled" true) -}}
{{- end -}}
{{- toYaml (mergeOverwrite $base (deepCopy $values.config)) -}}
{{- end }}

{{/*
Rules of a component as JSON, {"rules": [...]}, as generated from the markers in
its code. Call with a dict: root, component, kind (ClusterRole or Role). No
rules of that kind give an empty list.
*/}}
{{- define "virtualcluster.rules" -}}
{{- $file := printf "files/rbac/%s.yaml" .component -}}
{{- $generated := .root.Files.Get $file -}}
{{- if not $generated -}}
{{- fail (printf "%s is missing or empty: run `make generate`" $file) -}}
{{- end -}}
{{- $rules := list -}}
{{- range $document := regexSplit "(?m)^---$" $generated -1 -}}
{{- $role := fromYaml $document -}}
{{- if eq (get $role "kind") $.kind -}}
{{- $rules = concat $rules $role.rules -}}
{{- end -}}
{{- end -}}
{{- dict "rules" $rules | toJson -}}
{{- end }}
