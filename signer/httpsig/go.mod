module github.com/deployhook/deployhook/signer/httpsig

go 1.26

require (
	github.com/deployhook/deployhook v0.1.0
	github.com/dunglas/httpsfv v1.1.2
	github.com/stretchr/testify v1.12.1
)

require go.yaml.in/yaml/v3 v3.0.5 // indirect
