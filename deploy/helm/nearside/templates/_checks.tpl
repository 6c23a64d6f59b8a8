{{/* Values that do not fit each other are an error here, before anything is installed. The schema sees one value at a time. */}}
{{- define "nearside.check" -}}
{{- include "nearside.checkMemory" . -}}
{{- $config := include "nearside.effectiveConfig" . -}}
{{- if regexMatch "(?m)^\\s*(server\\.)?drain_timeout\\s*=" $config -}}
{{- fail "config has drain_timeout; set drainSeconds instead, so that the pod's terminationGracePeriodSeconds goes with it" -}}
{{- end -}}
{{- range .Values.env -}}
{{- if has .name (list "NEARSIDE_CONFIG" "NEARSIDE_UPSTREAM" "NEARSIDE_LISTEN" "NEARSIDE_ADMIN_LISTEN" "NEARSIDE_AUTH_MODE" "NEARSIDE_FLEET_URL" "NEARSIDE_CACHE_MAX_BYTES" "NEARSIDE_SERVER_BODIES_BYTES_MAX" "NEARSIDE_SERVER_DRAIN_TIMEOUT" "NEARSIDE_SERVER_TLS_LISTEN" "AWS_REGION") -}}
{{- fail (printf "env has %s, which other values of the chart set: ports, times and the limit of memory go with it" .name) -}}
{{- end -}}
{{- end -}}
{{- range $label := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart" -}}
{{- if hasKey $.Values.podLabels $label -}}
{{- fail (printf "podLabels has %s, by which the chart's own objects find the pods; choose another label" $label) -}}
{{- end -}}
{{- end -}}
{{- if eq .Values.mode "shared" -}}
{{- include "nearside.checkShared" (dict "Values" .Values "config" $config) -}}
{{- end -}}
{{- end -}}

{{- define "nearside.checkShared" -}}
{{- if or .Values.fleet.enabled (not .Values.shared.acceptUnauthenticated) -}}
{{- $secret := required "secretName is missing; create the secret first: kubectl create secret generic nearside --from-literal=shop-1=$(openssl rand -base64 30) --from-literal=admin-token=$(openssl rand -hex 32) --from-literal=fleet-secret=$(openssl rand -hex 32) --from-file=bus-password=FILE, then --set secretName=nearside" .Values.secretName -}}
{{- end -}}
{{- if not .Values.shared.acceptUnauthenticated -}}
{{- $config := required "config is missing; mode \"shared\" verifies its callers, so write [auth] with mode = \"sigv4\", and [[auth.keys]]: --set-file config=nearside.toml" .Values.config -}}
{{- if not (regexMatch "mode\\s*=\\s*[\"']sigv4[\"']" .config) -}}
{{- fail "config has no auth.mode = \"sigv4\"; write it with a key for each caller, or set shared.acceptUnauthenticated=true to serve everybody who reaches the port" -}}
{{- end -}}
{{- end -}}
{{- if and (not .Values.fleet.enabled) (regexMatch "rediss?://" .config) -}}
{{- fail "config has the URL of a bus, and fleet.enabled is false; set fleet.enabled=true and fleet.url, so that the network policy lets the nodes reach it" -}}
{{- end -}}
{{- $hasTls := regexMatch "(?m)^\\s*(\\[\\s*server\\.tls\\s*\\]|server\\.tls\\b|tls\\s*[.=])" .config -}}
{{- if and $hasTls (not .Values.shared.tls.enabled) -}}
{{- fail "config has [server.tls], and shared.tls.enabled is false; set it to true: the pods, the Service and the network policy then have its port" -}}
{{- end -}}
{{- if and .Values.shared.tls.enabled (not $hasTls) -}}
{{- fail "shared.tls.enabled is true, and config has no [server.tls]; write it with cert and key, such as files of the secret in /run/secrets/nearside" -}}
{{- end -}}
{{- if and .Values.shared.tls.enabled (eq (int .Values.shared.tls.port) (int .Values.shared.service.port)) -}}
{{- fail "shared.tls.port and shared.service.port are the same; choose another one" -}}
{{- end -}}
{{- with .Values.shared.autoscaling -}}
{{- if and .enabled (gt (int .minReplicas) (int .maxReplicas)) -}}
{{- fail (printf "shared.autoscaling.minReplicas is %v, and maxReplicas %v; the first is at most the second" .minReplicas .maxReplicas) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The sum of docs/sizing.md and a tenth more: the cache, four times the bodies, 168 MiB for the process and requests that wait. */}}
{{- define "nearside.checkMemory" -}}
{{- with (.Values.resources.limits | default dict).memory -}}
{{- $cache := include "nearside.mebibytes" $.Values.cacheMaxBytes | float64 -}}
{{- $bodies := include "nearside.mebibytes" $.Values.bodiesBytesMax | float64 -}}
{{- $needed := mulf 1.1 (addf $cache (mulf 4 $bodies) 168) -}}
{{- if lt (include "nearside.mebibytes" . | float64) $needed -}}
{{- fail (printf "resources.limits.memory is %v; cacheMaxBytes %s and bodiesBytesMax %s need %.0fMi (docs/sizing.md)" . $.Values.cacheMaxBytes $.Values.bodiesBytesMax (ceil $needed)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A size of the chart ("256MiB") or of Kubernetes ("768Mi", "1.5G", 1000000000) in MiB. */}}
{{- define "nearside.mebibytes" -}}
{{- $text := toString . -}}
{{- if kindIs "float64" . }}{{ $text = printf "%.0f" . }}{{ end -}}
{{- $unit := regexReplaceAll "^[0-9.]+" $text "" | trimSuffix "B" | trimSuffix "i" -}}
{{- $isBinary := regexMatch "i(B)?$" $text -}}
{{- $power := get (dict "" "0" "k" "1" "K" "1" "M" "2" "G" "3" "T" "4") $unit -}}
{{- if not $power }}{{ fail (printf "resources.limits.memory: %s has no unit of Kubernetes; write 768Mi or 1Gi" $text) }}{{ end -}}
{{- $bytes := regexFind "^[0-9.]+" $text | float64 -}}
{{- range until (int $power) }}{{ $bytes = mulf $bytes (ternary 1024.0 1000.0 $isBinary) }}{{ end -}}
{{- printf "%f" (divf $bytes 1048576.0) -}}
{{- end -}}

{{/* The config without its comments. A # in a string ends the line too, which matters to no check above. */}}
{{- define "nearside.effectiveConfig" -}}
{{- regexReplaceAll "#[^\\n]*" (.Values.config | default "") "" -}}
{{- end -}}
