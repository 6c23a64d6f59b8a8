{{- define "nearside.name" -}}
{{- .Values.nameOverride | default .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "nearside.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains (include "nearside.name" .) .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "nearside.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "nearside.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "nearside.fullname" .) -}}
{{- end -}}

{{- define "nearside.selector" -}}
app.kubernetes.io/name: {{ include "nearside.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: node
{{- end -}}

{{- define "nearside.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
app.kubernetes.io/name: {{ include "nearside.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "nearside.image" -}}
{{- $repository := required "image.repository is missing; push the image that Dockerfile builds, and name it: --set image.repository=registry.example/nearside" .Values.image.repository -}}
{{- if not (contains "@" $repository) -}}
{{- printf "%s:%s" $repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- else if .Values.image.tag -}}
{{- fail "image.repository has a digest, so image.tag would have no effect; leave it empty" -}}
{{- else -}}
{{- $repository -}}
{{- end -}}
{{- end -}}

{{- define "nearside.region" -}}
{{- required "region is missing; write that of your tables: --set region=eu-central-1" .Values.region -}}
{{- end -}}

{{/* Ports outside of the cluster's names: HTTPS for AWS and its tokens, those of the URLs, and the operator's own. */}}
{{- define "nearside.egressPorts" -}}
{{- $ports := list 443 -}}
{{- if ne .Values.upstream "aws" -}}
{{- $ports = append $ports (include "nearside.portOf" (list .Values.upstream (hasPrefix "https:" .Values.upstream | ternary 443 80)) | int) -}}
{{- end -}}
{{- if .Values.fleet.enabled -}}
{{- $ports = append $ports (include "nearside.portOf" (list .Values.fleet.url 6379) | int) -}}
{{- end -}}
{{- range .Values.shared.networkPolicy.egressPorts }}{{ $ports = append $ports (int .) }}{{ end -}}
{{- $ports | uniq | toJson -}}
{{- end -}}

{{/* The port of a URL, or the second value. */}}
{{- define "nearside.portOf" -}}
{{- $host := regexReplaceAll "^[a-z]+://([^/?#]*).*$" (index . 0) "${1}" -}}
{{- regexFind ":[0-9]+$" $host | trimPrefix ":" | default (index . 1) -}}
{{- end -}}
