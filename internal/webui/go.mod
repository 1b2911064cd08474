module github.com/deployhook/deployhook/internal/webui

go 1.26.0

require (
	github.com/deployhook/deployhook v0.1.0
	github.com/stretchr/testify v1.12.1
	golang.org/x/net v0.46.0
)

require go.yaml.in/yaml/v3 v3.0.5 // indirect
