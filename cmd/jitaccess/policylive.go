package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/broker"
	"jitaccess/internal/config"
	"jitaccess/internal/events"
	"jitaccess/internal/gcp/parametermanager"
	"jitaccess/internal/gcp/resourcename"
	"jitaccess/internal/ledger"
	"jitaccess/internal/policy"
	"jitaccess/internal/pomerium"
	"jitaccess/internal/server"
)

// policyInterval is how often it is looked whether a policy has changed.
const policyInterval = time.Minute

// livePolicy is the policy of a service: that of the file as it was last taken. A newer
// text with a fault is not taken. Until one is, everything that a policy decides is
// refused; there is never none.
type livePolicy struct {
	base       policy.Instance
	deployment policy.Deployment
	read       func(context.Context) ([]byte, error)
	// pinned: what is read stays as it was deployed, whatever others read.
	pinned bool
	// keeper keeps each text that is taken; nil where nothing is remembered.
	keeper policyKeeper
	log    *slog.Logger
	now    func() time.Time

	taken atomic.Pointer[policy.Refined]
	// looking is held while it is read and taken. kept is the last one that is known to be
	// kept, text what was taken.
	looking sync.Mutex
	kept    string
	text    []byte
	// looked is what the last look found: nil is that what is taken is current.
	looked atomic.Pointer[error]
	// succeeded is when that last was nothing; nil for never.
	succeeded atomic.Pointer[time.Time]
}

// keeperTime bounds each call to it: what was taken holds without.
const keeperTime = 3 * time.Second

// policyKeeper is what of the ledger keeps policies.
type policyKeeper interface {
	KeepPolicy(ctx context.Context, policy []byte) (ledger.KeptPolicy, error)
	NewestPolicy(ctx context.Context) (newest ledger.KeptPolicy, found bool, err error)
}

// errPolicyFaults are the faults of a policy, one a line.
var errPolicyFaults = errors.New("the policy has faults")

// livePolicyOf is the policy of a service, and whether it is current; that is nil where
// nothing but the environment says which terms hold. A file with faults is the error: it
// came with this deployment. A secret may change under it, so that one with faults, like
// anything that cannot be read, is looked at again, and nothing is given out until then.
//
// Where requests are remembered, each text that is taken is kept there; what could not be
// read when a process starts is then the one that was kept last.
func livePolicyOf(ctx context.Context, c *config.Config, google *cloud, keeper policyKeeper, k clock, log *slog.Logger) (
	broker.Policy, func() error, error) {
	kept := c.Requests.Policy
	if kept.IsZero() {
		return policyOf(c), nil, nil
	}
	read := policyText(google, kept)
	p := &livePolicy{base: policyOf(c), deployment: enforced(c), read: read, pinned: !strings.HasSuffix(kept.Version, "/latest"),
		keeper: keeper, log: log, now: k.now}
	if err := p.look(ctx); errors.Is(err, errPolicyFaults) && kept.File != "" {
		return nil, nil, err
	}
	go func() {
		for k.sleep(ctx, policyInterval) == nil {
			p.look(ctx) // it has logged what is wrong
		}
	}()
	return p, p.current, nil
}

// policyText reads the text of a policy, wherever it is kept.
func policyText(google *cloud, kept config.StoredText) func(context.Context) ([]byte, error) {
	if google != nil && resourcename.IsParameterVersion(kept.Version) {
		return func(ctx context.Context) ([]byte, error) {
			return parametermanager.Get(ctx, google.Platform, kept.Version)
		}
	}
	return stored(google.secret, kept)
}

// look reads the policy and takes it, unless something is wrong.
func (p *livePolicy) look(ctx context.Context) error {
	p.looking.Lock()
	defer p.looking.Unlock()
	return p.lookAgain(ctx)
}

