package payload

// DecodeEvent reads an event from JSON and validates it. It is strict:
//
//   - Duplicate names, invalid UTF-8, data after the document and members of
//     the wrong type are errors.
//   - Names match only in their exact case.
//   - Members without a field are kept.
//   - A null member counts as absent.
//
// Invalid values in the informational members url, triggered_by, commit.author
// and commit.branch do not make the event invalid. DecodeEvent leaves them out
// and lists them in Dropped.
//
// Every error is a [*ValidationError] that lists all failures, and wraps
// [ErrInvalid]. DecodeEvent keeps no reference to data. It does not limit the
// size of data, so limit the body before the call. The strings of a document of
// up to 4 KiB share one copy of it.
func DecodeEvent(data []byte) (*Event, error) {
	e := new(Event)
	dropped, err := decode(data, e)
	if err != nil {
		return nil, err
	}
	e.Dropped = dropped
	return e, nil
}

// UnmarshalJSON implements json.Unmarshaler with [DecodeEvent]. It replaces the
// whole event, and leaves it unchanged on error.
func (e *Event) UnmarshalJSON(data []byte) error {
	decoded, err := DecodeEvent(data)
	if err == nil {
		*e = *decoded
	}
	return err
}

// decode reads and validates a document. It returns the dropped members.
func decode(data []byte, doc interface {
	document
	check(f *failures)
},
) (dropped []Failure, err error) {
	r := newReader(data)
	defer r.free()
	if err := r.decode(data, doc); err != nil {
		return nil, err
	}
	if len(r.failures.list) > 0 && r.failures.list[0].Path == "" {
		// The data is not an object, so there is nothing else to check.
		return nil, r.failures.err()
	}
	doc.check(&r.failures)
	return r.dropped.list, r.failures.err()
}

func (e *Event) read(r *reader) {
	var extra objectBuilder
	for r.next() {
		switch r.name() {
		case "event":
			e.Type = Type(r.string())
		case "timestamp":
			e.Timestamp = r.time()
		case "delivery_id":
			e.DeliveryID = r.string()
		case "deployment_id":
			e.DeploymentID = r.string()
		case "app":
			e.App = r.string()
		case "environment":
			e.Environment = r.string()
		case "commit":
			if r.enter() {
				e.Commit = new(Commit)
				e.Commit.read(r)
			}
		case "triggered_by":
			e.TriggeredBy = r.informs()
		case "status":
			e.Status = Status(r.string())
		case "url":
			e.URL = r.link()
		case "build_duration_seconds":
			e.BuildDurationSeconds = r.number()
		case "image_size_mb":
			e.ImageSizeMB = r.number()
		case "cache_hit":
			e.CacheHit = r.bool()
		case "container_id":
			e.ContainerID = r.string()
		case "health_check":
			if r.enter() {
				e.HealthCheck = new(HealthCheck)
				e.HealthCheck.read(r)
			}
		case "error":
			e.Error = r.string()
		case "version":
			e.Version = r.string()
		case "previous_version":
			e.PreviousVersion = r.string()
		case "rollback":
			if r.enter() {
				e.Rollback = new(Rollback)
				e.Rollback.read(r)
			}
		case "metadata":
			e.Metadata = r.metadata()
		default:
			r.unknown(&extra)
		}
	}
	e.Extra = extra.object()
}

func (c *Commit) read(r *reader) {
	var extra objectBuilder
	for r.next() {
		switch r.name() {
		case "sha":
			c.SHA = r.string()
		case "message":
			c.Message = r.string()
		case "author":
			c.Author = r.informs()
		case "branch":
			c.Branch = r.informs()
		default:
			r.unknown(&extra)
		}
	}
	c.Extra = extra.object()
}

func (h *HealthCheck) read(r *reader) {
	var extra objectBuilder
	for r.next() {
		switch r.name() {
		case "url":
			h.URL = r.string()
		case "status_code":
			h.StatusCode = r.integer(statusCodeRule)
		case "response_time_ms":
			h.ResponseTimeMS = r.number()
		case "attempts":
			h.Attempts = r.integer(attemptsRule)
		default:
			r.unknown(&extra)
		}
	}
	h.Extra = extra.object()
}

func (b *Rollback) read(r *reader) {
	var extra objectBuilder
	for r.next() {
		switch r.name() {
		case "reason":
			b.Reason = r.string()
		case "restored_version":
			b.RestoredVersion = r.string()
		case "automatic":
			b.Automatic = r.bool()
		default:
			r.unknown(&extra)
		}
	}
	b.Extra = extra.object()
}
