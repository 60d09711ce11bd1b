package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/application"
	"jitaccess/internal/application/managed"
	"jitaccess/internal/broker"
	"jitaccess/internal/config"
	"jitaccess/internal/events"
	"jitaccess/internal/policy"
	"jitaccess/internal/server"
)

// applications are those of the policy file as it was last taken, with their keys, and where
// it has none those that are managed here.
type applications struct {
	// file is the policy file; nil where none was taken yet. configured: there is one.
	file       func() *policy.File
	configured bool
	// managed are those that are managed by page; nil is none.
	managed application.Registry
	// read reads where a key is kept.
	read func(ctx context.Context, place string) ([]byte, error)
	now  func() time.Time
	log  *slog.Logger

	mu   sync.Mutex
	kept map[string]*keptPlace
}

// keptPlace is a place where something is kept, such as a key, and what was read there.
type keptPlace struct {
	// fixed: what is there never changes.
	fixed bool
	// value is the last that could be read, and good when; zero is none.
	value any
	good  time.Time
	// err is why it could not be read the last time, and at is when that was.
	err error
	at  time.Time
	// reading is closed when it has been read, which is under way; nil where it is not.
	reading chan struct{}
}

// How long what was read holds where it may be replaced, how long it serves where it cannot be
// read again, how long what could not be read is not tried again, and how long reading may take.
const (
	fileKeyTime   = time.Minute
	lastKeyTime   = time.Hour
	failedKeyTime = 10 * time.Second
	keyReadTime   = 5 * time.Second
)

// isFixed is whether what is kept at a place never changes: a version of a secret by its number.
func isFixed(place string) bool {
	return strings.HasPrefix(place, "projects/") && strings.Trim(place[strings.LastIndex(place, "/")+1:], "0123456789") == ""
}

// due is whether it is to be read.
func (p *keptPlace) due(now time.Time) bool {
	switch {
	case p.err != nil:
		return now.Sub(p.at) >= failedKeyTime
	case p.good.IsZero():
		return true
	}
	return !p.fixed && now.Sub(p.at) >= fileKeyTime
}

// newApplications are the applications of a service.
func newApplications(terms broker.Policy, google *cloud, byPage *managed.Registry, log *slog.Logger, k clock) *applications {
	a := &applications{now: k.now, log: log, kept: map[string]*keptPlace{}, file: func() *policy.File { return nil }}
	if byPage != nil {
		a.managed = byPage
	}
	if live, ok := terms.(*livePolicy); ok {
		a.configured = true
		a.file = func() *policy.File {
			if taken := live.taken.Load(); taken != nil {
				return taken.File()
			}
			return nil
		}
	}
	a.read = func(ctx context.Context, place string) ([]byte, error) {
		if strings.HasPrefix(place, "projects/") {
			return google.secret(ctx, place)
		}
		return os.ReadFile(place)
	}
	return a
}

// Applications implements application.Registry. A key that cannot be read is the fault of its
// application alone.
func (a *applications) Applications(ctx context.Context) ([]application.Application, error) {
	file := a.file()
	switch {
	case file == nil && a.configured:
		return nil, &access.Error{Kind: access.Unavailable, Code: access.CodePolicyUnreadable}
	case file != nil && len(file.Applications) > 0:
		return access.Each(file.Applications, func(of policy.Application) application.Application {
			one := of.Application
			one.Keys = func(ctx context.Context) ([]application.Key, error) { return a.keysAt(ctx, of.SigningKeys) }
			return one
		}), nil
	case a.managed != nil:
		return a.managed.Applications(ctx)
	}
	return nil, nil
}

// AsCode is whether the policy file has the applications, so that nobody manages them by page.
func (a *applications) AsCode() bool {
	file := a.file()
	return file != nil && len(file.Applications) > 0
}

// atGitHub is whether GitHub asks for the application of a name.
func (a *applications) atGitHub(name string) bool {
	file := a.file()
	return file != nil && slices.ContainsFunc(file.Applications, func(of policy.Application) bool {
		return of.Name == name && of.GitHub != nil
	})
}

