module github.com/deployhook/deployhook/receiver/deployments/dora/internal/referencetest

go 1.26.0

require (
	github.com/deployhook/deployhook v0.1.0
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/go-json-experiment/json v1.27.2 // indirect
	github.com/google/uuid v1.6.0 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
)