// lookAgain is look while p.looking is held.
func (p *livePolicy) lookAgain(ctx context.Context) error {
	err := p.take(ctx)
	if err != nil && p.taken.Load() == nil {
		p.restore(ctx)
	} else if err == nil {
		p.keep(ctx)
	}
	if err == nil {
		now := p.now()
		p.succeeded.Store(&now)
	}
	last := p.looked.Swap(&err)
	if err != nil && (last == nil || *last == nil || (*last).Error() != err.Error()) {
		p.log.ErrorContext(ctx, "the policy is not taken", "event", events.PolicyRefused, "error", err, "serving", p.digest())
	}
	return err
}

// keep keeps what was taken. That it cannot be kept now changes nothing of what holds; it
// is tried again at the next look.
func (p *livePolicy) keep(ctx context.Context) {
	if p.keeper == nil || p.pinned && p.kept != "" {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, keeperTime)
	defer cancel()
	kept, err := p.keeper.KeepPolicy(ctx, p.text)
	if err != nil {
		p.log.WarnContext(ctx, "the text of the policy could not be kept", "event", events.Ledger, "error", err)
		return
	}
	p.kept = kept.ID
}

// restore takes the policy that was kept last, while no other can be read.
func (p *livePolicy) restore(ctx context.Context) {
	if p.keeper == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, keeperTime)
	defer cancel()
	newest, found, err := p.keeper.NewestPolicy(ctx)
	if err == nil && found {
		err = p.accept(ctx, newest.Text)
	}
	if err != nil {
		p.log.ErrorContext(ctx, "the policy that was kept cannot be taken", "event", events.PolicyRefused, "error", err)
	} else if found {
		p.kept = newest.ID
		p.log.ErrorContext(ctx, "the policy that was taken last serves, since it cannot be read", "event", events.PolicyRefused,
			"policy", p.digest(), "taken", newest.Made.UTC().Format(time.RFC3339))
	}
}

// Renew implements the broker's port Renewing: where another instance has taken another
// policy since, it is read again. A text that stays as it was deployed is then the older
// one, and decides nothing any more. While the ledger is out of reach what was taken holds.
func (p *livePolicy) Renew(ctx context.Context) error {
	if p.keeper == nil || p.taken.Load() == nil {
		return nil
	}
	asking, cancel := context.WithTimeout(ctx, keeperTime)
	defer cancel()
	newest, found, err := p.keeper.NewestPolicy(asking)
	if err != nil || !found {
		return nil
	}
	p.looking.Lock()
	defer p.looking.Unlock()
	if newest.ID == p.kept || bytes.Equal(newest.Text, p.text) {
		p.kept = newest.ID
		return nil
	}
	err = p.lookAgain(ctx)
	if err == nil && p.pinned && !bytes.Equal(newest.Text, p.text) {
		err = errors.New("another instance has taken a newer policy than the one that came with this one")
	}
	if err != nil {
		return &access.Error{Kind: access.Unavailable, Code: access.CodePolicyUnreadable, Err: err}
	}
	return nil
}

func (p *livePolicy) take(ctx context.Context) error {
	text, err := p.read(ctx)
	if err != nil {
		return fmt.Errorf("the policy cannot be read: %w", err)
	}
	return p.accept(ctx, text)
}

// accept takes a text, unless it has faults. One that is taken already is not read again.
func (p *livePolicy) accept(ctx context.Context, text []byte) error {
	if p.taken.Load() != nil && bytes.Equal(text, p.text) {
		return nil
	}
	file, faults := policy.ReadFile(text)
	if len(faults) == 0 {
		faults, _ = file.Lint(p.now())
		faults = append(faults, file.Faults(p.deployment)...)
	}
	if len(faults) > 0 {
		lines := make([]string, len(faults))
		for i, f := range faults {
			lines[i] = fmt.Sprintf("%d:%d: %s", f.Line, f.Column, f.Text)
		}
		return fmt.Errorf("%w\n%s", errPolicyFaults, strings.Join(lines, "\n"))
	}
	refined := policy.Refine(p.base, file)
	p.taken.Store(&refined)
	p.text, p.kept = text, ""
	p.log.InfoContext(ctx, "the policy is taken", "event", events.PolicyTaken, "policy", file.Digest, "rules", len(file.Rules))
	return nil
}

