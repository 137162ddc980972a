{{- define "tollgate.name" -}}
{{ .Values.nameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* What everything is called. Names of services have at most 63 letters, some of which are for endings. */ -}}
{{- define "tollgate.fullname" -}}
{{- $name := include "tollgate.name" . -}}
{{- if .Values.fullnameOverride -}}
{{ .Values.fullnameOverride | trunc 54 | trimSuffix "-" }}
{{- else if contains $name .Release.Name -}}
{{ .Release.Name | trunc 54 | trimSuffix "-" }}
{{- else -}}
{{ printf "%s-%s" .Release.Name $name | trunc 54 | trimSuffix "-" }}
{{- end -}}
{{- end }}

{{- define "tollgate.serviceAccountName" -}}
{{- $default := ternary (include "tollgate.fullname" .) "default" .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default $default }}
{{- end }}

{{- /* Whether credits are shared by several gateways, each with a journal on a disk of its own. */ -}}
{{- define "tollgate.cluster" -}}
{{- if hasKey .Values.config "cluster" }}true{{ end -}}
{{- end }}

{{- /* One file cannot be sold from by two: what cannot work is refused before anything is installed. */ -}}
{{- define "tollgate.check" -}}
{{- if include "tollgate.cluster" . -}}
{{- if not (dig "store" "postgres" "" .Values.config) -}}
{{- fail "Gateways of a cluster share credits in PostgreSQL: set config.store.postgres, or remove config.cluster." -}}
{{- end -}}
{{- if not .Values.ledger.enabled -}}
{{- fail "Each gateway of a cluster writes a journal on a volume of its own: set ledger.enabled to true, or remove config.cluster." -}}
{{- end -}}
{{- else if .Values.ledger.enabled -}}
{{- $or := "or ledger.enabled to false, or share credits in PostgreSQL (config.store.postgres and config.cluster)." -}}
{{- if .Values.autoscaling.enabled -}}
{{- fail (printf "The ledger is one file that one gateway can use: set autoscaling.enabled to false, %s" $or) -}}
{{- end -}}
{{- if gt (int .Values.replicaCount) 1 -}}
{{- fail (printf "The ledger is one file that one gateway can use: set replicaCount to 1 (it is %d), %s" (int .Values.replicaCount) $or) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.autoscaling.enabled (gt (int .Values.autoscaling.minReplicas) (int .Values.autoscaling.maxReplicas)) -}}
{{- fail "autoscaling.minReplicas is greater than autoscaling.maxReplicas: swap them." -}}
{{- end -}}
{{- end }}

{{- define "tollgate.selector" -}}
app.kubernetes.io/name: {{ include "tollgate.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "tollgate.labels" -}}
{{ include "tollgate.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
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
