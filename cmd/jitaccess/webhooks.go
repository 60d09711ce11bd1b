package main

import (
	"context"
	"net/url"
	"time"

	"jitaccess/internal/callback"
	"jitaccess/internal/config"
	"jitaccess/internal/lookup"
	"jitaccess/internal/loopback"
)

// targetsTime is for how long where webhooks go holds that was read from a secret.
const targetsTime = time.Minute

// newWebhooks tells programs of everything; nobody where no WEBHOOK_URL is set. What is no
// secret's version is checked at once.
func newWebhooks(c *config.Config, google *cloud, k clock) (*callback.Webhook, error) {
	m, local := c.Messages, servesLocally(c)
	w := &callback.Webhook{Sender: callback.Sender{Now: k.now,
		Client: callback.NewClient(nil, callback.Reach{Loopback: local, Private: m.WebhooksPrivate})}}
	if m.Webhooks.IsZero() {
		return w, nil
	}
	addresses := oneLine("WEBHOOK_URL", stored(google.secret, m.Webhooks))
	keys := oneLine("WEBHOOK_SECRET", stored(google.secret, m.WebhookKeys))
	read := func(ctx context.Context, _ string) ([]callback.Target, error) {
		to, err := addresses(ctx)
		if err != nil {
			return nil, err
		}
		with, err := keys(ctx)
		if err != nil {
			return nil, err
		}
		return callback.ParseTargets(to, with, local)
	}
	if m.Webhooks.Version == "" && m.WebhookKeys.Version == "" {
		if _, err := read(context.Background(), ""); err != nil {
			return nil, err
		}
	}
	known := lookup.New(k.now, 1, keyReadTime, read)
	w.Targets = func(ctx context.Context) ([]callback.Target, error) {
		return known.Get(ctx, "", k.now().Add(-targetsTime))
	}
	return w, nil
}

// servesLocally is whether the service is reached on loopback alone, as the sandbox is.
func servesLocally(c *config.Config) bool {
	own, err := url.Parse(c.Server.PublicURL)
	return err == nil && loopback.Is(own.Hostname())
}
