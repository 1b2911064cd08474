package payload

import (
	"bytes"
	"time"
)

// A Deployment is the record of one deployment in the format of Periscope's
// deployment webhook: JSON with camelCase names. Sending a record with the same
// DeploymentID again updates it.
//
// DeploymentID, CommitSHA, Environment, Status and StartedAt are always
// required. CompletedAt is required when the status is terminal. An empty
// string, a zero time, an empty list, and an empty RawPayload or Metadata mean
// that the member is absent. Members without a field are kept in Extra and
// written back on encoding.
//
// Several goroutines may read a Deployment at the same time. A goroutine that
// changes one needs exclusive access.
type Deployment struct {
	// DeploymentID is the CI system's own ID for the run. It has 1 to 255
	// characters and no control characters. JSON name "deploymentId". Required.
	DeploymentID string

	// CommitSHA is the deployed commit. It has 5 to 40 hexadecimal digits; use
	// all 40 if you can. JSON name "commitSha". Required.
	CommitSHA string

	// Environment is the target, such as "production", "staging",
	// "development", "preview" or "test". Any other name of up to 1024
	// characters is valid too. JSON name "environment". Required.
	Environment string

	// Status is one of the six statuses. JSON name "status". Required.
	Status Status

	// StartedAt is the start of the deployment. It is encoded in UTC with up to
	// nine fractional digits of a second. [ParseTime] lists the accepted
	// formats. JSON name "startedAt". Required.
	StartedAt time.Time

	// CompletedAt is the end of the deployment. It is required when Status is
	// terminal. JSON name "completedAt".
	CompletedAt time.Time

	// OrganizationSlug, if given, is checked by Periscope against the
	// organization of the API key. JSON name "organizationSlug", up to 1024
	// characters.
	OrganizationSlug string

	// Service is the name of the deployed service, preferably the name of its
	// repository. JSON name "service", up to 1024 characters.
	Service string

	// Branch is the deployed branch. JSON name "branch", up to 1024 characters.
	Branch string

	// PreviousCommitSHA is the commit of the previous deployment to the same
	// environment. Periscope documents no format for it, so any text of up to
	// 1024 characters is accepted. JSON name "previousCommitSha".
	PreviousCommitSHA string

	// TriggeredBy is the person or process that started the deployment, such as
	// a user name, an e-mail address, "automation" or "schedule". JSON name
	// "triggeredBy", up to 1024 characters.
	TriggeredBy string

	// PipelineName is the name of the pipeline or workflow. JSON name
	// "pipelineName", up to 1024 characters.
	PipelineName string

	// PipelineURL is the page of this run in the CI system. Encoding and
	// decoding clean it with [CleanURL]. JSON name "pipelineUrl".
	PipelineURL string

	// RepositoryURL is the address of the commit's repository. Encoding and
	// decoding clean it with [CleanURL]. JSON name "repositoryUrl".
	RepositoryURL string

	// Commits lists the commits that the deployment took from other
	// repositories, at most 100. JSON name "commits".
	Commits []RepositoryCommit

	// ArtifactDigest is the digest of the deployed artifact, such as "sha256:"
	// and 64 hexadecimal digits. It has the form of an OCI digest and up to 255
	// characters. JSON name "artifactDigest".
	ArtifactDigest string

	// Version is the deployed version. JSON name "version", up to 1024
	// characters.
	Version string

	// RollbackOf is the DeploymentID of the failed deployment that this
	// deployment rolls back. JSON name "rollbackOf", up to 255 characters.
	RollbackOf string

	// IncidentURL is the page of the incident that this deployment is meant to
	// end. Encoding and decoding clean it with [CleanURL]. JSON name
	// "incidentUrl".
	IncidentURL string

	// RawPayload is the CI system's own payload, kept byte for byte. JSON name
	// "rawPayload".
	RawPayload Object

	// Metadata holds the sender's own names and values. JSON name "metadata".
	Metadata Metadata

	// Extra holds the members that have no field above, exactly as they were
	// written.
	Extra Object

	// Dropped lists the members that decoding left out because their values
	// were unusable, for example a pipelineUrl that is not a link. Encoding
	// ignores it.
	Dropped []Failure
}

