package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"time"

	"jitaccess/internal/access"
	"jitaccess/internal/application/managed"
	"jitaccess/internal/callback"
	"jitaccess/internal/config"
	"jitaccess/internal/events"
	"jitaccess/internal/ledger"
	"jitaccess/internal/notice"
	"jitaccess/internal/seal"
	"jitaccess/internal/server"
)

// administrators are those of the broker, which is made after what they manage.
type administrators struct{ observedBroker }

// newManaged makes the applications that are managed by page; nil where they cannot be: without a
// ledger, a key of one's own that signs there, or SEAL_KEY.
func newManaged(ctx context.Context, c *config.Config, google *cloud, kept *ledger.Store, who *administrators, log *slog.Logger, k clock) (
	*managed.Registry, error) {
	if kept == nil || c.Ledger.ByAccount() || c.Apps.SealKey.IsZero() {
		return nil, nil
	}
	sealer, err := newSealer(ctx, c, google)
	if err != nil {
		return nil, err
	}
	byPage := managed.New(managed.Config{Deeds: applicationDeeds{kept}, Authority: who, Sealer: sealer, Now: k.now, Random: rand.Reader})
	go every(ctx, k, 24*time.Hour, func() {
		if n, err := byPage.Reseal(ctx); err != nil {
			log.Error("keys of applications could not all be sealed anew: leave the older key in SEAL_KEY",
				"event", events.Application, "error", err)
		} else if n > 0 {
			log.Info("keys of applications were sealed anew with the newest key of SEAL_KEY", "event", events.Application, "applications", n)
		}
	})
	return byPage, nil
}

// newSealer seals keys of applications; nil without SEAL_KEY.
func newSealer(ctx context.Context, c *config.Config, google *cloud) (*seal.Sealer, error) {
	if c.Apps.SealKey.IsZero() {
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
	return sealer, nil
}

// appPages are what the pages of applications show; nil without a ledger, where there are none.
func appPages(c *config.Config, all *applications, byPage *managed.Registry, requests observedBroker) *server.Apps {
	if c.Ledger.Database.IsZero() {
		return nil
	}
	return &server.Apps{Registry: all, Managed: byPage, AsCode: all.AsCode, Unsealed: !c.Ledger.ByAccount() && c.Apps.SealKey.IsZero(),
		Ask: requests.AskFor, Origin: c.Server.MachinesURL, AtGitHub: all.atGitHub}
}

// newCallbacks tells people by their channels, and applications by calling them back.
func newCallbacks(c *config.Config, people notice.Notifier, all *applications, hub *gitHub, k clock) callback.Notifier {
	local := servesLocally(c)
	return callback.Notifier{People: people, Registry: all, Local: local, Others: hub.tell,
		Sender: callback.Sender{Client: callback.NewClient(nil, callback.Reach{Loopback: local}), Now: k.now}}
}

// damagedApplications is nil where all applications are as they were recorded; the error names
// those that are not (access.DamagesOf), or says that it is not known.
func damagedApplications(ctx context.Context, byPage *managed.Registry) error {
	all, err := byPage.Applications(ctx)
	var damages access.Damages
	for _, a := range all {
		if a.Damaged != nil {
			damages = append(damages, access.Damage{Of: a.Name, Err: a.Damaged})
		}
	}
	return cmp.Or(err, damages.Err())
}

// applicationDeeds are the ledger's deeds of applications.
type applicationDeeds struct{ kept *ledger.Store }

// Deeds implements managed.Deeds.
func (a applicationDeeds) Deeds(ctx context.Context, of string) ([]managed.Deed, error) {
	all, err := a.kept.Deeds(ctx, ledger.DeedApplication, of)
	return access.Each(all, func(d ledger.Deed) managed.Deed {
		return managed.Deed{Of: d.Of, Number: d.Number, At: d.At, By: d.By, Body: d.Body}
	}), err
}

// Append implements managed.Deeds.
func (a applicationDeeds) Append(ctx context.Context, d managed.Deed, notices ...access.Notice) error {
	kept := ledger.Deed{Kind: ledger.DeedApplication, Of: d.Of, Number: d.Number, At: d.At, By: d.By, Body: d.Body}
	return a.kept.Append(ctx, kept, notices...)
}
