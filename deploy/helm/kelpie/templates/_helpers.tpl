{{- define "kelpie.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains "kelpie" .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-kelpie" .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Of (dict "root" . "component" "agent"): what never changes, for selectors. `kubectl kelpie` finds the
collector's service by name and component. */}}
{{- define "kelpie.selector" -}}
app.kubernetes.io/name: kelpie
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "kelpie.labels" -}}
{{ include "kelpie.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: kelpie
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "kelpie.image" -}}
{{- $ref := .Values.image.repository -}}
{{- if .Values.image.registry -}}
{{- $ref = printf "%s/%s" .Values.image.registry $ref -}}
{{- end -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $ref .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $ref (.Values.image.tag | default .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}

{{- define "kelpie.collector" -}}
{{ include "kelpie.fullname" . }}-collector
{{- end -}}

{{- define "kelpie.tlsSecret" -}}
{{- if eq .Values.tls.mode "existingSecret" -}}
{{- required "tls.existingSecret is needed with tls.mode=existingSecret" .Values.tls.existingSecret -}}
{{- else -}}
{{ include "kelpie.fullname" . }}-tls
{{- end -}}
{{- end -}}

{{/* Both programs read authority and certificate when they start. */}}
{{- define "kelpie.renewed" -}}
{{- if and (eq .Values.tls.mode "helm") .Values.tls.renew -}}
kelpie.io/tls-renewed: {{ now | unixEpoch | quote }}
{{- end -}}
{{- end -}}

{{- define "kelpie.tokenSecret" -}}
{{- .Values.agentToken.existingSecret | default (printf "%s-agent-token" (include "kelpie.fullname" .)) -}}
{{- end -}}

{{/* The files of a service account, where a program of the API server looks for them. */}}
{{- define "kelpie.apiAccess" -}}
name: kube-api
projected:
  defaultMode: 0440
  sources:
    - serviceAccountToken:
        path: token
        expirationSeconds: 3607
    - configMap:
        name: kube-root-ca.crt
        items:
          - key: ca.crt
            path: ca.crt
    - downwardAPI:
        items:
          - path: namespace
            fieldRef:
              fieldPath: metadata.namespace
{{- end -}}