// DecodeDeployment reads a deployment from JSON and validates it. It is strict:
//
//   - Duplicate names, invalid UTF-8, data after the document and members of
//     the wrong type are errors.
//   - Names match only in their exact case.
//   - Members without a field are kept.
//   - A null member counts as absent.
//
// Invalid values in the informational members pipelineUrl, pipelineName,
// triggeredBy, branch, repositoryUrl and incidentUrl do not make the record
// invalid. DecodeDeployment leaves them out and lists them in Dropped.
//
// Every error is a [*ValidationError] that lists all failures, and wraps
// [ErrInvalid]. DecodeDeployment keeps no reference to data. It does not limit
// the size of data, so limit the body before the call. The strings of a
// document of up to 4 KiB share one copy of it.
func DecodeDeployment(data []byte) (*Deployment, error) {
	d := new(Deployment)
	dropped, err := decode(data, d)
	if err != nil {
		return nil, err
	}
	d.Dropped = dropped
	return d, nil
}

// UnmarshalJSON implements json.Unmarshaler with [DecodeDeployment]. It
// replaces the whole deployment, and leaves it unchanged on error.
func (d *Deployment) UnmarshalJSON(data []byte) error {
	decoded, err := DecodeDeployment(data)
	if err == nil {
		*d = *decoded
	}
	return err
}

func (d *Deployment) read(r *reader) {
	var extra objectBuilder
	for r.next() {
		switch r.name() {
		case "deploymentId":
			d.DeploymentID = r.string()
		case "commitSha":
			d.CommitSHA = r.string()
		case "environment":
			d.Environment = r.string()
		case "status":
			d.Status = Status(r.string())
		case "startedAt":
			d.StartedAt = r.time()
		case "completedAt":
			d.CompletedAt = r.time()
		case "organizationSlug":
			d.OrganizationSlug = r.string()
		case "service":
			d.Service = r.string()
		case "branch":
			d.Branch = r.informs()
		case "previousCommitSha":
			d.PreviousCommitSHA = r.string()
		case "triggeredBy":
			d.TriggeredBy = r.informs()
		case "pipelineName":
			d.PipelineName = r.informs()
		case "pipelineUrl":
			d.PipelineURL = r.link()
		case "repositoryUrl":
			d.RepositoryURL = r.link()
		case "commits":
			d.Commits = r.commits()
		case "artifactDigest":
			d.ArtifactDigest = r.string()
		case "version":
			d.Version = r.string()
		case "rollbackOf":
			d.RollbackOf = r.string()
		case "incidentUrl":
			d.IncidentURL = r.link()
		case "rawPayload":
			d.RawPayload = r.object()
		case "metadata":
			d.Metadata = r.metadata()
		default:
			r.unknown(&extra)
		}
	}
	d.Extra = extra.object()
}

// Validate returns everything that is wrong with the deployment as a
// [*ValidationError], or nil.
func (d *Deployment) Validate() error {
	var f failures
	d.check(&f)
	return f.err()
}

func (d *Deployment) check(f *failures) {
	f.id("deploymentId", d.DeploymentID)
	f.require("commitSha", d.CommitSHA)
	if !isHex(d.CommitSHA, 40) {
		f.add("commitSha", hexMessage)
	}
	f.require("environment", d.Environment)
	f.short("environment", d.Environment, maxName)
	f.require("status", string(d.Status))
	if !d.Status.Known() {
		f.add("status", statusMessage)
	}
	if d.StartedAt.IsZero() {
		f.add("startedAt", isRequired)
	}
	f.date("startedAt", d.StartedAt)
	if d.CompletedAt.IsZero() && d.Status.Terminal() {
		f.add("completedAt", terminalNeeds)
	}
	f.date("completedAt", d.CompletedAt)
	f.short("organizationSlug", d.OrganizationSlug, maxName)
	f.short("service", d.Service, maxName)
	f.short("branch", d.Branch, maxName)
	f.short("previousCommitSha", d.PreviousCommitSHA, maxName)
	f.short("triggeredBy", d.TriggeredBy, maxName)
	f.short("pipelineName", d.PipelineName, maxName)
	f.url("pipelineUrl", d.PipelineURL)
	d.checkOptional(f)
	f.extra("", d.Extra, isDeploymentField)
}

