{{/* The container of a node, in both modes. */}}
{{- define "nearside.node" -}}
{{- $isShared := eq .Values.mode "shared" -}}
{{- $hasFleet := and $isShared .Values.fleet.enabled -}}
name: nearside
image: {{ include "nearside.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- if not $isShared }}
restartPolicy: Always     # so it is a sidecar
{{- end }}
env:
  {{- if .Values.config }}
  - {name: NEARSIDE_CONFIG, value: /etc/nearside/nearside.toml}
  {{- end }}
  - {name: NEARSIDE_UPSTREAM, value: {{ .Values.upstream | quote }}}
  - {name: AWS_REGION, value: {{ include "nearside.region" . | quote }}}
  - {name: NEARSIDE_CACHE_MAX_BYTES, value: {{ .Values.cacheMaxBytes | quote }}}
  - {name: NEARSIDE_SERVER_BODIES_BYTES_MAX, value: {{ .Values.bodiesBytesMax | quote }}}
  - {name: NEARSIDE_LOG_FORMAT, value: {{ .Values.logFormat | quote }}}
  - {name: NEARSIDE_SERVER_DRAIN_TIMEOUT, value: {{ printf "%vs" .Values.drainSeconds }}}
  - {name: NEARSIDE_LISTEN, value: {{ ternary ":8000" "127.0.0.1:8000" $isShared | quote }}}
  {{- if and $isShared .Values.shared.tls.enabled }}
  - {name: NEARSIDE_SERVER_TLS_LISTEN, value: ":8443"}
  {{- end }}
  {{- if and $isShared (not .Values.shared.acceptUnauthenticated) }}
  # It wins over the config: the consent below is for the admin listener, and must open no other one.
  - {name: NEARSIDE_AUTH_MODE, value: sigv4}
  {{- end }}
  {{- if .Values.metrics.enabled }}
  - {name: NEARSIDE_ADMIN_LISTEN, value: ":8100"}
  {{- end }}
  {{- if or .Values.metrics.enabled (and $isShared .Values.shared.acceptUnauthenticated) }}
  - {name: NEARSIDE_I_ACCEPT_UNAUTHENTICATED, value: "true"}
  {{- end }}
  {{- if $hasFleet }}
  - {name: NEARSIDE_FLEET_URL, value: {{ required "fleet.url is missing; write that of a Valkey or Redis server with TLS, such as rediss://nearside@bus.example:6379, or set fleet.enabled=false: then the other nodes show a write of one node when the TTL ends" .Values.fleet.url | quote }}}
  - {name: NEARSIDE_FLEET_NAME, value: {{ .Values.fleet.name | quote }}}
  - {name: NEARSIDE_FLEET_ACK, value: {{ .Values.fleet.ack | quote }}}
  - {name: NEARSIDE_FLEET_SECRET_FILE, value: /run/secrets/nearside/fleet-secret}
  {{- if contains "@" .Values.fleet.url }}
  - {name: NEARSIDE_FLEET_PASSWORD_FILE, value: /run/secrets/nearside/bus-password}
  {{- end }}
  {{- end }}
  {{- with .Values.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- if or $isShared .Values.metrics.enabled }}
ports:
  {{- if $isShared }}
  - {name: dynamodb, containerPort: 8000}
  {{- if .Values.shared.tls.enabled }}
  - {name: dynamodb-tls, containerPort: 8443}
  {{- end }}
  {{- end }}
  {{- if .Values.metrics.enabled }}
  - {name: admin, containerPort: 8100}
  {{- end }}
{{- end }}
{{- if .Values.metrics.enabled }}
startupProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 1
  failureThreshold: 60
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 5
  timeoutSeconds: 2
livenessProbe:
  httpGet: {path: /livez, port: admin}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
{{- else }}
startupProbe:
  exec: {command: [/nearside, healthcheck]}
  periodSeconds: 1
  timeoutSeconds: 5
  failureThreshold: 60
readinessProbe:
  exec: {command: [/nearside, healthcheck]}
  periodSeconds: 10
  timeoutSeconds: 5
livenessProbe:
  exec: {command: [/nearside, healthcheck]}
  periodSeconds: 30
  timeoutSeconds: 5
  failureThreshold: 10
{{- end }}
{{- if $isShared }}
lifecycle: {preStop: {sleep: {seconds: 5}}}     # until the Service no longer sends new connections here
{{- end }}
resources: {{- toYaml .Values.resources | nindent 2 }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- if or .Values.config .Values.secretName }}
volumeMounts:
  {{- if .Values.config }}
  - {name: config, mountPath: /etc/nearside, readOnly: true}
  {{- end }}
  {{- if .Values.secretName }}
  - {name: secrets, mountPath: /run/secrets/nearside, readOnly: true}
  {{- end }}
{{- end }}
{{- end -}}

{{/* What pods of both modes have. */}}
{{- define "nearside.pod" -}}
serviceAccountName: {{ include "nearside.serviceAccountName" . }}
automountServiceAccountToken: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532     # root's files of mode 0440 are readable by this group, and by nobody else
  seccompProfile: {type: RuntimeDefault}
{{- with .Values.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if or .Values.config .Values.secretName }}
volumes:
  {{- if .Values.config }}
  - name: config
    configMap: {name: {{ include "nearside.fullname" . }}}
  {{- end }}
  {{- with .Values.secretName }}
  - name: secrets
    secret: {secretName: {{ . }}, defaultMode: 0440}
  {{- end }}
{{- end }}
{{- end -}}
