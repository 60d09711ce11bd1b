package main

import (
	"cmp"
	"context"
	"fmt"
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

	mu   sync.Mutex
	kept map[string]*keptValue
}

// keptValue is what was read from where it is kept, such as a key.
type keptValue struct {
	value any
	err   error
	at    time.Time
}

// How long what was read from a file holds, which may be replaced, and how long what
// could not be read is not tried again. A version of a secret never changes.
const (
	fileKeyTime   = time.Minute
	failedKeyTime = 10 * time.Second
	keyReadTime   = 5 * time.Second
)

// newApplications are the applications of a service.
func newApplications(terms broker.Policy, google *cloud, byPage *managed.Registry, k clock) *applications {
	a := &applications{now: k.now, kept: map[string]*keptValue{}, file: func() *policy.File { return nil }}
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
			one.Keys, one.KeysErr = a.keysAt(ctx, of.SigningKeys)
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
// always read in the same way.
func keptAt[T any](ctx context.Context, a *applications, what, place string, parse func([]byte) (T, error)) (T, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now, key := a.now(), what+" "+place
	if known := a.kept[key]; known != nil {
		age := now.Sub(known.at)
		secret := strings.HasPrefix(place, "projects/")
		if known.err == nil && (secret || age < fileKeyTime) || known.err != nil && age < failedKeyTime {
			value, _ := known.value.(T)
			return value, known.err
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keyReadTime)
	defer cancel()
	text, err := a.read(ctx, place)
	var value T
	if err == nil {
		value, err = parse(text)
	}
	if err != nil {
		err = fmt.Errorf("the %s at %s: %w", what, place, err)
	}
	a.kept[key] = &keptValue{value, err, now}
	return value, err
}

// immediate is whether what is granted on a resource holds at once.
func immediate(on access.Resource) bool { return isPomeriums(on) || hasKind(application.Kinds, on) }

// programs is what applications ask through; nil where what they ask for could not be
// remembered, or nothing signs what they are handed.
func programs(c *config.Config, requests *broker.Broker, all application.Registry, hub *gitHub, memory memories) *server.Applications {
	if memory.ledger == nil || memory.tokens == nil {
		return nil
	}
	return &server.Applications{Broker: requests, Registry: all, GitHub: hub, Tokens: memory.tokens, MachinesURL: c.Server.MachinesURL,
		Waiters: c.Server.Waiters}
}

// registeredApplications are applications as a provider.
func registeredApplications(all application.Registry, k clock) broker.Registration {
	return broker.Registration{Provider: application.NewProvider(all, k.now), Name: application.ProviderName, Kinds: application.Kinds}
}
