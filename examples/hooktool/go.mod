module github.com/deployhook/deployhook/examples/hooktool

go 1.26.0

require (
	github.com/deployhook/deployhook v0.1.0
	github.com/deployhook/deployhook/sender/outbox v0.1.0
	github.com/deployhook/deployhook/signer/httpsig v0.1.0
	github.com/stretchr/testify v1.12.1
)
