package payload

import "strings"

const (
	// maxCommit is the most digits that a record's commit has.
	maxCommit = 40
	// sha256Digits is how many digits the hash of a SHA-256 commit has.
	sha256Digits = 64
	// metaCommitSHA256 is the metadata member with the whole of a SHA-256 commit.
	metaCommitSHA256 = "commit_sha256"
)

// SetCommit sets CommitSHA. A record's commit has at most 40 digits, so of a
// SHA-256 commit, which has 64, it gets the first 40, which git resolves. The
// whole goes into the metadata as commit_sha256.
func (d *Deployment) SetCommit(sha string) {
	d.CommitSHA = sha
	if len(sha) == sha256Digits && isHex(sha, sha256Digits) {
		d.CommitSHA = sha[:maxCommit]
		_ = d.Metadata.Set(metaCommitSHA256, sha) // a string of digits always can be
	}
}

// wholeCommit undoes SetCommit: it returns the commit in full, and the metadata
// without it.
func (d *Deployment) wholeCommit() (sha string, metadata Metadata) {
	value, _ := d.Metadata.Get(metaCommitSHA256)
	whole, _ := value.Text()
	if len(whole) != sha256Digits || len(d.CommitSHA) != maxCommit || !strings.HasPrefix(whole, d.CommitSHA) {
		return d.CommitSHA, d.Metadata
	}
	if d.Metadata.Len() == 1 {
		return whole, Metadata{}
	}
	metadata = d.Metadata
	metadata.Delete(metaCommitSHA256)
	return whole, metadata
}
