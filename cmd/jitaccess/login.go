package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"

	"jitaccess/internal/access"
	"jitaccess/internal/config"
	"jitaccess/internal/jose"
	"jitaccess/internal/ledger"
	"jitaccess/internal/login"
	"jitaccess/internal/server"
)

// door is how people come in: past a proxy that signs them in, or by a login of our own.
type door struct {
	identify func(*http.Request) (access.Caller, error)
	// login is nil where there is a proxy.
	login server.Login
	// ready returns why nobody comes in, or who is not in yet; the former is server.ErrNotReady.
	ready                               func(context.Context) error
	method, event, check, switchAccount string
}

// newDoor makes the one that is configured. remembers may be nil, and google but for
// Identity-Aware Proxy.
func newDoor(ctx context.Context, c *config.Config, google *cloud, remembers *ledger.Store, k clock, log *slog.Logger) (door, error) {
	if c.Identity.Profile == config.OIDC {
		own, err := newLogin(ctx, c, google, remembers, k, log)
		if err != nil {
			return door{}, err
		}
		return door{identify: own.Identify, login: own, ready: own.Ready, method: login.Method, event: login.Event,
			check: "IdentityProviderIsAvailable"}, nil
	}
	verifier, err := newVerifier(c, google.platform(), k.now)
	if err != nil {
		return door{}, err
	}
	p := verifier.Profile()
	ready := func(ctx context.Context) error {
		err := verifier.Ready(ctx)
		if errors.Is(err, jose.ErrKeysUnavailable) {
			err = fmt.Errorf("%w: nobody can be identified: %w", server.ErrNotReady, err)
		}
		return err
	}
	return door{identify: verifier.Identify, ready: ready, method: p.Method, event: p.Event, check: p.Check,
		switchAccount: p.SwitchAccount}, nil
}

func newLogin(ctx context.Context, c *config.Config, google *cloud, remembers *ledger.Store, k clock, log *slog.Logger) (
	*login.Login, error) {
	i := c.Identity
	text, err := keptText(ctx, "SESSION_KEY", i.SessionKey, google.here)
	if err != nil {
		return nil, err
	}
	keys, err := config.ParseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("SESSION_KEY: %w", err)
	}
	l := login.Config{Issuer: i.OIDCIssuer, ClientID: i.OIDCClientID, Origin: c.Server.PublicURL, Keys: keys, MaxAge: i.OIDCMaxAge,
		ClientSecret: func(ctx context.Context) (string, error) {
			return keptText(ctx, "OIDC_CLIENT_SECRET", i.OIDCClientSecret, google.here)
		},
		AuthenticationClasses: i.OIDCClasses, GroupsClaim: i.GroupsClaim, AssumeVerified: i.OIDCEmailVerified == "assumed", Now: k.now,
		Warn: func(err error) { log.Warn(err.Error(), "event", login.Event) },
	}
	if remembers != nil {
		l.Sessions = remembers
	}
	return login.New(l)
}
