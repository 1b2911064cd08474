module github.com/deployhook/deployhook/examples/hooktool

go 1.26.0

require (
	github.com/deployhook/deployhook v0.1.0
	github.com/stretchr/testify v1.12.1
)

require go.yaml.in/yaml/v3 v3.0.5 // indirect

require github.com/deployhook/deployhook/signer/httpsig v0.1.0