// digest is that of the text that is taken; empty for none.
func (p *livePolicy) digest() string {
	if taken := p.taken.Load(); taken != nil {
		return taken.File().Digest
	}
	return ""
}

// current is nil while what is taken is what was read. Without a policy nothing can succeed.
func (p *livePolicy) current() error {
	looked := p.looked.Load()
	switch {
	case looked == nil || *looked == nil:
		return nil
	case p.taken.Load() == nil:
		return fmt.Errorf("%w: %w", server.ErrNotReady, *looked)
	}
	return *looked
}

// Terms implements the broker's port.
func (p *livePolicy) Terms(s access.Subject) (access.Terms, access.Explanation, error) {
	taken := p.taken.Load()
	if taken == nil {
		return access.Terms{}, access.Explanation{}, &access.Error{Kind: access.Unavailable, Code: access.CodePolicyUnreadable}
	}
	return taken.Terms(s)
}

// Looks implements the broker's port Looking.
func (p *livePolicy) Looks() access.Looks {
	if taken := p.taken.Load(); taken != nil {
		return taken.Looks()
	}
	return access.Looks{}
}

// Accounts implements the broker's port Naming.
func (p *livePolicy) Accounts(of access.Principal) []access.Principal {
	if taken := p.taken.Load(); taken != nil {
		return taken.Accounts(of)
	}
	return []access.Principal{of}
}

// entitlements are those that the file itself gives, as it was last taken.
func (p *livePolicy) entitlements() []policy.Entitlement {
	if taken := p.taken.Load(); taken != nil {
		return taken.File().Entitlements
	}
	return nil
}

// entitlementsOf are those of a policy that has a file; of any other there are none.
func entitlementsOf(p broker.Policy) func() []policy.Entitlement {
	if live, ok := p.(*livePolicy); ok {
		return live.entitlements
	}
	return func() []policy.Entitlement { return nil }
}

// named are the folders and organizations that the file, as it was last taken, gives out
// themselves.
func (p *livePolicy) named() []access.Resource {
	if taken := p.taken.Load(); taken != nil {
		return taken.File().Named()
	}
	return nil
}

// namedBy are those of a policy that has a file; of any other there are none.
func namedBy(p broker.Policy) func() []access.Resource {
	if live, ok := p.(*livePolicy); ok {
		return live.named
	}
	return func() []access.Resource { return nil }
}

// enforced is what this version carries out of policies.
func enforced(c *config.Config) policy.Deployment {
	settings := settingsOf(c)
	var last time.Duration
	if c.Ledger.ByAccount() {
		last = ledger.AccountLife
	}
	var kinds []string
	if c.Pomerium.Used() {
		kinds = access.Each(pomerium.Kinds, func(k access.ResourceKind) string { return k.Segment })
	}
	return policy.Deployment{Settings: &settings, Ledger: !c.Ledger.Database.IsZero(), Passkeys: signsHere(c), SignaturesLast: last,
		Groups: c.Catalog.CustomerID != "", AccessLevels: levels[c.Identity.Profile], Claims: c.Identity.GroupsClaim != "",
		Channels: channelsOf(c), Kinds: kinds}
}

// levels are the access levels with which each profile can say that somebody is signed in.
var levels = map[string]func() *regexp.Regexp{config.IAP: policy.GoogleLevels, config.OIDC: policy.AnyLevels}

// signsHere is whether people can enrol passkeys and sign with them: that takes a ledger, a
// key of the service's own, since what the service account signs does not last, and the
// address for which passkeys are made.
func signsHere(c *config.Config) bool {
	return !c.Ledger.Database.IsZero() && !c.Ledger.ByAccount() && c.Server.PublicURL != ""
}

// hasApplications is whether the policy that was taken has applications, which are then not
// managed by page.
func (p *livePolicy) hasApplications() bool {
	taken := p.taken.Load()
	return taken != nil && len(taken.File().Applications) > 0
}
