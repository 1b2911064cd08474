package payload

// Encode validates the event and returns the JSON bytes to sign and send.
// Members come in the order of the fields, followed by those in Extra. Absent
// members are left out. Decoding the result gives an equal event, and encoding
// that one gives the same bytes.
//
// The error for an invalid event is a [*ValidationError].
func (e *Event) Encode() ([]byte, error) {
	if err := e.Validate(); err != nil {
		return nil, err
	}
	w := writer{make([]byte, 0, e.sizeHint())}
	e.write(&w)
	return w.out, nil
}

// MarshalJSON implements json.Marshaler with [Event.Encode]. Both encoding/json
// and its second version compact the result, and encoding/json also escapes <,
// > and &. Call Encode to keep metadata and unknown members byte for byte.
func (e Event) MarshalJSON() ([]byte, error) { return e.Encode() }

// sizeHint returns slightly more bytes than most events need.
func (e *Event) sizeHint() int {
	size := 640 + len(e.Error) + len(e.URL) + len(e.Metadata.object.text) + len(e.Extra.text)
	if e.Commit != nil {
		size += len(e.Commit.Message)
	}
	return size
}

func (e *Event) write(w *writer) {
	w.begin()
	w.string("event", string(e.Type))
	w.time("timestamp", e.Timestamp)
	e.writeData(w)
}

// writeData writes the members after timestamp and closes the object.
func (e *Event) writeData(w *writer) {
	w.string("delivery_id", e.DeliveryID)
	w.string("deployment_id", e.DeploymentID)
	w.string("app", e.App)
	w.string("environment", e.Environment)
	e.Commit.write(w)
	w.string("triggered_by", e.TriggeredBy)
	w.string("status", string(e.Status))
	w.link("url", e.URL)
	w.number("build_duration_seconds", e.BuildDurationSeconds)
	w.number("image_size_mb", e.ImageSizeMB)
	w.bool("cache_hit", e.CacheHit)
	w.string("container_id", e.ContainerID)
	e.HealthCheck.write(w)
	w.string("error", e.Error)
	w.string("version", e.Version)
	w.string("previous_version", e.PreviousVersion)
	e.Rollback.write(w)
	w.object("metadata", e.Metadata.object)
	w.end(e.Extra)
}

func (c *Commit) write(w *writer) {
	if c == nil {
		return
	}
	w.name("commit")
	w.begin()
	w.string("sha", c.SHA)
	w.string("message", c.Message)
	w.string("author", c.Author)
	w.string("branch", c.Branch)
	w.end(c.Extra)
}

func (h *HealthCheck) write(w *writer) {
	if h == nil {
		return
	}
	w.name("health_check")
	w.begin()
	w.string("url", h.URL)
	w.integer("status_code", h.StatusCode)
	w.number("response_time_ms", h.ResponseTimeMS)
	w.integer("attempts", h.Attempts)
	w.end(h.Extra)
}

func (b *Rollback) write(w *writer) {
	if b == nil {
		return
	}
	w.name("rollback")
	w.begin()
	w.string("reason", b.Reason)
	w.string("restored_version", b.RestoredVersion)
	w.bool("automatic", b.Automatic)
	w.end(b.Extra)
}
