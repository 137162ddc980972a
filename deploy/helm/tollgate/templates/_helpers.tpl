{{- define "tollgate.name" -}}
{{ if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name }}{{ end }}
{{- end }}

{{- define "tollgate.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tollgate.labels" -}}
{{ include "tollgate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end }}

{{- /* The chart's own keys, in front of the operator's. */ -}}
{{- define "tollgate.config" -}}
listen: 0.0.0.0:8080
admin: 0.0.0.0:9901
admin_exposed: true
include: [/etc/tollgate-accounts/*.yaml, /etc/tollgate-accounts/*.jsonl]
{{- if .Values.ledger.enabled }}
ledger: { file: /var/lib/tollgate/ledger.db }
{{- end }}
{{ toYaml .Values.config }}
{{- end }}
