package payload

import (
	"bytes"
	"time"
)

// A Deployment is the record of one deployment as Periscope's deployment webhook takes it: JSON with names in
// camelCase. Sending a record with the same DeploymentID again updates it.
//
// DeploymentID, CommitSHA, Environment, Status and StartedAt are required, and CompletedAt is once the status is
// terminal. For strings, empty means absent. Members that have no field here are kept in Extra and come out again on
// encoding.
//
// A Deployment may be read by several goroutines; whoever changes one must be alone with it.
type Deployment struct {
	// DeploymentID is the CI system's own ID for the run: 1 to 255 characters, none of them a control character. JSON
	// name "deploymentId". Required.
	DeploymentID string

	// CommitSHA is the commit that was deployed: 5 to 40 hexadecimal digits, best all 40. JSON name "commitSha".
	// Required.
	CommitSHA string

	// Environment is the target: "production", "staging", "development", "preview", "test", or any other name of up to
	// 1024 characters. JSON name "environment". Required.
	Environment string

	// Status is one of the six statuses. JSON name "status". Required.
	Status Status

	// StartedAt is when the deployment started. Encoded in UTC with up to nine digits of a second; see [ParseTime] for
	// the forms that are read. JSON name "startedAt". Required.
	StartedAt time.Time

	// CompletedAt is when the deployment ended; required when Status is terminal. JSON name "completedAt".
	CompletedAt time.Time

	// OrganizationSlug is checked against the API key's organization, if it is given. JSON name "organizationSlug", up
	// to 1024 characters.
	OrganizationSlug string

	// Service is the name of what is deployed, best the name of its repository. JSON name "service", up to 1024
	// characters.
	Service string

	// Branch is the branch that was deployed. JSON name "branch", up to 1024 characters.
	Branch string

	// PreviousCommitSHA is the commit of the deployment before this one, in the same environment. Periscope documents
	// no rule for it, so any text of up to 1024 characters is accepted. JSON name "previousCommitSha".
	PreviousCommitSHA string

	// TriggeredBy is who or what started the deployment: a user, an e-mail address, "automation", "schedule". JSON name
	// "triggeredBy", up to 1024 characters.
	TriggeredBy string

	// PipelineName is the name of the pipeline or workflow. JSON name "pipelineName", up to 1024 characters.
	PipelineName string

	// PipelineURL is where the CI system shows this run. Encoding and decoding
	// clean it as CleanURL does. JSON name "pipelineUrl".
	PipelineURL string

	// RepositoryURL is where the commit's repository is. Encoding and decoding clean
	// it as CleanURL does. JSON name "repositoryUrl".
	RepositoryURL string

	// Commits are what the deployment brought from further repositories: at most 100.
	// JSON name "commits".
	Commits []RepositoryCommit

	// ArtifactDigest is the digest of what was deployed, such as "sha256:" and 64
	// hexadecimal digits. It has the form of an OCI digest and up to 255 characters.
	// JSON name "artifactDigest".
	ArtifactDigest string

	// Version is the version that was deployed. JSON name "version", up to 1024
	// characters.
	Version string

	// RollbackOf is the DeploymentID of the failed deployment that this deployment
	// takes back. JSON name "rollbackOf", up to 255 characters.
	RollbackOf string

	// IncidentURL is where the incident is described that this deployment is to end.
	// Encoding and decoding clean it as CleanURL does. JSON name "incidentUrl".
	IncidentURL string

	// RawPayload is what the CI system itself said, kept to the byte. JSON name "rawPayload".
	RawPayload Object

	// Metadata are the sender's own names and values. JSON name "metadata".
	Metadata Metadata

	// Extra are the members that have no field above, as they were written.
	Extra Object

	// Dropped lists the members that decoding left out because it could not keep
	// them: a pipelineUrl that is no link, for example. Encoding ignores it.
	Dropped []Failure
}

// DecodeDeployment reads a deployment from JSON and validates it. It is strict:
// duplicate names, invalid UTF-8, anything after the document, and members of the
// wrong kind are errors. Names count only in their exact case. Members that have
// no field are kept. A member that is null is absent.
//
// Members that only inform never cost the record: pipelineUrl, pipelineName,
// triggeredBy, branch, repositoryUrl and incidentUrl. If one of them can't be kept, it is left out and listed
// in Dropped.
//
// Every error wraps [ErrInvalid] and is a [*ValidationError] that lists all failures. DecodeDeployment keeps no
// reference to data, and does not limit its size: bound the body before. The strings of a document
// of up to 4 KiB share one copy of it.
func DecodeDeployment(data []byte) (*Deployment, error) {
	d := new(Deployment)
	dropped, err := decode(data, d)
	if err != nil {
		return nil, err
	}
	d.Dropped = dropped
	return d, nil
}

// UnmarshalJSON is [DecodeDeployment] for json.Unmarshal. It replaces the whole deployment, and leaves it alone on
// error.
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

// Validate reports everything that is wrong with the deployment, as a [*ValidationError], or nil.
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

// Encode validates the deployment and returns it as JSON: the bytes to send. Members come in the order of the fields,
// absent ones are left out, those in Extra follow. Decoding the result gives an equal deployment, and encoding that the
// same bytes.
//
// An invalid deployment is a [*ValidationError].
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

// MarshalJSON is [Deployment.Encode] for json.Marshal. Both encoding/json and its second version compact what it
// returns, and encoding/json escapes <, > and &: to keep metadata, rawPayload and unknown members to the byte, call
// Encode.
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