// checkOptional checks the members that Periscope's format does not have.
func (d *Deployment) checkOptional(f *failures) {
	f.url("repositoryUrl", d.RepositoryURL)
	checkCommits(d.Commits, f)
	if d.ArtifactDigest != "" && !isDigest(d.ArtifactDigest) {
		f.add("artifactDigest", digestMessage)
	}
	f.short("version", d.Version, maxName)
	if d.RollbackOf != "" {
		f.id("rollbackOf", d.RollbackOf)
	}
	f.url("incidentUrl", d.IncidentURL)
}

func isDeploymentField(name string) bool {
	switch name {
	case "deploymentId", "commitSha", "environment", "status", "startedAt", "completedAt", "organizationSlug",
		"service", "branch", "previousCommitSha", "triggeredBy", "pipelineName", "pipelineUrl", "repositoryUrl", "commits",
		"artifactDigest", "version", "rollbackOf", "incidentUrl", "rawPayload", "metadata":
		return true
	default:
		return false
	}
}

// Encode validates the deployment and returns the JSON bytes to send. Members
// come in the order of the fields, followed by those in Extra. Absent members
// are left out. Decoding the result gives an equal deployment, and encoding
// that one gives the same bytes.
//
// The error for an invalid deployment is a [*ValidationError].
func (d *Deployment) Encode() ([]byte, error) {
	if err := d.Validate(); err != nil {
		return nil, err
	}
	size := 640 + len(d.PipelineURL) + len(d.RawPayload.text) + len(d.Metadata.object.text) + len(d.Extra.text)
	w := writer{make([]byte, 0, size)}
	d.write(&w)
	return w.out, nil
}

// Equal reports whether two deployments encode to the same bytes. It ignores
// Dropped.
func (d *Deployment) Equal(other *Deployment) bool {
	var a, b writer
	d.write(&a)
	other.write(&b)
	return bytes.Equal(a.out, b.out)
}

// MarshalJSON implements json.Marshaler with [Deployment.Encode]. Both
// encoding/json and its second version compact the result, and encoding/json
// also escapes <, > and &. Call Encode to keep metadata, rawPayload and unknown
// members byte for byte.
func (d Deployment) MarshalJSON() ([]byte, error) { return d.Encode() }

func (d *Deployment) write(w *writer) {
	w.begin()
	w.string("deploymentId", d.DeploymentID)
	w.string("commitSha", d.CommitSHA)
	w.string("environment", d.Environment)
	w.string("status", string(d.Status))
	w.time("startedAt", d.StartedAt)
	w.time("completedAt", d.CompletedAt)
	w.string("organizationSlug", d.OrganizationSlug)
	w.string("service", d.Service)
	w.string("branch", d.Branch)
	w.string("previousCommitSha", d.PreviousCommitSHA)
	w.string("triggeredBy", d.TriggeredBy)
	w.string("pipelineName", d.PipelineName)
	w.link("pipelineUrl", d.PipelineURL)
	w.link("repositoryUrl", d.RepositoryURL)
	w.commits("commits", d.Commits)
	w.string("artifactDigest", d.ArtifactDigest)
	w.string("version", d.Version)
	w.string("rollbackOf", d.RollbackOf)
	w.link("incidentUrl", d.IncidentURL)
	w.object("rawPayload", d.RawPayload)
	w.object("metadata", d.Metadata.object)
	w.end(d.Extra)
}
