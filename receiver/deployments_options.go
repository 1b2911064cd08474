package receiver

import (
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/deployhook/deployhook/receiver/deployments"
)

// DefaultLinkTimeout bounds a [Linker].
const DefaultLinkTimeout = 10 * time.Second

// deploymentsOption is an Option that only [NewDeployments] takes.
type deploymentsOption func(*deploymentsConfig)

// apply is reached in New alone, where such an option has nothing to configure.
func (deploymentsOption) apply(c *config) { c.misplaced = true }

type deploymentsConfig struct {
	linker       deployments.Linker
	linkerGiven  bool
	environments []string
	linkTimeout  time.Duration
}

// WithLinker sets who counts the pull requests of a successful deployment. Default: nobody, and linkedPRs is 0. It is an
// option of [NewDeployments] only, an error in New.
func WithLinker(l deployments.Linker) Option {
	return deploymentsOption(func(c *deploymentsConfig) { c.linker, c.linkerGiven = l, true })
}

// WithLinkedEnvironments names the environments whose deployments are linked to pull requests, in their exact case. Default:
// "production" alone. No name is an error. It is an option of [NewDeployments] only, an error in New.
func WithLinkedEnvironments(names ...string) Option {
	return deploymentsOption(func(c *deploymentsConfig) { c.environments = slices.Clone(names) })
}

// WithLinkTimeout bounds the linker for each delivery; the peer waits that long for its answer at most. Default 10 seconds
// ([DefaultLinkTimeout]). Zero is an error. It is an option of [NewDeployments] only, an error in New.
func WithLinkTimeout(d time.Duration) Option {
	return deploymentsOption(func(c *deploymentsConfig) { c.linkTimeout = d })
}

// newDeploymentsConfig sorts out the options that are for this endpoint alone, and those that are not for it.
func newDeploymentsConfig(opts []Option) (*deploymentsConfig, *config, error) {
	own := &deploymentsConfig{environments: []string{"production"}, linkTimeout: DefaultLinkTimeout}
	common := make([]Option, 0, len(opts)+1)
	for _, o := range opts {
		if mine, ok := o.(deploymentsOption); ok {
			mine(own)
			continue
		}
		common = append(common, o)
	}
	var given config // what a caller says of deduplication, before we say that there is none
	for _, o := range common {
		if o != nil {
			o.apply(&given)
		}
	}
	var problems []error
	if given.dedupeGiven {
		problems = append(problems, configError("WithDedupe: NewDeployments takes no store, because the ledger recognises repeated deployments itself and "+
			"answers them with what is on record, which a store would keep from happening; leave it out"))
		common = slices.DeleteFunc(common, func(o Option) bool {
			var c config
			if o != nil {
				o.apply(&c)
			}
			return c.dedupeGiven
		})
	}
	if given.lease != 0 {
		problems = append(problems, configError("WithLease: NewDeployments claims nothing; leave it out"))
	}
	if given.success != 0 {
		problems = append(problems, configError("WithAccepted: what NewDeployments answers is fixed, 201 or 200; leave it out"))
	}
	c, err := newConfig(append(common, InsecureNoDedupe()))
	problems = append(problems, err, own.validate())
	if err = errors.Join(problems...); err != nil {
		return nil, nil, err
	}
	c.success = http.StatusOK
	return own, c, nil
}

func (c *deploymentsConfig) validate() error {
	var problems []error
	if c.linkerGiven && isNilValue(c.linker) {
		problems = append(problems, configError("WithLinker: the linker is nil; check the error of its constructor, or leave the option out"))
	}
	if len(c.environments) == 0 || slices.Contains(c.environments, "") {
		problems = append(problems, configError("WithLinkedEnvironments: name at least one environment, and none that is empty; to link nothing leave WithLinker out"))
	}
	if c.linkTimeout <= 0 {
		problems = append(problems, configError("WithLinkTimeout(%v): want more than zero", c.linkTimeout))
	}
	return errors.Join(problems...)
}
