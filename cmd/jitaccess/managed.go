package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"

	"jitaccess/internal/access"
	"jitaccess/internal/application/managed"
	"jitaccess/internal/broker"
	"jitaccess/internal/callback"
	"jitaccess/internal/config"
	"jitaccess/internal/events"
	"jitaccess/internal/journal"
	"jitaccess/internal/ledger"
	"jitaccess/internal/notice"
	"jitaccess/internal/seal"
	"jitaccess/internal/server"
)

// administrators are those of the broker, which is made after what they manage.
type administrators struct{ *broker.Broker }

// newManaged makes the applications that are managed by page; nil where they cannot be: without a
// ledger, a key of one's own that signs there, or SEAL_KEY.
func newManaged(ctx context.Context, c *config.Config, google *cloud, kept *ledger.Store, who *administrators, log *slog.Logger, k clock) (
	*managed.Registry, error) {
	if kept == nil || c.Ledger.ByAccount() || c.Apps.SealKey.IsZero() {
		return nil, nil
	}
	text, err := keptText(ctx, "SEAL_KEY", c.Apps.SealKey, google.here)
	if err != nil {
		return nil, err
	}
	keys, err := config.ParseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("SEAL_KEY: %w", err)
	}
	sealer, err := seal.New(keys, managed.Purpose)
	if err != nil {
		return nil, fmt.Errorf("SEAL_KEY: %w", err)
	}
	return managed.New(managed.Config{Deeds: applicationDeeds{kept}, Authority: who, Sealer: sealer, Now: k.now, Random: rand.Reader,
		Changed: func(ctx context.Context, caller access.Caller, name, what string, alone bool) {
			level, text := slog.LevelInfo, "an application was changed"
			if alone {
				level, text = journal.LevelAlert, "an application was changed by the only administrator, so that nobody else has agreed"
			}
			log.Log(ctx, level, text, "event", events.Application, "application", name, "change", what, "user", string(caller.Principal))
		}}), nil
}

// appPages are what the pages of applications show; nil without a ledger, where there are none.
func appPages(c *config.Config, all *applications, byPage *managed.Registry, requests *broker.Broker) *server.Apps {
	if c.Ledger.Database.IsZero() {
		return nil
	}
	return &server.Apps{Registry: all, Managed: byPage, AsCode: all.AsCode, Unsealed: !c.Ledger.ByAccount() && c.Apps.SealKey.IsZero(),
		Ask: requests.AskFor, Origin: c.Server.PublicURL}
}

// newCallbacks tells people by their channels, and applications by calling them back.
func newCallbacks(c *config.Config, people notice.Notifier, all *applications, hub *gitHub, k clock) callback.Notifier {
	local := servesLocally(c)
	return callback.Notifier{People: people, Registry: all, Local: local, Others: hub.tell,
		Sender: callback.Sender{Client: callback.NewClient(nil, callback.Reach{Loopback: local}), Now: k.now}}
}

// applicationDeeds are the ledger's deeds of applications.
type applicationDeeds struct{ kept *ledger.Store }

// Deeds implements managed.Deeds.
func (a applicationDeeds) Deeds(ctx context.Context) ([]managed.Deed, error) {
	all, err := a.kept.Deeds(ctx, ledger.DeedApplication, "")
	return access.Each(all, func(d ledger.Deed) managed.Deed {
		return managed.Deed{Of: d.Of, Number: d.Number, At: d.At, By: d.By, Body: d.Body}
	}), err
}

// Append implements managed.Deeds.
func (a applicationDeeds) Append(ctx context.Context, d managed.Deed) error {
	return a.kept.Append(ctx, ledger.Deed{Kind: ledger.DeedApplication, Of: d.Of, Number: d.Number, At: d.At, By: d.By, Body: d.Body})
}
