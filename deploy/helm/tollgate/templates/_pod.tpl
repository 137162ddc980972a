{{- /* What a pod is made of, in a Deployment as in a StatefulSet. */ -}}
{{- define "tollgate.pod" -}}
metadata:
  labels:
    {{- include "tollgate.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "tollgate.serviceAccountName" . }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
  securityContext:
    runAsNonRoot: true
    runAsUser: 65532
    runAsGroup: 65532
    fsGroup: 65532
    seccompProfile: { type: RuntimeDefault }
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- if or (include "tollgate.cluster" .) (not .Values.ledger.enabled) }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "tollgate.selector" . | nindent 10 }}
    {{- if include "tollgate.cluster" . }}
    - maxSkew: 1
      topologyKey: topology.kubernetes.io/zone
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "tollgate.selector" . | nindent 10 }}
    {{- end }}
  {{- end }}
  containers:
    - name: tollgate
      image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      args: [run, --config, /etc/tollgate/gateway.yaml]
      {{- with .Values.env }}
      env:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - { name: http, containerPort: 8080, protocol: TCP }
        - { name: admin, containerPort: 9901, protocol: TCP }
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: { drop: [ALL] }
      startupProbe:
        httpGet: { path: /healthz, port: admin }
        periodSeconds: 1
        {{- if include "tollgate.cluster" . }}
        # Nothing answers before the database has: that is waited for, and does not count as a crash for ten minutes.
        failureThreshold: 600
        {{- else }}
        failureThreshold: 60
        {{- end }}
      livenessProbe:
        httpGet: { path: /healthz, port: admin }
        periodSeconds: 10
        failureThreshold: 3
      readinessProbe:
        httpGet: { path: /readyz, port: admin }
        periodSeconds: 2
        failureThreshold: 2
      lifecycle:
        preStop:
          sleep: { seconds: {{ .Values.drainSeconds }} }
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        # Whole directories: files that are mounted one by one never change.
        - { name: config, mountPath: /etc/tollgate, readOnly: true }
        - { name: accounts, mountPath: /etc/tollgate-accounts, readOnly: true }
        {{- if .Values.tlsSecret }}
        - { name: tls, mountPath: /etc/tollgate-tls, readOnly: true }
        {{- end }}
        {{- if .Values.ledger.enabled }}
        - { name: ledger, mountPath: /var/lib/tollgate }
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: config
      configMap: { name: {{ include "tollgate.fullname" . }} }
    - name: accounts
      secret:
        secretName: {{ .Values.accountsSecret | default (printf "%s-accounts" (include "tollgate.fullname" .)) }}
        defaultMode: 0440
    {{- if .Values.tlsSecret }}
    - name: tls
      secret: { secretName: {{ .Values.tlsSecret }}, defaultMode: 0440 }
    {{- end }}
    {{- if and .Values.ledger.enabled (not (include "tollgate.cluster" .)) }}
    - name: ledger
      persistentVolumeClaim: { claimName: {{ include "tollgate.fullname" . }}-ledger }
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
{{- end }}
