package argocd

import _ "embed" // for the template

//go:embed argocd-notifications-cm.yaml
var configMap string

// ConfigMap returns the ConfigMap for Argo CD's notifications whose deliveries
// this package reads, as YAML. It has a service, a trigger and a template.
// Change its URL. The file argocd-notifications-cm.yaml of this package has the
// same content.
func ConfigMap() string { return configMap }
