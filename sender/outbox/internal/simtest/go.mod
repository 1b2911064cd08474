module github.com/deployhook/deployhook/sender/outbox/internal/simtest

go 1.26.0

require (
	github.com/deployhook/deployhook v0.1.0
	github.com/deployhook/deployhook/internal/simulation v0.1.0
	github.com/deployhook/deployhook/sender/outbox v0.1.0
)