// keysAt are the keys that are kept at places. One of two that can be read is enough: the other
// may be gone already.
func (a *applications) keysAt(ctx context.Context, places []string) (keys []application.Key, err error) {
	for _, place := range places {
		key, failed := a.keyAt(ctx, place)
		err = cmp.Or(err, failed)
		if failed == nil {
			keys = append(keys, key)
		}
	}
	if len(keys) > 0 {
		return slices.Clip(keys), nil
	}
	return nil, err
}

func (a *applications) keyAt(ctx context.Context, place string) (application.Key, error) {
	return keptAt(ctx, a, "signing key", place, func(text []byte) (application.Key, error) { return application.ReadKey(string(text)) })
}

// keptAt is what is kept at a place, of which it is read anew now and then. What is kept there is
// always read in the same way. Nobody waits for a place but who wants what is there, and nobody
// where it could not be read a moment ago: it is tried again beside them.
func keptAt[T any](ctx context.Context, a *applications, what, place string, parse func([]byte) (T, error)) (value T, err error) {
	named := "the " + what + " at " + place
	a.mu.Lock()
	p := a.kept[named]
	if p == nil {
		p = &keptPlace{fixed: isFixed(place)}
		a.kept[named] = p
	}
	if p.reading == nil && p.due(a.now()) {
		reading := make(chan struct{})
		p.reading = reading
		ctx := context.WithoutCancel(ctx)
		go func() {
			defer close(reading)
			ctx, cancel := context.WithTimeout(ctx, keyReadTime)
			defer cancel()
			text, err := a.read(ctx, place)
			var value any
			if err == nil {
				value, err = parse(text)
			}
			a.keep(p, value, named, err)
		}()
	}
	reading, failed := p.reading, p.err != nil
	a.mu.Unlock()
	if reading != nil && !failed {
		wait := time.NewTimer(keyReadTime + time.Second) // a file may not hear that its time is over
		defer wait.Stop()
		select {
		case <-reading:
		case <-ctx.Done():
			err = ctx.Err()
		case <-wait.C:
			a.hangs(p, reading, named)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if age := a.now().Sub(p.good); !p.good.IsZero() && (p.fixed || age < lastKeyTime) {
		return p.value.(T), nil
	}
	return value, cmp.Or(p.err, err, fmt.Errorf("%s: it is still being read", named))
}

// keep keeps what was read, or that it could not be. What is no longer there is not used any more.
func (a *applications) keep(p *keptPlace, value any, named string, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	p.reading, p.at = nil, a.now()
	if err == nil {
		p.value, p.good, p.err = value, p.at, nil
		return
	}
	if errors.Is(err, fs.ErrNotExist) {
		p.good = time.Time{}
	}
	a.failed(p, named, err)
}

// hangs is for a place that has not answered, and may never.
func (a *applications) hangs(p *keptPlace, reading chan struct{}, named string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p.reading == reading && p.err == nil {
		a.failed(p, named, errors.New("no answer"))
	}
}

func (a *applications) failed(p *keptPlace, named string, err error) {
	if p.err == nil {
		a.log.Warn(named+" cannot be read; what was read there last serves for an hour", "event", events.UnreadKey, "error", err)
	}
	p.err = fmt.Errorf("%s: %w", named, err)
}

// immediate is whether what is granted on a resource holds at once.
func immediate(on access.Resource) bool { return isPomeriums(on) || hasKind(application.Kinds, on) }

// programs is what applications ask through; nil where what they ask for could not be
// remembered, or nothing signs what they are handed.
func programs(c *config.Config, requests observedBroker, all application.Registry, hub *gitHub, memory memories,
	k clock) *server.Applications {
	if memory.ledger == nil || memory.tokens == nil {
		return nil
	}
	return &server.Applications{Broker: requests, Registry: all, GitHub: hub, Tokens: memory.tokens, MachinesURL: c.Server.MachinesURL,
		Waiters: c.Server.Waiters, Now: k.programs()}
}

// registeredApplications are applications as a provider.
func registeredApplications(all application.Registry, k clock) broker.Registration {
	return broker.Registration{Provider: application.NewProvider(all, k.now), Name: application.ProviderName, Kinds: application.Kinds}
}
